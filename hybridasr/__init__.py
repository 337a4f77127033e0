"""hybridasr: Kaldi-style hybrid DNN-HMM speech recognition in pure Python."""

import os as _os
import tempfile as _tempfile

__version__ = "0.1.0"


def _choose_kernel_cache() -> None:
    """Give numba a cache directory where neither the package nor the home can be written."""
    places = (_os.path.dirname(_os.path.abspath(__file__)), _os.path.expanduser("~"))
    if "NUMBA_CACHE_DIR" not in _os.environ and not any(_os.access(p, _os.W_OK) for p in places):
        cache = _os.path.join(_tempfile.gettempdir(), f"hybridasr-kernels-{_os.getuid()}")
        _os.environ["NUMBA_CACHE_DIR"] = cache


_choose_kernel_cache()


def __getattr__(name: str):
    # Late, so that "import hybridasr" and the command line start at once.
    if name in ("load", "Recognizer"):
        from hybridasr.recognize import recognizer

        return getattr(recognizer, name)
    raise AttributeError(f"module 'hybridasr' has no attribute '{name}'")

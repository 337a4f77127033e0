"""hybridasr: Kaldi-style hybrid DNN-HMM speech recognition in pure Python."""

import sys as _sys

__version__ = "0.1.0"


class _NumbaFinder:
    """Chooses the cache of compiled kernels when numba is imported, and not before.

    numba reads the place at its import, which takes longer than all of ``import hybridasr``.
    """

    def find_spec(self, name: str, path=None, target=None):
        """Return how to import numba with our cache; None for all other modules."""
        if name != "numba" or self not in _sys.meta_path:
            return None
        _sys.meta_path.remove(self)
        import importlib.util

        from hybridasr.kernels.messages import prepare_numba, set_cache

        folder = set_cache()
        spec = importlib.util.find_spec("numba")
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module) -> None:
                execute(module)
                prepare_numba(module, folder)

            spec.loader.exec_module = exec_module
        return spec


def _watch_numba() -> None:
    if "numba" not in _sys.modules:
        _sys.meta_path.insert(0, _NumbaFinder())
        return
    from hybridasr.kernels.messages import prepare_numba, set_cache

    prepare_numba(_sys.modules["numba"], set_cache())


_watch_numba()


def __getattr__(name: str):
    # Late, so that "import hybridasr" and the command line start at once.
    if name in ("load", "Recognizer", "Speaker"):
        from hybridasr.recognize import recognizer

        return getattr(recognizer, name)
    raise AttributeError(f"module 'hybridasr' has no attribute '{name}'")

"""A disk that filled up while the network's frames were written ended the process (bus error)."""

import os
import resource
import signal
import sys

import numpy as np
import pytest

from hybridasr.errors import ResourceError
from hybridasr.train import minibatch


@pytest.mark.skipif(sys.platform != "linux", reason="limits files as Linux does")
def test_space_is_taken_before_frames_are_written(tmp_path):
    path, old = tmp_path / "frames.npy", resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
        with pytest.raises(ResourceError, match="frames.npy: "):
            minibatch.reserved_frames(path, 10_000, 40)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, before)
    assert not path.exists()


@pytest.mark.parametrize("system", ["of its own", "without posix_fallocate"])
def test_the_file_is_not_sparse(tmp_path, monkeypatch, system):
    if system == "without posix_fallocate":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    frames = minibatch.reserved_frames(tmp_path / "frames.npy", 100_000, 10)
    assert os.stat(tmp_path / "frames.npy").st_blocks * 512 >= 4_000_000
    frames[:] = 3
    frames.flush()
    assert (np.load(tmp_path / "frames.npy") == 3).all()

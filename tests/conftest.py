"""Shared fixtures: where the real recordings and the reference values are."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def _shared(variable: str, folder: str) -> Path:
    default = REPOSITORY.parent / "shared" / folder
    path = Path(os.environ.get(variable, default))
    if not path.is_dir():
        pytest.skip(f"real {folder} missing: set {variable} or put it at ../shared/{folder}")
    return path


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of the real corpora (layout: dsp20, fsdd, yesno, audio-cmn, noise)."""
    return _shared("HYBRIDASR_DATA", "data")


@pytest.fixture(scope="session")
def ref_root() -> Path:
    """Folder of the values computed with Kaldi."""
    return _shared("HYBRIDASR_REF", "ref")

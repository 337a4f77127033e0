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


@pytest.fixture(scope="session")
def spoken_world(tmp_path_factory):
    """A model and recordings, as `command_world.make_world` makes them."""
    from command_world import make_world

    return make_world(tmp_path_factory.mktemp("spoken"))


@pytest.fixture
def few_noises(monkeypatch):
    """Calibrate in this process with each noise made once, at one level: it is quicker."""
    monkeypatch.setattr("hybridasr.evaluation.calibrate.NOISE_DRAWS", 1)
    monkeypatch.setattr("hybridasr.evaluation.calibrate.NOISE_LEVELS", (300.0,))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Run files with slow tests first: short ones then fill what is left of a worker's time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Fail, where HYBRIDASR_REQUIRE_DATA=1, a test on real data that would be skipped."""
    report = yield
    required = os.environ.get("HYBRIDASR_REQUIRE_DATA") == "1"
    if (required and report.skipped and not hasattr(report, "wasxfail")
            and item.get_closest_marker("realdata")):
        report.outcome = "failed"
        report.longrepr = f"skipped, but HYBRIDASR_REQUIRE_DATA=1: {call.excinfo.value}"
    return report

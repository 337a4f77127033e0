"""After kill -9 temporary files stayed for good."""

import multiprocessing
import os
import signal

from hybridasr.storage import atomic_path, atomic_write, remove_stale_temporaries


def _write_for_ever(folder, started):
    with atomic_write(folder / "text") as file, atomic_path(folder / "feats.ark") as path:
        file.write("half")
        path.write_text("half")
        started.set()
        signal.pause()


def test_they_are_found_and_removed(tmp_path):
    context = multiprocessing.get_context("spawn")
    (tmp_path / "data").mkdir()
    keep = [tmp_path / ".lock", tmp_path / "data" / ".text.part", tmp_path / "my.1.part"]
    for path in keep:
        path.write_text("")
    started = context.Event()
    process = context.Process(target=_write_for_ever, args=(tmp_path / "data", started))
    process.start()
    assert started.wait(60)
    assert remove_stale_temporaries(tmp_path) == []  # the process runs
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert len(remove_stale_temporaries(tmp_path)) == 2
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == sorted(keep)

"""Servers for tests: each in a thread of this process, at a free port, stopped at the end."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from hybridasr.deploy.serve_options import ServeOptions
from hybridasr.deploy.server import run_server
from hybridasr.vosk import Model
from hybridasr.wake.detector import WakeDetector


@contextmanager
def servers(model: Model, detector: WakeDetector | None = None
            ) -> Iterator[Callable[..., SimpleNamespace]]:
    """Yield a function that starts a server with options; all are stopped, and must end.

    It returns `port`, `websocket` and `http` (addresses), `stop` and `join`.
    """
    places = []

    def start(**options) -> SimpleNamespace:
        place, ready = SimpleNamespace(error=None), threading.Event()

        def listen(port, stop):
            scheme = "s" if options.get("tls_key") else ""
            place.port, place.stop = port, stop
            place.websocket = f"ws{scheme}://127.0.0.1:{port}"
            place.http = f"http{scheme}://127.0.0.1:{port}"
            ready.set()

        def work():
            try:
                asyncio.run(run_server(model, ServeOptions(**{"port": 0, **options}), detector,
                                       listen))
            except BaseException as error:
                place.error = error
            finally:
                ready.set()

        thread = threading.Thread(target=work)
        thread.start()
        assert ready.wait(60)
        if place.error is not None:
            raise place.error
        place.join = lambda: join(place, thread)
        places.append((place, thread))
        return place

    def join(place, thread):
        thread.join(60)
        assert not thread.is_alive()
        assert place.error is None, place.error

    yield start
    for place, thread in places:
        if thread.is_alive():
            place.stop()
        join(place, thread)


class ProcessCosts(NamedTuple):
    """What a process holds: megabytes resident, threads, open files."""

    memory: float
    threads: int
    files: int


def process_costs(process: int | str = "self") -> ProcessCosts:
    """Read from /proc, which Linux has."""
    place = Path(f"/proc/{process}")
    status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    return ProcessCosts(int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"]),
                        len(os.listdir(place / "fd")))

"""Several processes that serve: who gets which connection, what is counted, how it ends."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from command_world import COMMANDS, RATE, speak

pytest.importorskip("aiohttp")
pytest.importorskip("prometheus_client")
wyoming_client = pytest.importorskip("wyoming.client")
client = pytest.importorskip("websockets.sync.client")

from wyoming.info import Describe, Info  # noqa: E402

from hybridasr.deploy.serve_options import ServeOptions  # noqa: E402
from hybridasr.errors import UserError  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
AUDIO = np.concatenate([speak("bu1la1", np.random.default_rng(0)),
                        np.random.default_rng(1).normal(0, 40, RATE).astype(np.int16)]).tobytes()


@contextmanager
def dealing(model, *options):
    """Serve by two processes; yield the dealer and its port."""
    paths = [str(Path(__file__).parents[2]), *filter(None, sys.path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "hybridasr", "serve", "--port", "0", "--processes", "2", *options,
         str(model)], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)})
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            # The door of HTTP is told first.
            if "(Wyoming)" in line or "(page" in line and "--wyoming" not in options:
                break
        port = re.search(r"http://127.0.0.1:(\d+)", "".join(lines))
        assert port, lines
        yield process, port[1]
    finally:
        process.kill()
        process.stderr.close()
        process.wait(60)


def forks(process):
    """The processes that serve."""
    place = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in place.read_text().split()]


def sockets(pid):
    names = map(os.readlink, Path(f"/proc/{pid}/fd").iterdir())
    return sum(name.startswith("socket:") for name in names)


def settled(value, wanted):
    """Wait until a function gives what is wanted, for ten seconds at most; return what it gives."""
    for _ in range(100):
        if value() == wanted:
            break
        time.sleep(0.1)
    return value()


def test_each_connection_goes_to_the_process_with_the_fewest(spoken_world, tmp_path):
    path = tmp_path / "asr.sock"
    (tmp_path / "commands.txt").write_text("".join(f"{text}\n" for text in COMMANDS))
    with dealing(spoken_world.mono, "--wyoming", f"unix://{path}", "--commands",
                 str(tmp_path / "commands.txt")) as (process, port):
        pids = forks(process)
        assert len(pids) == 2
        # Both serve, before what they hold is counted: one connection each.
        with client.connect(f"ws://127.0.0.1:{port}"), client.connect(f"ws://127.0.0.1:{port}"):
            during = [sockets(pid) for pid in pids]
        before = [count - 1 for count in during]
        assert settled(lambda: [sockets(pid) for pid in pids], before) == before
        time.sleep(1.0)  # until the dealer has been told
        with ExitStack() as stack:
            connections = [stack.enter_context(client.connect(f"ws://127.0.0.1:{port}"))
                           for _ in range(6)]
            assert settled(lambda: [sockets(pid) for pid in pids],
                           [count + 3 for count in before]) == [count + 3 for count in before]
            # Those of one process leave; the next ones go there.
            for connection in connections[::2]:
                connection.close()
            assert settled(lambda: sum(map(sockets, pids)), sum(before) + 3) == sum(before) + 3
            time.sleep(1.0)  # until the dealer has been told
            for _ in range(3):
                stack.enter_context(client.connect(f"ws://127.0.0.1:{port}"))
            assert settled(lambda: [sockets(pid) for pid in pids],
                           [count + 3 for count in before]) == [count + 3 for count in before]
        texts = []
        for _ in range(2):
            with client.connect(f"ws://127.0.0.1:{port}") as connection:
                connection.send(f'{{"config": {{"sample_rate": {RATE}}}}}')
                connection.send(AUDIO)
                connection.recv()
                connection.send('{"eof" : 1}')
                texts.append(connection.recv())
        assert all("text" in text for text in texts)
        # Both count in one place, whoever is asked.
        metrics = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
        heard = re.search(r'hybridasr_audio_seconds_total\{.*?\} ([\d.]+)', metrics)
        assert float(heard[1]) == pytest.approx(2 * len(AUDIO) / 2 / RATE)
        assert asyncio.run(describe(path)) == ["hybridasr"]
        process.terminate()
        assert process.wait(60) == 0


async def describe(path):
    async with wyoming_client.AsyncClient.from_uri(f"unix://{path}") as one:
        await one.write_event(Describe().event())
        return [program.name for program in Info.from_event(await one.read_event()).asr]


def test_the_end_of_one_process_ends_the_server(spoken_world):
    with dealing(spoken_world.mono) as (process, _):
        os.kill(forks(process)[1], signal.SIGKILL)
        assert "has ended by itself" in process.stderr.read()
        assert process.wait(60) == 1


def test_processes_end_with_the_dealer(spoken_world):
    with dealing(spoken_world.mono) as (process, _):
        pids = forks(process)
        process.kill()
        process.wait(60)
        assert settled(lambda: all(map(ended, pids)), True)


def ended(pid):
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def test_shares_of_limits():
    assert ServeOptions(processes=2, threads=3).threads_each == 3
    assert ServeOptions(processes=10_000).threads_each == 1
    with pytest.raises(UserError, match="processes is 0"):
        ServeOptions(processes=0)

"""The server: clients as vosk-server's, the limits of connections, a graceful stop."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from command_world import COMMANDS, RATE, speak

websockets = pytest.importorskip("websockets")
client = pytest.importorskip("websockets.sync.client")
server_world = pytest.importorskip("server_world")

from hybridasr.cli import main  # noqa: E402
from hybridasr.vosk import Model  # noqa: E402

AUDIO = np.concatenate([speak("bu1la1", np.random.default_rng(0)),
                        np.random.default_rng(1).normal(0, 40, RATE).astype(np.int16)]).tobytes()
CONFIG = json.dumps({"config": {"sample_rate": RATE, "phrase_list": [*COMMANDS, "[unk]"]}})


@pytest.fixture(scope="module")
def model(spoken_world):
    return Model(spoken_world.mono)


@pytest.fixture
def serve(model):
    """Start a server with options; its address. It is stopped at the end, and must end."""
    with server_world.servers(model) as start:
        yield lambda **options: start(**options).websocket


def talk(url, audio=AUDIO, config=CONFIG):
    """What vosk-server's test.py does: the answers."""
    with client.connect(url) as connection:
        connection.send(config)
        answers = []
        for begin in range(0, len(audio), 8000):
            connection.send(audio[begin:begin + 8000])
            answers.append(json.loads(connection.recv()))
        connection.send('{"eof" : 1}')
        return [*answers, json.loads(connection.recv())]


def test_a_client_of_vosk_server(serve):
    answers = talk(serve())
    assert [answer["text"] for answer in answers if answer.get("text")] == ["bu1la1"]


def test_clients_at_once(serve):
    url = serve(threads=2)
    expected, answers = talk(url), []
    threads = [threading.Thread(target=lambda: answers.append(talk(url))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [expected] * 3


def test_one_client_too_many_is_sent_away(serve):
    url = serve(max_connections=1)
    with client.connect(url) as first:
        first.send(CONFIG)
        first.send(AUDIO[:8000])
        first.recv()
        with client.connect(url) as second:
            with pytest.raises(websockets.ConnectionClosed):
                second.recv()
            assert second.close_code == 1013
        first.send('{"eof" : 1}')
        assert "text" in json.loads(first.recv())


def test_a_message_that_is_too_long_ends_the_connection_alone(serve):
    url = serve(max_message_kb=16)
    with client.connect(url) as connection:
        connection.send(CONFIG)
        connection.send(bytes(20000))
        with pytest.raises(websockets.ConnectionClosed):
            connection.recv()
        assert connection.close_code == 1009
    assert talk(url)


def test_what_is_wrong_is_told_and_ends_the_connection(serve):
    url = serve()
    with client.connect(url) as connection:
        connection.send("hello")
        assert "not understood" in json.loads(connection.recv())["error"]
        with pytest.raises(websockets.ConnectionClosed):
            connection.recv()
        assert connection.close_code == 1008


def test_an_address_that_is_taken_is_one_line(serve, spoken_world, capsys):
    port = serve().rpartition(":")[2]
    assert main(["serve", "--port", port, str(spoken_world.mono)]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"cannot listen at 127.0.0.1:{port}" in error


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
def test_a_signal_ends_the_server(spoken_world):
    process = subprocess.Popen(
        [sys.executable, "-m", "hybridasr", "serve", "--port", "0", str(spoken_world.mono)],
        stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *[
            path for path in sys.path if path]])})
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "listening at http://127.0.0.1:" in line:
            process.send_signal(signal.SIGTERM)
            break
    process.stderr.read()
    assert process.wait(60) == 0, lines

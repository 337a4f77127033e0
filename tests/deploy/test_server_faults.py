"""Faulty, hostile and slow clients of the WebSockets: what each sees, and that others go on.

The counterpart over Wyoming is in test_wyoming_client.py, over HTTP in test_http_service.py.
"""

import gc
import json
import os
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from command_world import COMMANDS, RATE, speak

if not Path("/proc/self/fd").is_dir():
    pytest.skip("costs are read from /proc", allow_module_level=True)
client = pytest.importorskip("websockets.sync.client")
server_world = pytest.importorskip("server_world")
from websockets.exceptions import ConnectionClosed  # noqa: E402

from hybridasr.recognize.recognizer import load  # noqa: E402
from hybridasr.vosk import Model  # noqa: E402

AUDIO = np.concatenate([speak("bu1la1", np.random.default_rng(0)),
                        np.random.default_rng(1).normal(0, 40, RATE).astype(np.int16)]).tobytes()
PATHS = ["/", "/events"]


@pytest.fixture(scope="module")
def model(spoken_world):
    return Model.of(load(spoken_world.mono, commands=COMMANDS))


@pytest.fixture
def serve(model):
    with server_world.servers(model) as start:
        yield start


def talk(place):
    """The text that a good client gets."""
    with client.connect(place.websocket) as one:
        texts = []
        for begin in range(0, len(AUDIO), 8000):
            one.send(AUDIO[begin:begin + 8000])
            texts.append(json.loads(one.recv()).get("text"))
        one.send('{"eof" : 1}')
        texts.append(json.loads(one.recv())["text"])
    return [text for text in texts if text]


def upgrade(path="/"):
    """The request that begins a WebSocket."""
    return (f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            ).encode()


def seen(place, path, *messages):
    """What a client sees: (the last answer, the code of the closing)."""
    with client.connect(place.websocket + path) as one:
        answer = None
        try:
            for message in messages:
                one.send(message)
            while True:
                answer = json.loads(one.recv(timeout=30))
        except ConnectionClosed:
            return answer, one.close_code


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("message", ["hello", "", "[1]", "1", '{"config": []}', '{"conf": {}}',
                                     "[" * 100_000, '"\\ud800"', "\x00"])
def test_garbage_is_answered_by_an_error_and_1008(serve, path, message):
    place = serve()
    answer, code = seen(place, path, message)
    assert "not understood" in answer["error"]
    assert code == 1008
    assert talk(place) == ["bu1la1"]


def test_a_text_that_is_not_utf8_is_closed_with_1007(serve):
    place = serve()
    with socket.create_connection(("127.0.0.1", place.port), timeout=30) as raw:
        raw.sendall(upgrade())
        assert b"101" in raw.recv(4096)
        raw.sendall(bytes([0x81, 0x82, 0, 0, 0, 0, 0xC3, 0x28]))
        frame = raw.recv(4096)
    assert frame[0] == 0x88
    assert int.from_bytes(frame[2:4], "big") == 1007


def test_audio_before_any_config_is_taken_as_the_models(serve):
    place = serve()
    assert talk(place) == ["bu1la1"]
    answer, code = seen(place, "/", AUDIO[:8000], '{"config": {"sample_rate": 8000}}')
    assert (answer, code) == ({"error": "config in the middle of audio; send it first"}, 1008)


@pytest.mark.parametrize(("rate", "line"), [
    (0, "sample rate 0; give hertz"), (-5, "sample rate -5"), (10**9, "sample rate 1e+09"),
    ('"x"', "not of type int"), ("true", "not of type int"), ("1e999", "sample rate inf"),
])
def test_a_rate_that_cannot_be_is_an_error_and_1008(serve, rate, line):
    place = serve()
    answer, code = seen(place, "/", f'{{"config": {{"sample_rate": {rate}}}}}')
    assert line in answer["error"]
    assert code == 1008
    assert talk(place) == ["bu1la1"]


def test_the_wrong_rate_gives_no_command(serve):
    """Audio of 16 kHz as of 8 kHz is slow and deep: it is no command, and nothing breaks."""
    place = serve()
    with client.connect(place.websocket) as one:
        one.send('{"config": {"sample_rate": 8000}}')
        one.send(AUDIO)
        one.recv()
        one.send('{"eof" : 1}')
        assert set(json.loads(one.recv())) <= {"text", "result"}


@pytest.mark.parametrize("path", PATHS)
def test_a_message_that_is_too_large_is_closed_with_1009(serve, path):
    place = serve(max_message_kb=16)
    assert seen(place, path, bytes(20_000)) == (None, 1009)
    assert seen(place, path, '{"config": {"x": "' + "y" * 20_000 + '"}}') == (None, 1009)
    assert talk(place) == ["bu1la1"]


def test_a_message_that_claims_a_gigabyte_costs_nothing(serve):
    """The length in the head of a frame is believed by nobody: 1009 before any of it comes."""
    place = serve()
    before = server_world.process_costs().memory
    with socket.create_connection(("127.0.0.1", place.port), timeout=30) as raw:
        raw.sendall(upgrade())
        assert b"101" in raw.recv(4096)
        raw.sendall(bytes([0x82, 0xFF]) + (1 << 30).to_bytes(8, "big") + bytes(4))
        # Whether it is told before, or after as much as a message may hold, is aiohttp's.
        raw.settimeout(2)
        code = None
        try:
            for _ in range(40):
                raw.sendall(bytes(1 << 16))
            frame = raw.recv(4096)
            code = int.from_bytes(frame[2:4], "big") if frame else None
        except (ConnectionError, TimeoutError):
            pass
    assert code in (1009, None)
    assert server_world.process_costs().memory - before < 64
    assert talk(place) == ["bu1la1"]


@pytest.mark.parametrize("path", PATHS)
def test_a_silent_client_is_told_and_closed_with_1008(serve, path):
    place = serve(max_idle=0.3)
    answer, code = seen(place, path)
    assert (answer, code) == ({"error": "no message for 0.3 s; connect again"}, 1008)


def test_a_frame_byte_by_byte_is_no_message(serve):
    """A slow loris is idle: the whole message has to come in time."""
    place = serve(max_idle=0.5)
    with socket.create_connection(("127.0.0.1", place.port), timeout=30) as raw:
        raw.sendall(upgrade())
        raw.recv(4096)
        raw.sendall(bytes([0x82, 0xFE, 0x03, 0xE8]) + bytes(4))
        begun, told = time.monotonic(), b""
        raw.settimeout(0.1)
        while b"no message for 0.5 s" not in told and time.monotonic() - begun < 10:
            try:
                raw.sendall(b"\x00")
                told += raw.recv(4096)
            except TimeoutError:
                pass
        assert b"no message for 0.5 s" in told
    assert talk(place) == ["bu1la1"]


def flood(raw, messages):
    for _ in range(2000):
        raw.sendall(messages)


def test_a_client_that_reads_nothing_is_dropped(serve):
    """Its answers fill the buffers; then the server waits --max-idle, and no longer."""
    place = serve(max_idle=0.5)
    text = json.dumps({"config": {"sample_rate": "x" * 60}}).encode()
    frames = (bytes([0x81, 0x80 | len(text)]) + bytes(4) + text) * 1000
    asked = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 1000
    for begin, messages in ((upgrade("/events"), frames), (b"", asked)):
        with socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.settimeout(30)
            raw.connect(("127.0.0.1", place.port))
            raw.sendall(begin)
            with pytest.raises(ConnectionError):
                flood(raw, messages)
    assert talk(place) == ["bu1la1"]


@pytest.mark.parametrize("path", PATHS)
def test_a_client_that_leaves_in_the_middle_of_a_word_is_counted(serve, path):
    place = serve()
    with client.connect(place.websocket + path) as one:
        one.send(AUDIO[:9000])
        one.recv()
        one.socket.close()  # no closing handshake
    assert talk(place) == ["bu1la1"]
    name = "vosk" if path == "/" else "events"
    deadline = time.monotonic() + 20
    while f'hybridasr_lost_total{{protocol="{name}"}} 1.0' not in metrics(place):
        assert time.monotonic() < deadline, metrics(place)
        time.sleep(0.05)
    assert f'hybridasr_sessions_open{{protocol="{name}"}} 0.0' in metrics(place)


def metrics(place):
    with socket.create_connection(("127.0.0.1", place.port), timeout=30) as raw:
        raw.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        text = b""
        while block := raw.recv(1 << 16):
            text += block
    return text.decode()


def test_the_end_tells_what_was_said_and_closes_with_1001(serve):
    place = serve()
    with client.connect(place.websocket) as one, client.connect(place.websocket) as silent:
        speech = speak("bu1la1", np.random.default_rng(0)).tobytes()
        one.send(speech)
        one.recv()
        place.stop()
        assert json.loads(one.recv(timeout=30))["text"] == "bu1la1"
        for each in (one, silent):
            with pytest.raises(ConnectionClosed):
                each.recv(timeout=30)
            assert each.close_code == 1001
    place.join()


def test_large_messages_of_one_do_not_delay_another(serve, model):
    """A minute in one message is worked on in pieces, between which others have their turn."""
    place = serve(threads=1, max_message_kb=4096)
    minute = np.random.default_rng(5).normal(0, 300, 60 * RATE).astype(np.int16).tobytes()
    with client.connect(place.websocket) as large, client.connect(place.websocket) as small:
        small.send(AUDIO[:6400])
        small.recv()
        begun = time.monotonic()
        large.send(minute)
        small.send(AUDIO[6400:12800])
        small.recv(timeout=60)
        waited = time.monotonic() - begun
        large.recv(timeout=120)
        whole = time.monotonic() - begun
    assert waited < whole / 2


def _good(place):
    with client.connect(place.websocket) as one:
        one.send(AUDIO[:6400])
        one.recv()
        one.send('{"eof" : 1}')
        one.recv()


def _bad(place, number):
    kind = number % 5
    with socket.create_connection(("127.0.0.1", place.port), timeout=30) as raw:
        if kind == 0:
            return
        if kind == 1:
            raw.sendall(os.urandom(200))
            return
        raw.sendall(upgrade()[:40 if kind == 2 else None])
        if kind == 2:
            return
        raw.recv(4096)
        # Half a frame of audio; or a whole one, and away without a word.
        raw.sendall(bytes([0x82, 0xFE, 0x0C, 0x80]) + bytes(4) + AUDIO[:3200 if kind == 3 else 100])


@pytest.mark.slow
def test_many_connections_leave_nothing_behind(serve):
    """2,000, half of them bad: memory, threads and files are as after the first 400."""
    place = serve(threads=2)

    def work(numbers):
        for number in numbers:
            if number % 2:
                _good(place)
            else:
                _bad(place, number // 2)

    def costs(files):
        deadline = time.monotonic() + 20
        while server_world.process_costs().files > files and time.monotonic() < deadline:
            time.sleep(0.1)
        gc.collect()
        return server_world.process_costs()

    files = server_world.process_costs().files + 1
    work(range(400))
    before = costs(files)
    workers = [threading.Thread(target=work, args=(range(begin, 2000, 4),))
               for begin in range(400, 404)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    after = costs(before.files)
    assert talk(place) == ["bu1la1"]
    assert after.memory - before.memory < 16, (before, after)
    assert after.threads <= before.threads, (before, after)
    assert after.files <= before.files, (before, after)

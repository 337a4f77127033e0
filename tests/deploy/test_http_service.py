"""HTTP: files to recognise, health, metrics, description; token, TLS, origins, limits."""

import contextlib
import http.client
import io
import json
import shutil
import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.request

import numpy as np
import pytest
import soundfile
from command_world import COMMANDS, OUTSIDE, RATE, speak

pytest.importorskip("aiohttp")
client = pytest.importorskip("websockets.sync.client")
parser = pytest.importorskip("prometheus_client.parser")
server_world = pytest.importorskip("server_world")
from websockets.exceptions import InvalidStatus  # noqa: E402

from hybridasr.deploy.http_service import HttpService, openapi_description  # noqa: E402
from hybridasr.deploy.metrics import Metrics  # noqa: E402
from hybridasr.deploy.serve_options import ServeOptions, Token  # noqa: E402
from hybridasr.deploy.workers import Workers  # noqa: E402
from hybridasr.errors import UserError  # noqa: E402
from hybridasr.recognize.recognizer import load  # noqa: E402
from hybridasr.vosk import Model  # noqa: E402

SECRET = "0123456789abcdef"


@pytest.fixture(scope="module")
def recognizer(spoken_world):
    return load(spoken_world.mono, commands=COMMANDS)


@pytest.fixture
def serve(recognizer):
    with server_world.servers(Model.of(recognizer)) as start:
        yield start


def ask(url, body=None, context=None, **headers):
    """(status, JSON or text) of a GET, or with a body of a POST."""
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=60, context=context) as answer:
            text, status = answer.read().decode(), answer.status
    except urllib.error.HTTPError as error:
        text, status = error.read().decode(), error.code
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


def recording(samples, rate=RATE, form="WAV"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form)
    return file.getvalue()


SPOKEN = speak("bu1la1", np.random.default_rng(0))
TWO = np.concatenate([speak("da1ti1", np.random.default_rng(1)), np.random.default_rng(2).normal(
    0, 40, 2 * RATE).astype(np.int16), SPOKEN])


def test_a_file_gets_the_result_of_recognize(serve, recognizer):
    url = serve().http + "/recognize"
    files = [recording(SPOKEN), recording(SPOKEN, form="FLAC"), recording(
        speak(OUTSIDE[0], np.random.default_rng(3))), recording(np.zeros(RATE, np.int16)),
        recording(np.repeat(SPOKEN, 3), 3 * RATE), recording(np.stack([SPOKEN] * 2, axis=1))]
    for contents in files:
        status, result = ask(url, contents)
        expected = json.loads(json.dumps(recognizer.recognize(contents)))
        assert (status, result["text"], result["accepted"], result["reason"]) == (
            200, expected["text"], expected["accepted"], expected["reason"])
    assert ask(url, files[0]) == (200, json.loads(json.dumps(recognizer.recognize(files[0]))))
    assert ask(url + "?nbest=1", files[0])[1]["alternatives"] == recognizer.recognize(
        files[0], nbest=1)["alternatives"]


def test_a_long_file_is_cut_where_speech_ends(serve):
    place = serve(max_utterance=1.5, max_seconds=4.0)
    status, answer = ask(place.http + "/recognize?utterances=true", recording(TWO))
    assert status == 200
    assert [one["text"] for one in answer["results"] if one["text"]] == ["da1ti1", "bu1la1"]
    assert answer["results"][-1]["start"] >= 1.0
    status, answer = ask(place.http + "/recognize", recording(TWO))
    assert status == 413
    assert "more than 1.5 s of audio; send it to /recognize?utterances=true" in answer["error"]
    long = recording(np.zeros(5 * RATE, np.int16))
    status, answer = ask(place.http + "/recognize?utterances=true", long)
    assert (status, answer["error"]) == (413, "more than 4 s of audio; send it in parts")


@pytest.mark.parametrize(("query", "body", "status", "line"), [
    ("", b"", 400, "the recording: the file is empty"), ("", b"hello", 400, "the recording: "),
    ("?x=1", b"", 400, "unknown parameter x"), ("?nbest=-1", b"", 400, "nbest is -1"),
    ("?utterances=2", b"", 400, "utterances is 2"),
    ("", bytes(3 << 20), 413, "a file of more than 1 MB"),
])
def test_what_cannot_be_recognised_is_one_line(serve, query, body, status, line):
    place = serve(max_file_mb=1)
    code, answer = ask(place.http + "/recognize" + query, body)
    assert code == status
    assert line in answer["error"]
    assert "\n" not in answer["error"]


def test_forms_unknown_paths_and_methods_are_told(serve):
    place = serve()
    status, answer = ask(place.http + "/recognize", b"x",
                         **{"Content-Type": "multipart/form-data; boundary=x"})
    assert status == 400
    assert "curl --data-binary @FILE" in answer["error"]
    assert ask(place.http + "/nowhere")[0] == 404
    assert "see /openapi.json" in ask(place.http + "/nowhere")[1]["error"]
    assert ask(place.http + "/recognize")[0] == 405
    assert ask(place.http + "/events")[0] == 426


def test_health_and_metrics(serve):
    place = serve()
    assert ask(place.http + "/health")[1] | {"version": ""} == {
        "status": "ok", "version": "", "sample_rate": RATE, "commands": 3}
    for contents in (SPOKEN, speak(OUTSIDE[0], np.random.default_rng(3))):
        ask(place.http + "/recognize", recording(contents))
    ask(place.http + "/recognize", b"hello")
    with client.connect(place.websocket) as one:
        one.send(bytes(8000))
        one.recv()
        families = {family.name: family for family in parser.text_string_to_metric_families(
            ask(place.http + "/metrics")[1])}

        def value(name, suffix="", **labels):
            return sum(sample.value for sample in families[name].samples
                       if sample.name == name + suffix and labels.items() <= sample.labels.items())

        assert value("hybridasr_sessions_open", protocol="vosk") == 1
        seconds = sum(map(len, (SPOKEN, speak(OUTSIDE[0], np.random.default_rng(3))))) / RATE
        assert value("hybridasr_audio_seconds", "_total", protocol="http") == pytest.approx(
            seconds, abs=1e-6, rel=0)
        assert value("hybridasr_audio_seconds", "_total", protocol="vosk") == 0.25
        assert value("hybridasr_results", "_total") == 2
        assert value("hybridasr_results", "_total", reason="accepted") >= 1
        assert value("hybridasr_answer_seconds", "_count") == 2
        assert value("hybridasr_refused", "_total", reason="file") == 1


def test_the_description_has_every_route_and_no_other(model_service):
    described = {(path, method.upper()) for path, methods in
                 openapi_description()["paths"].items() for method in methods}
    routes = {(route.resource.canonical, route.method)
              for route in model_service.application().router.routes() if route.method != "HEAD"}
    files = {(path, method) for path, method in routes if "." in path} - {("/openapi.json", "GET")}
    assert routes - files == described


def test_the_description_fits_the_answers(serve, recognizer):
    place = serve()
    status, description = ask(place.http + "/openapi.json")
    assert (status, description["openapi"]) == (200, "3.1.0")
    schemas = description["components"]["schemas"]
    result = ask(place.http + "/recognize", recording(SPOKEN))[1]
    assert set(schemas["Result"]["required"]) <= set(result) <= set(
        schemas["Result"]["properties"])
    assert set(result["result"][0]) == set(schemas["Word"]["properties"])
    assert set(ask(place.http + "/health")[1]) == set(schemas["Health"]["properties"])


@pytest.fixture
def model_service(recognizer):
    import asyncio

    async def make():
        options = ServeOptions()
        return HttpService(Model.of(recognizer), Workers(options, Metrics()), options, Token(None))

    return asyncio.run(make())


def test_a_token_is_needed_where_one_is_set(serve, tmp_path):
    (tmp_path / "token").write_text(SECRET + "\n")
    place = serve(token_file=str(tmp_path / "token"))
    contents, right = recording(SPOKEN), {"Authorization": f"Bearer {SECRET}"}
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": SECRET}):
        assert ask(place.http + "/recognize", contents, **headers)[0] == 401
        assert ask(place.http + "/metrics", **headers)[0] == 401
    assert ask(place.http + "/recognize", contents, **right)[0] == 200
    assert ask(place.http + f"/recognize?token={SECRET}", contents)[0] == 200
    assert ask(place.http + "/metrics", **right)[0] == 200
    assert ask(place.http + "/health")[0] == ask(place.http + "/")[0] == 200
    for path in ("/", "/events", "/?token=wrong"):
        with pytest.raises(InvalidStatus, match="401"):
            client.connect(place.websocket + path)
    with client.connect(place.websocket + f"/?token={SECRET}") as one:
        one.send('{"eof" : 1}')
        assert "text" in json.loads(one.recv())
    with client.connect(place.websocket, additional_headers=right) as one:
        one.send('{"eof" : 1}')
        assert "text" in json.loads(one.recv())


def test_pages_of_other_origins_are_refused(serve):
    place = serve()
    with pytest.raises(InvalidStatus, match="403"):
        client.connect(place.websocket, origin="https://evil.example")
    assert ask(place.http + "/recognize", b"", Origin="null")[0] == 403
    with client.connect(place.websocket, origin=place.http):
        pass
    other = serve(allow_origin="https://home.example, https://b.example/")
    with client.connect(other.websocket, origin="https://b.example"):
        pass
    with pytest.raises(InvalidStatus, match="403"):
        client.connect(other.websocket, origin="https://evil.example")


def test_a_certificate_makes_it_https(serve, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
                    "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=IP:127.0.0.1"], cwd=tmp_path, check=True, capture_output=True)
    certificate, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    place = serve(tls_certificate=certificate, tls_key=key)
    trust = ssl.create_default_context(cafile=certificate)
    assert ask(place.http + "/health", context=trust)[0] == 200
    with client.connect(place.websocket, ssl=trust) as one:
        one.send('{"eof" : 1}')
        assert "text" in json.loads(one.recv())
    with pytest.raises(UserError, match="give PEM files that belong together"):
        serve(tls_certificate=key, tls_key=certificate)


@pytest.mark.parametrize("text", ["short", "two words are no token", "", "汉" * 20])
def test_a_token_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "token").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="holds no token of 16 or more"):
        Token(str(tmp_path / "token"))
    with pytest.raises(UserError, match="none: cannot be read"):
        Token(str(tmp_path / "none"))


def test_slow_files_do_not_last(serve):
    """The body of a request has --max-idle seconds; the next client is served meanwhile."""
    place = serve(max_idle=0.5)
    slow = http.client.HTTPConnection("127.0.0.1", place.port, timeout=30)
    slow.putrequest("POST", "/recognize")
    slow.putheader("Content-Length", "100000")
    slow.endheaders()
    slow.send(b"RIFF")
    assert ask(place.http + "/health")[0] == 200
    answer = slow.getresponse()
    assert answer.status == 408
    assert b"no end of the file for 0.5 s" in answer.read()
    slow.close()


def test_a_connection_that_asks_for_nothing_is_dropped(serve):
    place = serve(max_idle=0.5)
    for begin in (b"", b"GET / HTTP/1.1\r\nX-"):
        with socket.create_connection(("127.0.0.1", place.port), timeout=30) as silent:
            silent.sendall(begin)
            with contextlib.suppress(ConnectionResetError):
                assert silent.recv(1) == b""
    assert ask(place.http + "/health")[0] == 200


def test_files_at_once_get_what_they_get_alone(serve):
    url = serve(threads=2).http + "/recognize"
    files = [recording(speak(text, np.random.default_rng(4))) for text in COMMANDS]
    expected, answers = [ask(url, contents) for contents in files], [None] * 6

    def work(number):
        answers[number] = ask(url, files[number % 3])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == expected * 2

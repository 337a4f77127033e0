"""Wyoming: the package's own client gets the words of `recognize`; wake words; strangers."""

import asyncio
import json
import shutil

import numpy as np
import pytest
import soundfile
from command_world import COMMANDS, RATE, make_network, speak

pytest.importorskip("wyoming")
server_world = pytest.importorskip("server_world")
from wyoming.asr import Transcribe, Transcript  # noqa: E402
from wyoming.audio import AudioChunk, AudioStart, AudioStop  # noqa: E402
from wyoming.client import AsyncClient  # noqa: E402
from wyoming.error import Error  # noqa: E402
from wyoming.event import Event  # noqa: E402
from wyoming.info import Describe, Info  # noqa: E402
from wyoming.ping import Ping, Pong  # noqa: E402
from wyoming.wake import Detect, Detection, NotDetected  # noqa: E402

from hybridasr.deploy.wyoming_client import written_text  # noqa: E402
from hybridasr.errors import UserError  # noqa: E402
from hybridasr.recognize.recognizer import bare_recognizer, load  # noqa: E402
from hybridasr.vosk import Model  # noqa: E402
from hybridasr.wake.detector import WakeDetector  # noqa: E402

FORM = {"rate": RATE, "width": 2, "channels": 1}


@pytest.fixture(scope="module")
def recognizer(spoken_world):
    return load(spoken_world.mono, commands=COMMANDS)


@pytest.fixture(scope="module")
def address(recognizer, tmp_path_factory):
    path = f"unix://{tmp_path_factory.mktemp('wyoming') / 'asr.sock'}"
    with server_world.servers(Model.of(recognizer)) as start:
        start(wyoming=path, max_message_kb=64, max_utterance=5.0)
        yield path


def talk(address, *messages, answers=1):
    """Send messages; the first answers, None where the server has closed."""
    async def run():
        async with AsyncClient.from_uri(address, read_timeout=60) as client:
            for message in messages:
                await client.write_event(message.event())
            return [await client.read_event() for _ in range(answers)]

    return asyncio.run(run())


def chunks(samples, form=FORM, size=1024):
    audio = samples.tobytes()
    return [AudioChunk(audio=audio[begin:begin + size], **form)
            for begin in range(0, len(audio), size)]


def spoken(samples, form=FORM):
    """What Home Assistant sends of a command."""
    return [Transcribe(language="zh"), AudioStart(**form), *chunks(samples, form), AudioStop()]


def test_every_recording_has_the_words_of_recognize(recognizer, spoken_world, address):
    utterances = spoken_world.test.utterances.values()
    expected, texts = [], []
    for utterance in utterances:
        samples, rate = soundfile.read(utterance.wav, dtype="int16")
        assert rate == RATE
        expected.append(written_text(recognizer.recognize(utterance.wav)))
        (event,) = talk(address, *spoken(samples))
        texts.append(Transcript.from_event(event).text)
    assert texts == expected
    assert set(texts) - {""} == set(COMMANDS)


def test_info_tells_model_and_languages(address):
    (event,) = talk(address, Describe())
    info = Info.from_event(event)
    assert info.wake == []
    (model,) = info.asr[0].models
    assert model.installed
    assert model.languages == ["zh", "zh-CN", "zh-Hans"]
    assert "3 commands" in model.description


def test_other_forms_of_audio_and_a_second_utterance(address):
    samples = speak("bu1la1", np.random.default_rng(0))
    stereo = np.repeat(samples[:, None], 2, axis=1)
    wide = samples.astype("<i4") << 16
    forms = [(samples, FORM), (stereo, FORM | {"channels": 2}), (wide, FORM | {"width": 4})]
    events = talk(address, *(message for one in forms for message in spoken(*one)), answers=3)
    assert [Transcript.from_event(event).text for event in events] == ["bu1la1"] * 3


def test_no_audio_is_no_text(address):
    events = talk(address, AudioStop(), AudioStart(**FORM), AudioStop(), Ping(text="hi"),
                  answers=3)
    assert [event.type for event in events] == ["transcript", "transcript", "pong"]
    assert [event.data.get("text") for event in events] == ["", "", "hi"]
    assert Pong.is_type(events[2].type)


def test_what_is_rejected_has_no_text():
    assert written_text({"text": "打开 空调", "accepted": False}) == ""
    assert written_text({"text": "把 空调 调到 20 度", "accepted": True}) == "把空调调到 20 度"


@pytest.mark.parametrize(("messages", "line"), [
    ([AudioStart(rate=1, width=2, channels=1)], "raw audio of 1 Hz"),
    ([AudioStart(rate=RATE, width=9, channels=1)], "samples of 9 bytes"),
    ([AudioStart(rate="x", width=2, channels=1)], "without rate, width and channels"),
    ([AudioStart(**FORM), AudioChunk(audio=b"12", rate=8000, width=2, channels=1)],
     "in the middle of other audio"),
    ([AudioStart(**FORM), *chunks(np.zeros(6 * RATE, np.int16), size=32000)],
     "more than 5 s of audio"),
    ([AudioStart(**FORM), *chunks(np.zeros(300 * RATE, np.int16), size=32000)],  # sent to its end
     "more than 5 s of audio"),
    ([AudioStart(**FORM), AudioChunk(audio=bytes(70000), **FORM)], "more than 65536"),
    ([Detect()], "no wake words here"),
])
def test_what_cannot_be_is_told_and_ends_the_connection(address, messages, line):
    error, end = talk(address, *messages, answers=2)
    assert line in Error.from_event(error).text
    assert end is None


@pytest.mark.parametrize("line", [
    b"hello\n", b"[1]\n", b'{"type": 1}\n', b"[" * 60000 + b"\n", bytes(range(10, 200)) + b"\n",
    b'{"type": "audio-chunk", "payload_length": 99999999999}\n',
    b'{"type": "audio-chunk", "payload_length": -4}\n',
    b'{"type": "x", "data_length": 3}\n[1]', b'{"type": "x", "data": [1]}\n',
    b'{"type": "detect", "data": {"names": 7}}\n', b"x" * 70000,
])
def test_garbage_is_told_in_one_line_and_ends_the_connection(address, line):
    async def run():
        reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix://"))
        writer.write(line)
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()
        return answer

    head, _, data = asyncio.run(run()).partition(b"\n")
    assert json.loads(head)["type"] == "error"
    assert json.loads(data)["text"]
    # Others are served.
    assert talk(address, Ping())[0].type == "pong"


def test_events_of_other_services_are_dropped(address):
    class Other:
        def event(self):
            return Event("synthesize", {"text": "hello"})

    assert talk(address, Other(), Ping())[0].type == "pong"


def test_one_client_too_many_is_told(recognizer, tmp_path):
    path = f"unix://{tmp_path / 'asr.sock'}"

    async def run():
        async with AsyncClient.from_uri(path) as first, AsyncClient.from_uri(path) as second:
            await first.write_event(Ping().event())
            assert (await first.read_event()).type == "pong"
            return await second.read_event()

    with server_world.servers(Model.of(recognizer)) as start:
        start(wyoming=path, max_connections=1)
        assert "too many clients" in Error.from_event(asyncio.run(run())).text


def test_the_end_of_the_server_finishes_the_utterance(recognizer, tmp_path):
    path = f"unix://{tmp_path / 'asr.sock'}"
    samples = speak("bu1la1", np.random.default_rng(0))

    async def run(stop):
        async with AsyncClient.from_uri(path, read_timeout=60) as client:
            for message in [*spoken(samples)[:-1], Ping()]:
                await client.write_event(message.event())
            assert (await client.read_event()).type == "pong"
            stop()
            return await client.read_event(), await client.read_event()

    with server_world.servers(Model.of(recognizer)) as start:
        transcript, end = asyncio.run(run(start(wyoming=path).stop))
    assert Transcript.from_event(transcript).text == "bu1la1"
    assert end is None


@pytest.fixture(scope="module")
def wake(spoken_world, tmp_path_factory):
    """Address of a server with wake words and no commands."""
    root = tmp_path_factory.mktemp("wake")
    model = root / "dnn"
    network = make_network(spoken_world, root / "network")
    shutil.copytree(network, model)
    shutil.copytree(network, model / "wake")
    detector = WakeDetector(model, [("hey", "li1du1 ta1", 0.1), ("other", "ba1lu1 di1", 0.9)])
    path = f"unix://{root / 'wake.sock'}"
    with server_world.servers(Model.of(bare_recognizer(model)), detector) as start:
        start(wyoming=path)
        yield path


def test_a_wake_word_is_detected(wake):
    (event,) = talk(wake, Describe())
    info = Info.from_event(event)
    assert info.asr == []
    assert [(one.name, one.phrase) for one in info.wake[0].models] == [
        ("hey", "li1du1 ta1"), ("other", "ba1lu1 di1")]
    noise = np.random.default_rng(2).normal(0, 40, RATE).astype(np.int16)
    said = np.concatenate([noise, speak("li1du1 ta1", np.random.default_rng(1)), noise])
    audio = [AudioStart(**FORM), *chunks(said)]
    for asked in (Detect(), Detect(names=["hey"])):
        (event,) = talk(wake, asked, *audio)
        detection = Detection.from_event(event)
        assert detection.name == "hey"
        assert 900 < detection.timestamp < 1400
    # A second stream of one client, in which nothing is said, or nothing that was asked for.
    silent = [AudioStart(**FORM), *chunks(noise), AudioStop()]
    events = talk(wake, Detect(), *audio, AudioStop(), *silent, answers=2)
    assert [event.type for event in events] == ["detection", "not-detected"]
    (event,) = talk(wake, Detect(names=["other"]), *audio, AudioStop())
    assert NotDetected.is_type(event.type)
    (event,) = talk(wake, Detect(names=["nobody"]))
    assert "no wake word 'nobody'; there are hey, other" in Error.from_event(event).text
    (event,) = talk(wake, Transcribe())
    assert "no commands here" in Error.from_event(event).text


def test_nothing_to_offer_is_refused(spoken_world, tmp_path):
    with (server_world.servers(Model.of(bare_recognizer(spoken_world.mono))) as start,
          pytest.raises(UserError, match="--wyoming needs commands or wake words")):
        start(wyoming=f"unix://{tmp_path / 'none.sock'}")

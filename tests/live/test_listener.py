"""From blocks to events: results as of a session, gaps, rates, faults, programs, files."""

import io
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from command_world import COMMANDS, RATE, speak

from hybridasr.corpus.raw_audio import RawFormat
from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.live.capture import RecordedAudio, capturing
from hybridasr.live.listener import Listener, ListenOptions
from hybridasr.live.ring_buffer import AudioBlock, Notice, RingBuffer
from hybridasr.recognize.recognizer import Speaker, load

FORM = RawFormat("s16le", RATE)
FLOATS = RawFormat("f32le", RATE)


def utterance(text, seed=3):
    """A text and a pause, int16."""
    rng = np.random.default_rng(seed)
    pause = np.round(40 * rng.normal(size=RATE)).astype(np.int16)
    return np.concatenate([speak(text, rng), pause])


AUDIO = [utterance(text) for text in COMMANDS]


@pytest.fixture(scope="module")
def recognizer(spoken_world):
    return load(spoken_world.mono, SearchOptions(acoustic_scale=0.03), commands=COMMANDS)


def blocks_of(samples, form=FORM, size=800):
    return [AudioBlock(samples[begin:begin + size].tobytes(), form)
            for begin in range(0, len(samples), size)]


def heard_in(recognizer, items, **options):
    ring = RingBuffer(1000.0)
    for item in items:
        (ring.put if isinstance(item, AudioBlock) else ring.put_notice)(item)
    ring.close()
    return list(Listener(recognizer, **options).events(ring, threading.Event()))


def texts(events):
    return [event["text"] for event in events if event.get("accepted")]


def notices(events):
    return [event["notice"] for event in events if "notice" in event]


def test_events_are_those_of_a_session(recognizer):
    samples = np.concatenate(AUDIO)
    session = recognizer.session()
    expected = session.accept(samples) + session.finish()
    events = heard_in(recognizer, blocks_of(samples), options=ListenOptions(partials=True))
    assert events == expected
    assert texts(events) == COMMANDS
    without = heard_in(recognizer, blocks_of(samples))
    assert without == [event for event in expected if "text" in event]


def test_times_go_on_behind_a_gap(recognizer):
    items = [*blocks_of(AUDIO[0]), Notice("lost", "lost", 30.0, 7), *blocks_of(AUDIO[1])]
    events = heard_in(recognizer, items)
    assert texts(events) == COMMANDS[:2]
    assert notices(events) == ["lost"]
    alone, = [e for e in heard_in(recognizer, blocks_of(AUDIO[1])) if e["accepted"]]
    last, = [event for event in events if event.get("text") == COMMANDS[1]]
    begin = len(AUDIO[0]) / RATE + 30
    assert last["start"] == pytest.approx(alone["start"] + begin, abs=0.002)
    assert last["result"][0]["start"] == pytest.approx(alone["result"][0]["start"] + begin,
                                                       abs=0.002)


def test_a_rate_that_changes(recognizer):
    twice = np.repeat(AUDIO[1], 2)
    items = blocks_of(AUDIO[0]) + blocks_of(twice, RawFormat("s16le", 2 * RATE))
    events = heard_in(recognizer, items)
    assert texts(events) == COMMANDS[:2]
    notice, = [event for event in events if "notice" in event]
    assert notice["message"] == ("audio of 32000 Hz in place of 16000 Hz; it goes on with that")


def test_faulty_blocks_are_told_once_and_left_out(recognizer):
    good = [blocks_of((samples / 32768).astype("<f4"), FLOATS) for samples in AUDIO[:2]]
    bad = blocks_of(np.full(2400, np.nan, "<f4"), FLOATS)
    events = heard_in(recognizer, [*good[0], *bad, *good[1], *bad])
    assert texts(events) == COMMANDS[:2]
    told = [event for event in events if "notice" in event]
    assert [event["notice"] for event in told] == ["fault", "fault"]
    assert "a block of audio is left out: sample 0 of the raw audio is nan" in told[0]["message"]


def test_audio_that_the_device_lost_is_told_once(recognizer):
    items = [block._replace(overflow=True) for block in blocks_of(AUDIO[0])]
    events = heard_in(recognizer, items)
    assert notices(events) == ["overflow"]
    assert texts(events) == COMMANDS[:1]


def test_a_consumer_that_is_too_slow(recognizer):
    """All of the audio is there before the first block is taken: what does not fit is a gap."""
    ring, stop = RingBuffer(len(AUDIO[0]) / RATE), threading.Event()
    for block in blocks_of(np.concatenate(AUDIO)):
        ring.put(block)
    ring.close()
    events = list(Listener(recognizer).events(ring, stop))
    assert texts(events) == COMMANDS[:1]
    notice, = [event for event in events if "notice" in event]
    assert (notice["notice"], notice["blocks"]) == ("lost", ring.lost_blocks)


def test_a_program_for_each_accepted_command(recognizer):
    started = []
    runner = SimpleNamespace(
        start=lambda result: started.append(result["text"]) or [Notice("program", "failed")],
        poll=list, finish=lambda: [Notice("program", "late")])
    outside = utterance("ba1lu1")
    events = heard_in(recognizer, blocks_of(np.concatenate([AUDIO[0], outside, AUDIO[1]])),
                      runner=runner)
    assert started == COMMANDS[:2]
    assert [event["message"] for event in events if "notice" in event] == [
        "failed", "failed", "late"]


def test_stop_gives_the_last_result(recognizer):
    ring, stop = RingBuffer(1000.0), threading.Event()
    spoken = speak(COMMANDS[0], np.random.default_rng(3))
    for block in blocks_of(spoken):
        ring.put(block)
    left = [len(blocks_of(spoken))]

    def watch(_block):
        left[0] -= 1
        if left[0] == 0:
            stop.set()

    event, = Listener(recognizer, watch=watch).events(ring, stop)
    assert (event["text"], event["end_reason"]) == (COMMANDS[0], "finish")


def recorded(recognizer, source, **options):
    ring, stop = RingBuffer(waits=True), threading.Event()
    with capturing(source, ring, stop):
        return list(Listener(recognizer, **options).events(ring, stop))


@pytest.mark.parametrize("real_time", [False, True])
def test_a_file_is_as_its_samples(recognizer, tmp_path, real_time):
    path = str(tmp_path / "two.wav")
    soundfile.write(path, np.concatenate(AUDIO[:2]), RATE)
    expected = heard_in(recognizer, blocks_of(np.concatenate(AUDIO[:2])))
    assert recorded(recognizer, RecordedAudio(path, real_time=real_time)) == expected


def test_standard_input(recognizer, tmp_path, monkeypatch):
    contents = AUDIO[0].tobytes()
    expected = heard_in(recognizer, blocks_of(AUDIO[0]))
    (tmp_path / "one.raw").write_bytes(contents + b"x")
    wav = io.BytesIO()
    soundfile.write(wav, AUDIO[0], RATE, format="WAV")
    for source, given in ((RecordedAudio(str(tmp_path / "one.raw"), FORM), b""),
                          (RecordedAudio("-", FORM), contents),
                          (RecordedAudio("-"), wav.getvalue())):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(given)))
        assert recorded(recognizer, source) == expected


def test_a_file_that_is_not_there(recognizer, tmp_path):
    for form in (None, FORM):
        with pytest.raises(UserError, match="no such recording"):
            recorded(recognizer, RecordedAudio(str(tmp_path / "x"), form))


def test_one_speaker_is_remembered(recognizer):
    """The events are those of sessions that share a speaker."""
    speaker = Speaker()
    session = recognizer.session(speaker=speaker, partials=False)
    samples = np.concatenate(AUDIO)
    expected = session.accept(samples) + session.finish()
    assert heard_in(recognizer, blocks_of(samples),
                    options=ListenOptions(one_speaker=True)) == expected

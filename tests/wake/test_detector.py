"""Wake words in a stream: found where they are, once, however the stream is cut; thresholds."""

import json
import shutil

import numpy as np
import pytest
import soundfile
from command_world import COMMANDS, OUTSIDE, RATE, make_network, speak
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridasr.cli import main
from hybridasr.corpus.command_list import make_commands
from hybridasr.corpus.raw_audio import RawFormat
from hybridasr.errors import UserError
from hybridasr.evaluation.wake_rates import hear, rate_table
from hybridasr.live.woken_session import WokenSession
from hybridasr.parallel import SerialExecutor
from hybridasr.recognize.recognizer import load
from hybridasr.score.detection import rate_threshold
from hybridasr.wake.detector import FIRST, WakeDetector, WakeOptions
from hybridasr.wake.profile import read_profile, write_profile

PHRASE = COMMANDS[0]
POOL = SerialExecutor()


@pytest.fixture(scope="module")
def network(spoken_world, tmp_path_factory):
    """A network, with a smaller one for its first stage."""
    path = make_network(spoken_world, tmp_path_factory.mktemp("wake") / "dnn")
    small = make_network(spoken_world, tmp_path_factory.mktemp("small"),
                         "splice offsets=-2:2\naffine dim=24\nrelu\noutput\n")
    shutil.copytree(small, path / FIRST)
    return path


def noise(seconds, rng):
    return np.round(40 * rng.normal(size=int(RATE * seconds))).astype(np.int16)


def audio(seed=4):
    """(samples, seconds of the phrase): it stands alone, and in the middle of other words."""
    rng = np.random.default_rng(seed)
    parts, times, place = [], [], 0.0
    for text, pause in ((OUTSIDE[0], 1.5), (PHRASE, 1.5), (OUTSIDE[1], 0.0), (PHRASE, 0.0),
                        (OUTSIDE[3], 1.5)):
        spoken = speak(text, rng)
        if text == PHRASE:
            times.append((place, place + len(spoken) / RATE))
        parts += [spoken, noise(pause, rng)]
        place += sum(map(len, parts[-2:])) / RATE
    return np.concatenate(parts), times


AUDIO, TIMES = audio()


def events_of(detector, pieces):
    return [event for piece in pieces for event in detector.accept(piece)] + detector.finish()


@pytest.fixture(scope="module")
def detector(network):
    return WakeDetector(network, [PHRASE])


def test_found_where_it_is_and_once(detector):
    events = events_of(detector, [AUDIO])
    assert [event["wake"] for event in events] == [PHRASE, PHRASE]
    for event, (begin, end) in zip(events, TIMES, strict=True):
        assert begin - 0.05 <= event["start"] < event["end"] <= end + 0.05
        assert 0.3 <= event["confidence"] <= 1.0


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, len(AUDIO)), max_size=30).map(sorted))
def test_cuts_change_nothing(detector, cuts):
    assert events_of(detector, np.split(AUDIO, cuts)) == events_of(detector, [AUDIO])


def test_other_forms_of_audio(detector):
    whole = events_of(detector, [AUDIO])
    detector.begin(raw=RawFormat("s16le", RATE, 2), channel=0)
    both = np.stack([AUDIO, np.zeros_like(AUDIO)], axis=1)
    assert events_of(detector, [both.tobytes()]) == whole
    detector.begin(rate=2 * RATE)
    twice = events_of(detector, [np.repeat(AUDIO, 2)])
    assert [event["wake"] for event in twice] == [PHRASE, PHRASE]
    detector.begin()


def test_the_phrase_s_own_threshold_goes_first(network):
    strict = WakeDetector(network, [("id", PHRASE, 1.0)], WakeOptions(wake_threshold=0.0))
    assert events_of(strict, [AUDIO]) == []


@pytest.mark.parametrize(("options", "line"), [
    ({"first_threshold": 0.5}, "from -100 to 0"), ({"wake_threshold": 2.0}, "from 0 to 1")])
def test_options_out_of_range(options, line):
    with pytest.raises(UserError, match=line):
        WakeOptions(**options)


def test_models_that_cannot(spoken_world, network):
    with pytest.raises(UserError, match="this is a GMM"):
        WakeDetector(spoken_world.mono, [PHRASE])
    with pytest.raises(UserError, match="no command|empty"):
        WakeDetector(network, [])


def test_thresholds_from_background(network, spoken_world, tmp_path):
    phrases = make_commands([PHRASE])
    for name, texts in (("with", [PHRASE] * 4), ("without", OUTSIDE * 2)):
        (tmp_path / name).mkdir()
        for number, text in enumerate(texts):
            spoken = speak(text, np.random.default_rng(number))
            soundfile.write(tmp_path / name / f"{number}.wav", spoken, RATE)
    sets = {name: list(hear(network, phrases, sorted((tmp_path / name).iterdir()), -1.5, POOL))
            for name in ("with", "without")}
    assert all(PHRASE in heard.confidences for heard in sets["with"])
    hours = sum(heard.seconds for heard in sets["without"]) / 3600
    table = rate_table(sets["without"], sets["with"], PHRASE)
    assert table == []  # far too little background to tell
    false = [p for heard in sets["without"] for p in heard.confidences.get(PHRASE, ())]
    assert rate_threshold(false, hours, 0.0) > max(false, default=-1.0)
    with pytest.raises(UserError, match="hours of background cannot tell"):
        rate_threshold(false, hours, 0.5)


def test_a_threshold_leaves_as_many_as_allowed():
    values = [0.1, 0.5, 0.7, 0.9]
    for allowed in range(5):
        threshold = rate_threshold(values, 1.0, allowed)
        assert sum(value >= threshold for value in values) == allowed


def test_profiles(tmp_path):
    phrases = make_commands([("a", "da1ti1", 0.75), ("b", "bu1la1", 1.0)])
    write_profile(tmp_path / "p.json", phrases, -1.25)
    read, least = read_profile(tmp_path / "p.json")
    assert [(one.id, one.text, one.threshold) for one in read] == [
        ("a", "da1ti1", 0.75), ("b", "bu1la1", 1.0)]
    assert least == -1.25
    (tmp_path / "p.json").write_text("{}")
    with pytest.raises(UserError, match="no profile of wake words"):
        read_profile(tmp_path / "p.json")


def test_the_verb(network, tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", AUDIO, RATE)
    assert main(["wake", str(network), "--phrase", PHRASE, str(tmp_path / "a.wav")]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["wake"] for line in lines] == [PHRASE, PHRASE]
    assert main(["wake", str(network), "--phrase", PHRASE, "--background", str(tmp_path),
                 "--false-accepts-per-hour", "0", "--profile", str(tmp_path / "p.json")]) == 0
    assert "background: 1 recordings" in capsys.readouterr().out
    # Both were false accepts then: what is as probable is not accepted any more.
    assert main(["wake", str(network), "--profile", str(tmp_path / "p.json"),
                 str(tmp_path / "a.wav")]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("words", "line"), [
    (["x.wav"], "no phrase to listen for"), ([], "nothing to listen to"),
    (["--phrase", PHRASE, "--nj", "2", "x.wav"], "--nj has no effect without --background"),
    (["--phrase", PHRASE, "--background", ".", "x.wav"], "give one of them")])
def test_the_verb_refuses(network, words, line, capsys):
    assert main(["wake", str(network), *words]) == 1
    assert line in capsys.readouterr().err


@pytest.mark.parametrize("size", [800, 16000])
def test_awake_for_one_utterance(network, detector, size):
    """Behind the wake word one command is recognised, with or without a pause between."""
    rng = np.random.default_rng(1)
    form = RawFormat("s16le", RATE)
    samples = np.concatenate([
        speak(COMMANDS[1], rng), noise(1.5, rng), speak(PHRASE, rng), noise(0.3, rng),
        speak(COMMANDS[1], rng), noise(2.0, rng), speak(COMMANDS[2], rng), noise(1.5, rng)])
    recognizer = load(network, commands=COMMANDS[1:])
    session = WokenSession(detector, lambda: recognizer.session(raw=form, partials=False), form)
    events = [event for begin in range(0, len(samples), size)
              for event in session.accept(samples[begin:begin + size].tobytes())]
    events += session.finish()
    assert [event.get("wake") or event["text"] for event in events] == [PHRASE, COMMANDS[1]]
    wake, command = events
    assert wake["end"] <= command["result"][0]["start"] < wake["end"] + 0.6

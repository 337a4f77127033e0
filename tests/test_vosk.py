"""Vosk's shape: programs in the manner of its examples run, and the JSON is as it prints it."""

import json
import re
import shutil
import wave

import numpy as np
import pytest
from command_world import COMMANDS, OUTSIDE, RATE, speak

from hybridasr.confidence.calibration import Calibration, Regression, save_calibration
from hybridasr.deploy.pack import pack_model
from hybridasr.errors import UserError
from hybridasr.graph.mkgraph import make_graph
from hybridasr.model.directory import load_model
from hybridasr.vosk import EndpointerMode, KaldiRecognizer, Model, SetLogLevel

GRAMMAR = json.dumps([*COMMANDS, "[unk]"])
SECOND = np.zeros(RATE, np.int16)


@pytest.fixture(scope="module")
def directory(spoken_world, tmp_path_factory):
    path = tmp_path_factory.mktemp("vosk") / "zh-small"
    shutil.copytree(spoken_world.mono, path)
    loaded = load_model(path)
    words = [(word,) for word in loaded.lang.lexicon.entries if word[0] != "<"]
    make_graph(loaded.lang, loaded.transitions, loaded.tree, path / "graph", "loop", words)
    save_calibration(Calibration(("filler_ratio",), Regression(
        np.zeros(1), np.ones(1), np.ones(1), 3.0), 0.5), path)
    return path


@pytest.fixture(scope="module")
def model(directory, tmp_path_factory):
    pack = tmp_path_factory.mktemp("pack") / "zh.hyb"
    pack_model(directory, pack)
    return Model(pack)


def said(*texts, seed=0):
    """Bytes of texts with pauses of a second behind each."""
    rng = np.random.default_rng(seed)
    parts = [part for text in texts for part in (speak(text, rng), quiet(rng))]
    return np.concatenate(parts).tobytes()


def quiet(rng):
    return np.round(40 * rng.normal(size=RATE)).astype(np.int16)


def told(recognizer, audio, step=8000):
    """What the loop of every example prints."""
    results, partials = [], []
    for begin in range(0, len(audio), step):
        if recognizer.AcceptWaveform(audio[begin:begin + step]):
            results.append(json.loads(recognizer.Result()))
        else:
            partials.append(json.loads(recognizer.PartialResult()))
    return [*results, json.loads(recognizer.FinalResult())], partials


def test_the_simple_example_runs_with_the_import_changed(directory, tmp_path, monkeypatch,
                                                         capsys):
    """In the manner of Vosk's test_simple.py: a wav file, a model by language, partials."""
    shutil.copytree(directory, tmp_path / "models" / "zh-small")
    monkeypatch.setenv("VOSK_MODEL_PATH", str(tmp_path / "models"))
    with wave.open(str(tmp_path / "said.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(said("da1ti1", "bu1la1"))
    example = '''
import sys, wave
from vosk import Model, KaldiRecognizer, SetLogLevel
SetLogLevel(0)
wf = wave.open(sys.argv[1], "rb")
model = Model(lang="zh")
rec = KaldiRecognizer(model, wf.getframerate())
rec.SetWords(True)
rec.SetPartialWords(True)
while True:
    data = wf.readframes(4000)
    if len(data) == 0:
        break
    if rec.AcceptWaveform(data):
        print(rec.Result())
    else:
        print(rec.PartialResult())
print(rec.FinalResult())
'''
    monkeypatch.setattr("sys.argv", ["test_simple.py", str(tmp_path / "said.wav")])
    exec(example.replace("from vosk", "from hybridasr.vosk"), {})
    SetLogLevel(0)
    answers = [json.loads(text) for text in re.findall(r"^\{.*?^\}", capsys.readouterr().out,
                                                      re.S | re.M)]
    words = [word for answer in answers if "result" in answer for word in answer["result"]]
    # The tiny model may take noise behind the words for one more.
    assert "".join(word["word"] for word in words).startswith("da1ti1bu1la1")
    assert all(set(word) == {"conf", "end", "start", "word"} for word in words)
    assert all(0 <= word["conf"] <= 1 for word in words)
    times = [word[name] for word in words for name in ("start", "end")]
    assert times == sorted(times)
    # The second utterance is timed from the start of the stream.
    assert times[-1] > 1.5
    partial = [answer["partial_result"] for answer in answers if answer.get("partial")]
    assert partial
    assert all(set(word) == {"conf", "end", "start", "word"} for words in partial
               for word in words)


def test_a_grammar_with_unk(model):
    recognizer = KaldiRecognizer(model, RATE, GRAMMAR)
    recognizer.SetWords(True)
    results, partials = told(recognizer, said("da1ti1", OUTSIDE[0], "bu1la1"))
    texts = [result["text"] for result in results if result["text"]]
    assert texts == ["da1ti1", "[unk]", "bu1la1"]
    words = [word for result in results for word in result.get("result", ())]
    assert [word["word"] for word in words] == ["da1ti1", "[unk]", "bu1la1"]
    assert all(0.5 < word["conf"] < 1 for word in words if word["word"] != "[unk]")
    assert {"partial": "da1ti1"} in partials
    # Without the word, what is no command has no text.
    recognizer = KaldiRecognizer(model, RATE, json.dumps(COMMANDS))
    assert [result["text"] for result in told(recognizer, said(OUTSIDE[0]))[0]][0] == ""


def test_confidences_are_those_of_the_calibration(model, directory):
    from hybridasr.recognize.recognizer import load

    recognizer = KaldiRecognizer(model, RATE, GRAMMAR)
    recognizer.SetWords(True)
    audio = said("bu1la1")
    (result, *_), _ = told(recognizer, audio)
    session = load(directory, commands=COMMANDS).session()
    (expected, *_) = [event for event in session.accept(audio) + session.finish()
                      if "text" in event]
    assert [(word["word"], word["conf"], word["start"], word["end"])
            for word in result["result"]] == [
        (word["word"], word["conf"], word["start"], word["end"]) for word in expected["result"]]


def test_alternatives(model):
    for grammar in ("[]", GRAMMAR):
        recognizer = KaldiRecognizer(model, RATE, grammar)
        recognizer.SetMaxAlternatives(4)
        recognizer.SetWords(True)
        results, _ = told(recognizer, said("da1ti1"))
        ways = results[0]["alternatives"]
        assert 1 <= len(ways) <= 4
        assert set(ways[0]) == {"confidence", "result", "text"}
        assert "".join(word["word"] for word in ways[0]["result"]) == "da1ti1"
        assert set(ways[0]["result"][0]) == {"end", "start", "word"}
        assert [way["confidence"] for way in ways] == sorted(
            (way["confidence"] for way in ways), reverse=True)
        assert len({way["text"] for way in ways}) == len(ways)
        assert told(recognizer, SECOND.tobytes())[0] == [
            {"alternatives": [{"confidence": 1.0, "text": ""}]}]


def test_the_text_is_as_vosk_prints_it(model):
    recognizer = KaldiRecognizer(model, RATE, GRAMMAR)
    assert recognizer.PartialResult() == '{\n  "partial" : ""\n}'
    assert recognizer.Result() == '{\n  "text" : ""\n}'
    recognizer.SetWords(True)
    recognizer.AcceptWaveform(said("li1du1 ta1"))
    text = recognizer.Result()
    word = ('      "conf" : 0.,\n      "end" : 0.,\n      "start" : 0.,\n'
            '      "word" : "{}"\n    }}')
    assert re.sub(r"\d+\.\d{6}\b", "0.", text) == (
        '{\n  "result" : [{\n' + word.format("li1du1") + ", {\n" + word.format("ta1")
        + '],\n  "text" : "li1du1 ta1"\n}')


def test_a_long_piece_loses_nothing(model):
    recognizer = KaldiRecognizer(model, RATE, GRAMMAR)
    assert recognizer.AcceptWaveform(said("da1ti1", "bu1la1")) == 1
    assert json.loads(recognizer.Result())["text"] == "da1ti1 bu1la1"
    assert json.loads(recognizer.FinalResult())["text"] == ""


def test_result_ends_an_utterance_that_goes_on_and_times_go_on(model):
    recognizer = KaldiRecognizer(model, RATE, GRAMMAR)
    recognizer.SetWords(True)
    audio = speak("da1ti1", np.random.default_rng(0)).tobytes()
    starts = []
    for _ in range(2):
        assert recognizer.AcceptWaveform(audio) == 0
        result = json.loads(recognizer.Result())
        assert result["text"] == "da1ti1"
        starts.append(result["result"][0]["start"])
    assert starts[1] - starts[0] == pytest.approx(len(audio) / 2 / RATE, abs=0.002)


def test_reset_forgets(model):
    recognizer = KaldiRecognizer(model, RATE, GRAMMAR)
    recognizer.AcceptWaveform(speak("da1ti1", np.random.default_rng(0)).tobytes())
    recognizer.Reset()
    assert json.loads(recognizer.FinalResult()) == {"text": ""}


def test_grammars_of_one_model_do_not_meet(model):
    one, other = (KaldiRecognizer(model, RATE, json.dumps([text])) for text in COMMANDS[:2])
    for recognizer, text in ((one, COMMANDS[0]), (other, COMMANDS[1])):
        assert told(recognizer, said(text))[0][0]["text"] == text
        assert told(recognizer, said(OUTSIDE[2]))[0][0]["text"] == ""
    one.SetGrammar(json.dumps([COMMANDS[2]]))
    assert told(one, said(COMMANDS[2]))[0][0]["text"] == COMMANDS[2]
    one.SetGrammar("[]")
    assert "".join(told(one, said("da1ti1"))[0][0]["text"].split()) == "da1ti1"


def test_other_rates_are_resampled(model):
    audio = np.frombuffer(said("bu1la1"), np.int16)
    recognizer = KaldiRecognizer(model, 2 * RATE, GRAMMAR)
    assert told(recognizer, np.repeat(audio, 2).tobytes())[0][0]["text"] == "bu1la1"


@pytest.mark.parametrize("mode", [*EndpointerMode, 3])
def test_modes_of_the_end_of_speech(model, mode):
    recognizer = KaldiRecognizer(model, RATE, GRAMMAR)
    recognizer.SetEndpointerMode(mode)
    ended = recognizer.AcceptWaveform(said("da1ti1"))
    assert ended == (mode not in (EndpointerMode.VERY_LONG, 3))


def test_delays_of_the_end_of_speech(model):
    recognizer = KaldiRecognizer(model, RATE, GRAMMAR)
    recognizer.SetEndpointerDelays(5.0, 3.0, 20.0)
    assert recognizer.AcceptWaveform(said("da1ti1")) == 0
    recognizer.Reset()
    recognizer.SetEndpointerDelays(5.0, 0.2, 20.0)
    assert recognizer.AcceptWaveform(said("da1ti1")) == 1


@pytest.mark.parametrize(("call", "line"), [
    (lambda model: KaldiRecognizer(model, RATE, '["da1ti1", "zzzz"]'), "'zzzz'"),
    (lambda model: KaldiRecognizer(model, RATE, "da1ti1"), "is no JSON"),
    (lambda model: KaldiRecognizer(model, RATE, '{"a": 1}'), "no array of phrases"),
    (lambda model: KaldiRecognizer(model, RATE, '["[unk]"]'), "no command in the list"),
    (lambda model: KaldiRecognizer(model, RATE, object()), "speaker models are not known"),
    (lambda model: KaldiRecognizer(model, RATE).SetSpkModel(None), "speaker models"),
    (lambda model: KaldiRecognizer(model, RATE).SetNLSML(True), "take the JSON"),
    (lambda model: KaldiRecognizer(model, 10).AcceptWaveform(b"\0\0"), "sample rate 10;"),
    (lambda model: KaldiRecognizer("lamp.hyb", RATE), "'lamp.hyb' is no model; give Model"),
    (lambda model: KaldiRecognizer(model, float("nan")), "sample rate nan"),
    (lambda model: KaldiRecognizer(model, RATE).SetEndpointerMode(9), "9 is no endpointer mode"),
    (lambda model: Model(), "no model; give the path"),
    (lambda model: Model("none.hyb"), "none.hyb: no such model"),
])
def test_what_cannot_be_is_named(model, call, line):
    with pytest.raises(UserError, match=re.escape(line)):
        call(model)


def test_nothing_changes_in_the_middle_of_audio(model):
    recognizer = KaldiRecognizer(model, RATE, GRAMMAR)
    recognizer.AcceptWaveform(SECOND.tobytes())
    for change in (lambda: recognizer.SetGrammar("[]"), lambda: recognizer.SetMaxAlternatives(2),
                   lambda: recognizer.SetEndpointerMode(EndpointerMode.SHORT)):
        with pytest.raises(UserError, match="in the middle of audio"):
            change()
    recognizer.FinalResult()
    recognizer.SetGrammar("[]")


def test_models_by_name(directory, tmp_path, monkeypatch):
    monkeypatch.setenv("VOSK_MODEL_PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"no model 'zh' there \(none\)"):
        Model(lang="zh")
    for name in ("zh-a.hyb", "zh-b.hyb"):
        pack_model(directory, tmp_path / name)
    with pytest.raises(UserError, match=r"several models 'zh' there \(zh-a.hyb, zh-b.hyb\)"):
        Model(lang="zh")
    assert Model(model_name="zh-b").vosk_model_find_word("da1") > 0
    assert Model(lang="zh-a").vosk_model_find_word("nothing") == -1


def test_a_model_without_a_graph_takes_a_grammar(spoken_world):
    model = Model(spoken_world.mono)
    assert told(KaldiRecognizer(model, RATE, GRAMMAR), said("da1ti1"))[0][0]["text"] == "da1ti1"
    with pytest.raises(UserError, match="no graph and no commands"):
        KaldiRecognizer(model, RATE).AcceptWaveform(SECOND.tobytes())

"""The built-in corpus: sets, sound, reproducibility, resuming."""

import functools

import numpy as np
import pytest
import soundfile

from hybridasr.corpus.command_list import read_commands
from hybridasr.corpus.readers import READERS, ReaderOptions, commands_zh, detect_reader
from hybridasr.corpus.synth import (
    MARKER,
    SynthOptions,
    make_speakers,
    render,
    synthesize_corpus,
)
from hybridasr.errors import UserError
from hybridasr.parallel import executor

pytest.importorskip("espeakng_loader")
pytest.importorskip("pypinyin")

SMALL = SynthOptions(train_speakers=2, test_speakers=1, repetitions=2, test_repetitions=1)
COMMANDS = ["打开空调", "turn on the light", "guan1 bi4"]
OUTSIDE = ["你好", "苹果", "熊猫", "打开空调"]
SENTENCES = ["今天下雨", "我们回家", "打开空调", "门开了"]


def small(folder, **more):
    return synthesize_corpus(folder, commands=COMMANDS, outside=OUTSIDE, sentences=SENTENCES[:1],
                             options=SMALL, **more)


def files(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.rglob("*.flac"))}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synth")
    return folder, small(folder)


def test_sets(corpus):
    sets = corpus[1]
    said = {name: sorted({" ".join(u.words) for u in found}) for name, found in sets.items()}
    # 打开空调 is a command, so not outside; every third outside word is kept for the test.
    assert said == {"train": sorted([*COMMANDS, "你好", "苹果", "今天下雨"]),
                    "test": sorted(COMMANDS), "test_outside": ["熊猫"]}
    assert {name: len(found) for name, found in sets.items()} == {
        "train": 2 * (3 * 2 + 2 + 1), "test": 3, "test_outside": 1}
    speakers = {name: {u.speaker for u in found} for name, found in sets.items()}
    assert speakers["train"] == {"syn01", "syn02"}
    assert speakers["test"] == speakers["test_outside"] == {"syn17"}
    train = [u.utterance for u in sets["train"]]
    assert train == sorted(train)
    assert train[0] == "syn01-c001-1"
    assert ("turn", "on", "the", "light") in {u.words for u in sets["test"]}


def test_sentences_are_shared_among_the_speakers(tmp_path):
    options = SynthOptions(train_speakers=4, test_speakers=1, repetitions=1, test_repetitions=1,
                           sentence_speakers=2)
    sets = synthesize_corpus(tmp_path, commands=COMMANDS[:1], outside=[], sentences=SENTENCES,
                             options=options)
    said = {}
    for utterance in sets["train"]:
        said.setdefault(" ".join(utterance.words), []).append(utterance.speaker)
    # 打开空调 is a command, so every speaker says it.
    assert said == {COMMANDS[0]: ["syn01", "syn02", "syn03", "syn04"],
                    "今天下雨": ["syn01", "syn03"], "我们回家": ["syn02", "syn04"],
                    "门开了": ["syn01", "syn03"]}


def test_sound_is_sane(corpus):
    for utterances in corpus[1].values():
        for utterance in utterances:
            info = soundfile.info(utterance.wav)
            assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
            samples, rate = soundfile.read(utterance.wav, dtype="int16")
            samples = samples.astype(float)
            assert 0.6 < len(samples) / rate < 3.5
            assert 2000 < np.abs(samples).max() < 32000
            blocks = samples[: len(samples) // 160 * 160].reshape(-1, 160)
            power = 10 * np.log10(np.mean(blocks**2, axis=1))
            assert power.min() > 10  # no digital silence
            # 0.2 s at both ends are background, 20 to 35 dB below the speech
            speech = 10 * np.log10(np.mean(samples**2))
            for end in (power[:18], power[-5:]):
                assert 12 < speech - end.mean() < 40
            assert power.max() > end.max() + 10


def test_every_utterance_is_its_own(corpus):
    lengths = [soundfile.info(u.wav).frames for u in corpus[1]["train"]]
    assert len(set(lengths)) == len(lengths)


def test_noise_follows_the_option():
    speaker = make_speakers(SMALL)[0][0]
    floors = []
    for snr in (10.0, 40.0):
        options = SynthOptions(min_snr=snr, max_snr=snr)
        samples = render("打开空调", speaker, options, 0, "u").astype(float)
        floors.append(10 * np.log10(np.mean(samples[:3000] ** 2)))
    assert floors[0] - floors[1] == pytest.approx(30, abs=3)


def test_same_bytes_for_any_number_of_jobs(corpus, tmp_path):
    with executor(2) as pool:
        small(tmp_path / "two", pool=pool)
    assert files(tmp_path / "two") == files(corpus[0])


def test_second_run_does_nothing_and_interrupted_one_resumes(corpus, monkeypatch):
    folder = corpus[0]
    before = files(folder)
    stamps = {p: p.stat().st_mtime_ns for p in folder.rglob("*.flac")}
    assert small(folder) == corpus[1]
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*.flac")} == stamps
    lost = folder / "audio" / "syn02" / "syn02-c002-1.flac"
    lost.unlink()
    small(folder)
    assert files(folder) == before
    changed = [p for p, stamp in stamps.items() if p.stat().st_mtime_ns != stamp]
    assert changed == [lost]


def test_other_settings_replace_the_files(tmp_path):
    small(tmp_path)
    before = files(tmp_path)
    small(tmp_path, seed=1)
    after = files(tmp_path)
    assert before.keys() == after.keys()
    assert all(before[name] != after[name] for name in before)
    synthesize_corpus(tmp_path, commands=["开灯"], outside=[], sentences=[], options=SMALL)
    assert set(files(tmp_path)) == {"syn01-c001-1.flac", "syn01-c001-2.flac", "syn02-c001-1.flac",
                                    "syn02-c001-2.flac", "syn17-c001-1.flac"}


def test_strange_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds files that the synthesis did not make"):
        small(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(("commands", "message"), [
    ([], "no commands"), (["开灯", "开灯"], "'开灯' comes twice"), (["да"], "neither hanzi"),
])
def test_bad_lists(tmp_path, commands, message):
    with pytest.raises(UserError, match=message):
        synthesize_corpus(tmp_path / "new", commands=commands, outside=[], sentences=[])
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("options", "message"), [
    ({"train_speakers": 17}, "train_speakers is 17; give 1 to 16"),
    ({"repetitions": 0}, "repetitions is 0"), ({"sentence_speakers": 0}, "sentence_speakers is 0"),
    ({"min_snr": 30, "max_snr": 20}, "no range"),
    ({"held_out": 1}, "held_out is 1"),
])
def test_bad_options(options, message):
    with pytest.raises(UserError, match=message):
        SynthOptions(**options)


def test_speakers_differ():
    trainers, testers = make_speakers(SynthOptions())
    everyone = trainers + testers
    assert (len(trainers), len(testers)) == (16, 6)
    assert len({s.voice.variant for s in everyone}) == len({s.level for s in everyone}) == 22
    assert make_speakers(SMALL)[1] == testers[:1]


def test_built_in_lists():
    commands = [c.text for c in read_commands(commands_zh.default_list("commands.txt"))]
    outside = [c.text for c in read_commands(commands_zh.default_list("outside.txt"))]
    assert len(commands) >= 24
    assert len(outside) >= 40
    assert not set(commands) & set(outside)
    sentences = [c.text for c in read_commands(commands_zh.default_list("sentences.txt"))]
    assert len(sentences) >= 100
    # What is tested as unheard is not heard as a part of a sentence either.
    assert not [(text, sentence) for sentence in sentences
                for text in commands + outside[2::3] if text in sentence]


def test_reader(tmp_path, monkeypatch):
    # The whole corpus is too much for a test: the same call with fewer speakers.
    monkeypatch.setattr(commands_zh, "synthesize_corpus",
                        functools.partial(synthesize_corpus, options=SMALL))
    listed = tmp_path / "mine.txt"
    listed.write_text("开灯\nlight\t关灯\t0.5\n", encoding="utf-8")
    folder = tmp_path / "corpus"
    sets = READERS["commands_zh"].read(folder, ReaderOptions(commands=str(listed)))
    assert {" ".join(u.words) for u in sets["test"]} == {"开灯", "关灯"}
    assert len(sets["test_outside"]) == 26
    assert (folder / MARKER).is_file()
    assert detect_reader(folder).name == "commands_zh"

"""Augmentation: the augmenter's draws, odd input, and copies of data directories."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from hybridasr.corpus.audio import load_audio, load_utterance
from hybridasr.corpus.augment import (
    MARKER,
    Augmenter,
    AugmentOptions,
    add_noise,
    augment_datadir,
    change_speed,
    load_noises,
    silence_around,
    synthetic_noises,
)
from hybridasr.corpus.datadir import Utterance, read_datadir, utt2dur, write_datadir
from hybridasr.corpus.noises import event_noises
from hybridasr.corpus.perturb import speech_power
from hybridasr.corpus.subsets import combine
from hybridasr.corpus.validate import validate_datadir
from hybridasr.errors import UserError
from hybridasr.parallel import SerialExecutor, executor

RATE = 16000
SMALL = AugmentOptions(speeds="0.9 1.0 1.1", copies=2, noise_share=0.7, reverb_share=0.5, seed=3)


def rng(seed=0):
    return np.random.default_rng(seed)


def tone(hertz, seconds=1.0, level=3000.0, rate=RATE):
    time = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def word(seconds=1.0, seed=0, rate=RATE):
    """Half a second of rough sound in the middle of faint noise."""
    count = round(seconds * rate)
    samples = rng(seed).normal(0, 2, count)
    samples[count // 4: 3 * count // 4] *= 1000
    return samples.astype(np.float32)


def test_augmenter_depends_on_seed_and_key_alone():
    noises = {"white": rng(1).normal(0, 100, 20000).astype(np.float32),
              "other": rng(2).normal(0, 100, 999).astype(np.float32)}
    options = AugmentOptions(noise_share=0.5, reverb_share=0.5)
    samples, keys = word(), [f"noise1-u{number}" for number in range(8)]
    one = Augmenter(options, noises)
    forwards = {key: one.augment(samples, RATE, key) for key in keys}
    again = Augmenter(options, dict(reversed(noises.items())))
    backwards = {key: again.augment(samples, RATE, key) for key in reversed(keys)}
    assert all(np.array_equal(forwards[key], backwards[key]) for key in keys)
    assert len({forwards[key].tobytes() for key in keys}) == len(keys)
    reseeded = Augmenter(replace(options, seed=1), noises).augment(samples, RATE, keys[0])
    assert not np.array_equal(reseeded, forwards[keys[0]])
    assert np.array_equal(samples, word())


def test_augmenter_draws_what_the_options_say():
    """With one thing on at a time, shares and ranges are met."""
    samples = word()
    off = AugmentOptions(speeds="1.0", noise_share=0, reverb_share=0, min_volume=1, max_volume=1,
                         silence_share=0, colour=0)
    keys = [str(number) for number in range(200)]

    def made(**changes):
        augmenter = Augmenter(replace(off, **changes), {"n": word(2.0, 7)})
        return [augmenter.augment(samples, RATE, key) for key in keys]

    assert all(np.array_equal(copy, samples) for copy in made())
    lengths = [len(copy) for copy in made(speeds="0.8 1.0 1.25")]
    assert {length: lengths.count(length) > 40 for length in lengths} == {
        20000: True, 16000: True, 12800: True}
    gains = [float(np.dot(copy, samples) / np.dot(samples, samples))
             for copy in made(min_volume=0.25, max_volume=1.0)]
    assert 0.25 <= min(gains) < 0.3
    assert 0.85 < max(gains) <= 1.0001
    assert np.mean(np.log2(gains)) == pytest.approx(-1, abs=0.15)
    for share in ("noise_share", "reverb_share"):
        changed = [not np.array_equal(copy, samples) for copy in made(**{share: 0.3})]
        assert np.mean(changed) == pytest.approx(0.3, abs=0.1)
    noisy = made(noise_share=1.0, min_snr=3.0, max_snr=9.0)
    ratios = [10 * np.log10(speech_power(samples) / np.mean((copy - samples)**2))
              for copy in noisy]
    assert 2.9 < min(ratios) < 4
    assert 8 < max(ratios) < 9.1


def test_silence_is_put_around_copies_as_it_says():
    samples = word()
    options = AugmentOptions(speeds="1.0", noise_share=0, reverb_share=0, min_volume=1,
                             max_volume=1, colour=0, silence_share=0.6, max_silence=2.0)
    augmenter = Augmenter(options, {"n": word(2.0, 7)})
    seconds, softer, digital = [], [], 0
    for key in map(str, range(200)):
        before, after = (round(part * RATE) for part in silence_around(options, key))
        copy = augmenter.augment(samples, RATE, key)
        assert len(copy) == before + len(samples) + after
        if not before + after:
            np.testing.assert_array_equal(copy, samples)
            continue
        seconds.append(before / RATE)
        inside = copy[before:before + len(samples)]
        assert np.dot(inside, samples) / np.dot(samples, samples) > 0.9
        around = np.concatenate([copy[:before], copy[before + len(samples):]])
        digital += not around.any()
        if around.any() and len(around) > 2000:
            softer.append(10 * np.log10(speech_power(samples) / np.mean(around**2)))
    assert len(seconds) / 200 == pytest.approx(0.6, abs=0.1)
    assert max(seconds) <= 2.0 < 2 * max(seconds)
    assert np.median(seconds) < 0.7  # short ones are the most frequent
    assert digital / len(seconds) == pytest.approx(0.2, abs=0.1)
    assert min(softer) < 20
    assert max(softer) > 50


@pytest.mark.parametrize("samples", [
    np.zeros(16000), np.zeros(1), [5.0], [5.0, -7.0], np.full(500, 1234.0),
    np.clip(tone(300.0, 0.5, 90000.0), -32768, 32767), tone(300.0, 0.02), [32767.0, -32768.0] * 400,
], ids=["silence", "one zero", "one", "two", "offset", "clipped", "short", "square"])
def test_odd_input(samples):
    samples = np.array(samples, np.float32)
    options = AugmentOptions(noise_share=1, reverb_share=1, min_volume=2, max_volume=4)
    augmenter = Augmenter(options, {"n": word(0.5, 3)})
    for key in "abcdefgh":
        altered = augmenter.augment(samples, RATE, key)
        assert altered.dtype == np.float32
        assert np.isfinite(altered).all()
        assert altered.min() >= -32768
        assert altered.max() <= 32767
        assert len(altered) >= len(samples) / 1.1
        assert altered.any() == samples.any()


@pytest.mark.parametrize(("changes", "words"), [
    ({"speeds": ""}, "speeds is empty; give 1.0"),
    ({"speeds": "0.9,1.1"}, "give numbers with spaces between"),
    ({"speeds": "0.9 0.90"}, "give each speed once"),
    ({"speeds": "0.9 40"}, "give 0.25 to 4"),
    ({"speeds": "nan"}, "give 0.25 to 4"),
    ({"min_snr": 30.0}, "min_snr 30.0 and max_snr 25.0 are no range"),
    ({"min_volume": 0.0}, "min_volume 0.0 .* give 0.001 <="),
    ({"max_rt60": float("nan")}, "max_rt60 nan are no range"),
    ({"min_rt60": 0.01}, "give 0.1 <= min_rt60"),
    ({"noise_share": 1.2}, "noise_share is 1.2; give 0 to 1"),
    ({"copies": -1}, "copies is -1; give 0 or more"),
    ({"silence_share": -0.1}, "silence_share is -0.1; give 0 to 1"),
    ({"max_silence": 100.0}, "max_silence is 100.0; give 0 to 60 seconds"),
    ({"colour": float("nan")}, "colour is nan; give 0 to 20 decibels"),
])
def test_options_out_of_range(changes, words):
    with pytest.raises(UserError, match=words):
        AugmentOptions(**changes)


def test_refusals():
    with pytest.raises(UserError, match="no noises; give some, or set both shares to 0"):
        Augmenter(AugmentOptions(), {})


# Data directories.

@pytest.fixture
def data(tmp_path):
    """Two recordings of their own, one with two segments; 16 and 8 kHz."""
    source = tmp_path / "audio"
    source.mkdir()
    files = {"anna-1": (0.6, RATE), "anna-2": (0.45, 8000), "call": (1.5, RATE)}
    for number, (name, (seconds, rate)) in enumerate(files.items()):
        samples = word(seconds, number, rate) / 32768
        soundfile.write(source / f"{name}.wav", samples, rate, subtype="PCM_16")
    utterances = [
        Utterance("anna-1", "anna", ("打开", "空调"), "anna-1", str(source / "anna-1.wav")),
        Utterance("anna-2", "anna", ("stop",), "anna-2", str(source / "anna-2.wav")),
        Utterance("bert/1", "bert", ("go",), "call", str(source / "call.wav"), 0.1, 0.7),
        Utterance("bert/2", "bert", ("停",), "call", str(source / "call.wav"), 0.75, None),
    ]
    return write_datadir(tmp_path / "train", utterances,
                         {"spk2gender": {"anna": "f", "bert": "m"}})


def audio(folder):
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*.flac"))}


def test_copies_of_a_data_directory(data, tmp_path):
    made = augment_datadir(data, tmp_path / "aug", SMALL, SerialExecutor())
    assert validate_datadir(made.path) == []
    again = read_datadir(made.path)
    assert again.utterances == made.utterances
    prefixes = ["noise1-", "noise2-", "sp0.9-", "sp1.1-"]
    assert set(made.utterances) == {p + key for p in prefixes for key in data.utterances}
    assert set(made.speakers) == {p + s for p in prefixes for s in ("anna", "bert")}
    before, after = utt2dur(data), utt2dur(made)
    for key, source in data.utterances.items():
        rate = 8000 if key == "anna-2" else RATE
        for prefix, speed in zip(prefixes, (1, 1, 0.9, 1.1), strict=True):
            copy = made.utterances[prefix + key]
            assert (copy.words, copy.speaker) == (source.words, prefix + source.speaker)
            seconds = before[key] / speed + sum(silence_around(SMALL, prefix + key))
            assert after[prefix + key] == pytest.approx(seconds, abs=3.01 / rate)
            assert soundfile.info(copy.wav).samplerate == rate
            assert soundfile.info(copy.wav).subtype == "PCM_16"
    assert again.tables["spk2gender"]["sp0.9-bert"] == "m"
    assert again.tables["utt2uniq"]["noise2-bert/1"] == "bert/1"
    both = combine([data, made], tmp_path / "both")
    assert len(both) == 5 * len(data)
    assert validate_datadir(both.path) == []
    # Copies of copies: noise on other speeds.
    twice = augment_datadir(made, tmp_path / "twice", AugmentOptions(speeds="1.0"),
                            SerialExecutor())
    assert twice.tables["utt2uniq"]["noise1-sp0.9-anna-1"] == "anna-1"
    assert validate_datadir(twice.path) == []


def test_copies_are_what_the_augmenter_makes(data, tmp_path):
    small = replace(SMALL, silence_share=0.0, colour=0.0)
    made = augment_datadir(data, tmp_path / "aug", small, SerialExecutor())
    segment = load_utterance(data.utterances["bert/1"], RATE)
    plain = replace(small, noise_share=0.0, reverb_share=0.0, speeds="0.9")
    cases = {"sp0.9-": Augmenter(plain, {}),
             "noise1-": Augmenter(replace(small, speeds="1"), {
                 **synthetic_noises(RATE, small.seed), **event_noises(RATE, small.seed)})}
    for prefix, augmenter in cases.items():
        wanted = augmenter.augment(segment, RATE, prefix + "bert/1")
        found = load_audio(made.utterances[prefix + "bert/1"].wav, RATE)
        assert np.abs(found - wanted).max() <= 0.501
        assert len(found) == len(wanted)
    # Faster and slower speech is otherwise the same sound.
    slow = load_audio(made.utterances["sp0.9-bert/1"].wav, RATE)
    back = change_speed(slow, 1 / 0.9)[:len(segment)]
    assert np.corrcoef(back, segment[:len(back)])[0, 1] > 0.9


def test_same_for_any_number_of_jobs_and_resumable(data, tmp_path, monkeypatch):
    monkeypatch.setattr("hybridasr.corpus.augment._BLOCK", 1)
    noises = tmp_path / "noises"
    noises.mkdir()
    soundfile.write(noises / "n.wav", rng(1).normal(0, 0.1, 30000), RATE)
    options = replace(SMALL, noises=str(noises))
    one = augment_datadir(data, tmp_path / "one", options, SerialExecutor())
    with executor(2) as pool:
        two = augment_datadir(data, tmp_path / "two", options, pool)
    files = audio(one.path)
    assert len(files) == 16
    assert audio(two.path) == files

    kept, lost = sorted(one.path.rglob("*.flac"))[:2]
    lost.unlink()
    stamp = kept.stat().st_mtime_ns
    augment_datadir(data, one.path, options, SerialExecutor())
    assert audio(one.path) == files
    assert kept.stat().st_mtime_ns == stamp  # only what was missing was made
    changed = augment_datadir(data, one.path, replace(options, seed=4), SerialExecutor())
    assert audio(one.path).keys() == files.keys()
    assert all(audio(one.path)[name] != files[name] for name in files)
    assert validate_datadir(changed.path) == []
    fewer = augment_datadir(data, one.path, replace(options, copies=1), SerialExecutor())
    assert len(audio(one.path)) == len(fewer) == 12


def test_changed_recording_is_copied_anew(data, tmp_path):
    options = AugmentOptions(speeds="0.9", copies=0)
    made = augment_datadir(data, tmp_path / "aug", options, SerialExecutor())
    before = audio(made.path)
    soundfile.write(data.utterances["anna-1"].wav, word(0.7, 30) / 32768, RATE)
    made = augment_datadir(data, tmp_path / "aug", options, SerialExecutor())
    changed = [name for name, contents in audio(made.path).items() if before[name] != contents]
    assert changed == ["wav/sp0.9/anna-1.flac"]
    assert utt2dur(made)["sp0.9-anna-1"] == pytest.approx(0.7 / 0.9, abs=1e-4)


def test_rate_and_text(data, tmp_path):
    (data.path / "text").unlink()
    data = read_datadir(data.path, need_text=False)
    options = AugmentOptions(speeds="1.0 1.25", copies=0, sample_rate=8000)
    made = augment_datadir(data, tmp_path / "aug", options, SerialExecutor())
    assert not (made.path / "text").exists()
    assert sorted(made.utterances) == sorted("sp1.25-" + key for key in data.utterances)
    assert {soundfile.info(u.wav).samplerate for u in made.utterances.values()} == {8000}


def test_datadir_refusals(data, tmp_path):
    def make(destination, **changes):
        augment_datadir(data, destination, replace(SMALL, **changes), SerialExecutor())

    with pytest.raises(UserError, match="is the set itself; name another"):
        make(data.path)
    with pytest.raises(UserError, match="recording 'anna-1' of the set is in there"):
        make(tmp_path / "audio")
    with pytest.raises(UserError, match="ask for no copy; give copies 1 or more"):
        make(tmp_path / "aug", copies=0, speeds="1.0")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "wav.scp").write_text("a b\n")
    with pytest.raises(UserError, match="no augmented copies; give a new or empty folder"):
        make(tmp_path / "full")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: holds no recordings of noise"):
        make(tmp_path / "aug", noises=str(tmp_path / "empty"))
    assert not (tmp_path / "aug" / MARKER).exists()
    (tmp_path / "audio" / "anna-2.wav").unlink()
    with pytest.raises(UserError, match="anna-2.wav: no such recording"):
        make(tmp_path / "aug")
    assert not (tmp_path / "aug" / "wav.scp").exists()


@pytest.mark.realdata
def test_real_noise_and_speech(data_root, tmp_path):
    noises = load_noises(data_root / "noise", RATE)
    assert len(noises["kitchen.wav"]) > 60 * RATE
    paths = sorted((data_root / "dsp20" / "speech_data" / "spk01").glob("*.flac"))[:6]
    assert paths
    for number, path in enumerate(paths):
        samples = load_audio(path, RATE) / 4
        noisy = add_noise(samples, noises["kitchen.wav"], 5.0, rng(number))
        added = noisy.astype(np.float64) - samples
        assert 10 * np.log10(speech_power(samples) / np.mean(added**2)) == pytest.approx(
            5.0, abs=0.1)
    data = write_datadir(tmp_path / "data", [
        Utterance(path.stem, path.stem, ("x",), path.stem, str(path)) for path in paths])
    options = AugmentOptions(noises=str(data_root / "noise"))
    made = augment_datadir(data, tmp_path / "aug", options, SerialExecutor())
    assert len(made) == 3 * len(paths)
    assert validate_datadir(made.path) == []

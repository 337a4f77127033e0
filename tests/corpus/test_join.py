"""Strings: who is joined with whom, what they sound like, and that a part stays with its string."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from hybridasr.corpus.audio import load_audio
from hybridasr.corpus.augment import AugmentOptions, augment_datadir
from hybridasr.corpus.datadir import Utterance, read_datadir, utt2dur, write_datadir
from hybridasr.corpus.join import (
    JoinOptions,
    join_datadir,
    join_samples,
    plan_strings,
    strings_of_parts,
    without_strings,
)
from hybridasr.corpus.subsets import combine, subset
from hybridasr.corpus.validate import check_datadir
from hybridasr.errors import UserError
from hybridasr.parallel import SerialExecutor, executor

RATE = 8000
OPTIONS = JoinOptions(seed=5)


@pytest.fixture
def words(tmp_path):
    """Recordings of two speakers: ann has 20 and bo 9, each a tone of its own in soft noise."""
    rng = np.random.default_rng(0)
    (tmp_path / "wav").mkdir()
    utterances = []
    for speaker, count in (("ann", 20), ("bo", 9)):
        for number in range(count):
            name = f"{speaker}-{number:02d}"
            samples = 30 * rng.standard_normal(RATE // 5)
            samples[400:1200] += 4000 * np.sin(np.arange(800) * (0.3 + 0.01 * number))
            path = tmp_path / "wav" / f"{name}.wav"
            soundfile.write(path, samples.astype(np.int16), RATE)
            utterances.append(Utterance(name, speaker, (f"w{number}",), name, str(path)))
    return write_datadir(tmp_path / "words", utterances)


def test_each_recording_is_in_one_string_of_its_speaker(words):
    strings = plan_strings(words, OPTIONS)
    parts = [part for one in strings for part in one.parts]
    assert max(Counter(part.utterance for part in parts).values()) == 1
    # Of each speaker fewer stay alone than a string has at least.
    for speaker, ids in words.speakers.items():
        assert 0 <= len(ids) - sum(part.speaker == speaker for part in parts) < 3
    for one in strings:
        assert 3 <= len(one.parts) <= 7
        assert {part.speaker for part in one.parts} == {one.utterance.split("-")[0]}
        assert one.words == tuple(word for part in one.parts for word in part.words)
        assert len(one.pauses) == len(one.parts) - 1
        assert all(0 <= pause <= 0.3 for pause in one.pauses)
    pauses = [pause for one in strings for pause in one.pauses]
    assert 0 < sum(pause > 0 for pause in pauses) < len(pauses)
    assert [part.utterance for part in parts] != sorted(part.utterance for part in parts)


def test_draws_depend_on_seed_and_speaker_alone(words):
    strings = plan_strings(words, OPTIONS)
    assert plan_strings(words, OPTIONS) == strings
    assert plan_strings(subset(words, speakers=["bo"]), OPTIONS) == [
        one for one in strings if one.parts[0].speaker == "bo"]
    assert plan_strings(words, replace(OPTIONS, seed=6)) != strings
    # Other pauses join the same recordings.
    quick = plan_strings(words, replace(OPTIONS, pause_share=0.0))
    assert [one.parts for one in quick] == [one.parts for one in strings]
    assert {pause for one in quick for pause in one.pauses} == {0.0}


def test_samples_are_the_parts_and_pauses_of_their_background():
    rng = np.random.default_rng(1)
    # Low-pass noise of level 20, and a loud word in the middle.
    parts = []
    for level in (15.0, 20.0, 400.0):
        noise = np.convolve(rng.standard_normal(1607), np.ones(8) / np.sqrt(8), "valid") * level
        noise[400:1200] += 6000
        parts.append(noise.astype(np.float32))
    joined = join_samples(parts, RATE, (0.5, 0.0), 0.004, rng)
    assert joined.dtype == np.float32
    assert len(joined) == 3 * 1600 + 4000
    for part, start in zip(parts, (0, 5600, 7200), strict=True):
        np.testing.assert_array_equal(joined[start + 32:start + 1568], part[32:1568])
        # No click: a part rises from nothing, and falls to it.
        assert abs(joined[start]) < 0.01 * abs(part[0]) + 1e-3
        assert abs(joined[start + 1599]) < 0.01 * abs(part[1599]) + 1e-3
    pause = joined[1600:5600].astype(np.float64)
    # The background of the middle one, not of the noisy recording; softest stretches are softer
    # than the rest.
    assert 8 <= np.sqrt(np.mean(pause**2)) <= 24
    power = np.abs(np.fft.rfft(pause))**2
    assert power[:500].sum() > 4 * power[1000:].sum()


def test_a_data_directory_of_strings(words, tmp_path):
    sets = []
    for nj in (1, 2):
        with executor(nj) as pool:
            sets.append(join_datadir(words, tmp_path / f"nj{nj}", OPTIONS, pool))
    strings = sets[0]
    check_datadir(strings.path, check_audio=True)
    assert read_datadir(strings.path).utterances == strings.utterances
    seconds, planned = utt2dur(strings), plan_strings(words, OPTIONS)
    assert [one.utterance for one in planned] == list(strings.utterances)
    for one in planned:
        utterance = strings.utterances[one.utterance]
        assert (utterance.speaker, utterance.words) == (one.parts[0].speaker, one.words)
        assert seconds[one.utterance] == pytest.approx(
            0.2 * len(one.parts) + sum(one.pauses), abs=1e-3)
        assert strings.tables["utt2parts"][one.utterance].split() == [
            part.utterance for part in one.parts]
        ours, theirs = (load_audio(data.utterances[one.utterance].wav, RATE) for data in sets)
        np.testing.assert_array_equal(ours, theirs)


def test_parts_and_copies_know_their_string(words, tmp_path):
    strings = join_datadir(words, tmp_path / "strings", OPTIONS, SerialExecutor())
    both = combine([words, strings], tmp_path / "both")
    copies = augment_datadir(both, tmp_path / "copies", AugmentOptions(
        speeds="0.9", copies=0, silence_share=0.0), SerialExecutor())
    whole = read_datadir(combine([both, copies], tmp_path / "whole").path)
    wanted = {part.utterance: one.utterance for one in plan_strings(words, OPTIONS)
              for part in one.parts}
    assert strings_of_parts(both) == wanted
    assert strings_of_parts(whole) == wanted
    assert strings_of_parts(words) == {}
    assert set(without_strings(both).utterances) == set(words.utterances)
    assert {name.removeprefix("sp0.9-") for name in without_strings(whole).utterances} == set(
        words.utterances)
    check_datadir(whole.path)
    # A string is not joined with others.
    again = join_datadir(both, tmp_path / "again", OPTIONS, SerialExecutor())
    assert again.tables["utt2parts"] == strings.tables["utt2parts"]


def test_what_cannot_be_joined_is_refused(words, tmp_path):
    with pytest.raises(UserError, match="no speaker has 30 recordings to join; give a smaller"):
        join_datadir(words, tmp_path / "s", JoinOptions(min_parts=30, max_parts=40),
                     SerialExecutor())
    with pytest.raises(UserError, match="is the set itself"):
        join_datadir(words, words.path, OPTIONS, SerialExecutor())
    for values in ({"min_parts": 1}, {"min_parts": 5, "max_parts": 4}, {"pause_share": 1.5},
                   {"max_pause": -1.0}, {"fade": 11.0}, {"seed": -1}):
        with pytest.raises(UserError, match="give"):
            JoinOptions(**values)

"""Synthetic speakers beside a training set: what they say, and that no choice rests on them."""

import numpy as np
import pytest

from hybridasr.corpus.audio import audio_info
from hybridasr.corpus.augment import AugmentOptions, augment_datadir
from hybridasr.corpus.datadir import Utterance, read_datadir, write_datadir
from hybridasr.corpus.subsets import combine
from hybridasr.corpus.synthetic_set import (
    SYNTHETIC,
    SyntheticOptions,
    say_once,
    synthesize_set,
    synthetic_utterances,
)
from hybridasr.corpus.validate import check_datadir
from hybridasr.errors import UserError
from hybridasr.parallel import SerialExecutor, executor

pytest.importorskip("espeakng_loader")
pytest.importorskip("pypinyin")

RATE = 8000


def test_a_word_is_loud_and_close_to_the_ends():
    samples = say_once("seven", 3, "a", RATE)
    assert 0.2 * RATE < len(samples) < RATE
    assert 2900 < np.abs(samples).max() < 23000
    loud = np.flatnonzero(np.abs(samples) > 0.1 * np.abs(samples).max())
    assert loud[0] < 0.2 * RATE
    assert loud[-1] > len(samples) - 0.35 * RATE


def test_the_same_name_gives_the_same_samples_and_another_does_not():
    first = say_once("one", 1, "a", RATE)
    np.testing.assert_array_equal(first, say_once("one", 1, "a", RATE))
    for other in (say_once("one", 1, "b", RATE), say_once("one", 2, "a", RATE)):
        assert len(other) != len(first) or not np.allclose(other, first)


def test_a_set_of_synthetic_speakers_beside_a_real_one(tmp_path):
    options = SyntheticOptions(speakers=2, repetitions=2)
    with executor(2) as pool:
        made = synthesize_set(["one", "two"], tmp_path / "made", RATE, options, pool)
    assert len(made) == 8
    assert set(made.speakers) == {"synthetic001", "synthetic002"}
    assert check_datadir(made.path, check_audio=True) is None
    assert audio_info(made.utterances["synthetic001-001-1"].wav).sample_rate == RATE
    real = write_datadir(tmp_path / "real", [
        Utterance("ann-1", "ann", ("one",), "ann-1", made.utterances["synthetic001-001-1"].wav)])
    whole = combine([real, made], tmp_path / "whole")
    assert read_datadir(whole.path).tables[SYNTHETIC]["ann-1"] == "0"
    assert synthetic_utterances(whole) == set(made.utterances)
    assert synthetic_utterances(real) == frozenset()
    # Copies of what nobody said are such, too.
    copies = augment_datadir(whole, tmp_path / "copies", AugmentOptions(speeds="1.0", copies=1),
                             SerialExecutor())
    assert synthetic_utterances(copies) == {f"noise1-{name}" for name in made.utterances}


def test_each_speaker_says_some_of_many_texts(tmp_path):
    texts = ["able", "baby", "cabin", "dance", "each", "face"]
    options = SyntheticOptions(speakers=5, repetitions=1, texts_each=2)
    made = synthesize_set(texts, tmp_path, RATE, options, SerialExecutor())
    drawn = {speaker: {" ".join(u.words) for u in made.utterances.values() if u.speaker == speaker}
             for speaker in made.speakers}
    assert [len(one) for one in drawn.values()] == [2] * 5
    assert len(set.union(*drawn.values())) > 2
    # More than there are is all.
    every = SyntheticOptions(speakers=1, repetitions=1, texts_each=9)
    assert len(synthesize_set(texts, tmp_path / "all", RATE, every, SerialExecutor())) == 6


def test_files_do_not_depend_on_the_number_of_jobs(tmp_path):
    options = SyntheticOptions(speakers=25, repetitions=2)  # more than a block
    with executor(2) as pool:
        two = synthesize_set(["one"], tmp_path / "two", RATE, options, pool)
    one = synthesize_set(["one"], tmp_path / "one", RATE, options, SerialExecutor())
    for name, utterance in one.utterances.items():
        with open(utterance.wav, "rb") as a, open(two.utterances[name].wav, "rb") as b:
            assert a.read() == b.read()


@pytest.mark.parametrize("wrong", [{"speakers": -1}, {"repetitions": 0}, {"most_texts": 0}])
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(UserError, match=f"option {next(iter(wrong))} is"):
        SyntheticOptions(**wrong)

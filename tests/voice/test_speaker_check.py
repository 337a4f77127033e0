"""The check of who speaks: trained, enrolled, scored, saved, and what is refused."""

import numpy as np
import pytest
from voice_world import RATE, WORDS, speak, write_voices

from hybridasr.errors import DamagedFile, NotEnoughData, UserError
from hybridasr.parallel import SerialExecutor
from hybridasr.score.detection import det_curve
from hybridasr.storage import read_arrays, write_arrays
from hybridasr.voice.check_trainer import (
    SpeakerCheckOptions,
    VoiceSet,
    check_figures,
    speaker_trials,
    train_speaker_check,
)
from hybridasr.voice.plda import Plda
from hybridasr.voice.speaker_check import load_profile, load_speaker_check


def said(speaker, words, seed=5):
    rng = np.random.default_rng([seed, speaker])
    return [speak(speaker, word, rng) for word in words]


@pytest.fixture(scope="module")
def profile(trained):
    return trained[0].enrol(said(20, WORDS[:3]))


def test_strangers_are_told_apart(trained):
    """Of speakers that were not in the training, by other words than those enrolled."""
    check, speakers = trained[0], range(20, 28)
    tries = {speaker: said(speaker, WORDS[3:], 6) for speaker in speakers}
    scores, labels = [], []
    for speaker in speakers:
        profile = check.enrol(said(speaker, WORDS[:3]))
        for other, recordings in tries.items():
            scores += [profile.score(samples) for samples in recordings]
            labels += [other == speaker] * len(recordings)
    assert det_curve(np.array(scores), np.array(labels)).equal_error_rate < 0.15
    assert trained[1].equal_error_rate < 0.15


def test_too_little_speech_has_no_score(profile):
    assert profile.score(np.zeros(100)) is None


def test_training_repeats_itself(voices, trained):
    again, curve = train_speaker_check([voices], SerialExecutor())
    assert np.array_equal(again.plda.transform, trained[0].plda.transform)
    assert (again.scale, again.offset) == (trained[0].scale, trained[0].offset)
    assert check_figures(curve) == check_figures(trained[1])


def test_figures_are_those_of_the_curve(trained):
    figures, curve = check_figures(trained[1]), trained[1]
    assert figures["eer"] == round(100 * curve.equal_error_rate, 2)
    for share in (5, 1):
        at = np.flatnonzero(np.round(curve.thresholds, 3) == figures[f"threshold_{share}"])
        assert (curve.false_accept[at] <= share / 100).any()
        assert figures[f"miss_{share}"] in np.round(100 * curve.miss[at], 2)


def test_trials_are_of_other_words():
    """A voice is its word here: whoever tried enrolled words would find ratios of zero distance."""
    speakers = np.repeat(["a", "b"], 5)
    texts = np.array([f"w{number}" for number in range(5)] * 2)
    vectors = np.arange(10.0)[:, None]
    model = Plda(np.zeros(1), np.eye(1), np.ones(1))
    ratios, same = speaker_trials(model, VoiceSet(vectors, speakers, texts), 3)
    # Each enrolment leaves two words of each speaker.
    assert len(ratios) == 2 * 3 * 4
    assert same.sum() == 2 * 3 * 2
    repeated = VoiceSet(vectors, speakers, np.full(10, "w"))
    ratios, same = speaker_trials(model, repeated, 1)
    assert (len(ratios), same.sum()) == (2 * 7, 2 * 2)


def test_files_come_back_bit_by_bit(trained, profile, tmp_path):
    trained[0].save(tmp_path / "check.npz")
    profile.save(tmp_path / "mei.npz")
    check, read = load_speaker_check(tmp_path / "check.npz"), load_profile(tmp_path / "mei.npz")
    samples = said(20, WORDS[3:4])[0]
    assert read.score(samples) == profile.score(samples)
    assert check.enrol(said(20, WORDS[:3])).score(samples) == profile.score(samples)


def test_files_that_are_something_else(trained, profile, tmp_path):
    check, mei = tmp_path / "check.npz", tmp_path / "mei.npz"
    trained[0].save(check)
    profile.save(mei)
    with pytest.raises(UserError, match="check.npz: is a speaker check, not the profile"):
        load_profile(check)
    with pytest.raises(UserError, match="mei.npz: is the profile of a speaker; give the speaker"):
        load_speaker_check(mei)
    with pytest.raises(UserError, match="no such profile; make it with 'hybridasr enrol'"):
        load_profile(tmp_path / "none.npz")
    arrays = read_arrays(mei)
    for change, kind, line in (
            ({"format": np.array(2)}, UserError, "format 2, this version reads up to 1; upgrade"),
            ({"between": -arrays["between"]}, DamagedFile, "array 'between' has the value"),
            ({"calibration": np.array([0.0, 1.0])}, DamagedFile, "has the scale 0.0; remake it"),
            ({"vector": arrays["vector"][:3]}, DamagedFile, "array 'vector' is")):
        write_arrays(mei, **{**arrays, **change})
        with pytest.raises(kind, match=line):
            load_profile(mei)


def test_what_is_too_little(trained, tmp_path):
    check = trained[0]
    with pytest.raises(NotEnoughData, match="no recording to enrol; give three or more"):
        check.enrol([])
    with pytest.raises(NotEnoughData, match=r"b.wav: less than 0.1 s of speech; say something"):
        check.enrol([*said(1, WORDS[:1]), np.zeros(RATE // 10)], ["a.wav", "b.wav"])
    with pytest.raises(NotEnoughData, match="3 speakers with enough speech; a speaker check needs"):
        train_speaker_check([write_voices(tmp_path, range(3))], SerialExecutor())


@pytest.mark.parametrize(("options", "line"), [
    ({"sample_rate": 4000}, "option sample_rate is 4000; give 8000 to 48000"),
    ({"shrinkage": 2.0}, "option shrinkage is 2.0; give 0 to 1"),
    ({"num_folds": 1}, "options num_folds and draws are 1 and 5; give 2 or more")])
def test_options_out_of_range(options, line):
    with pytest.raises(UserError, match=line):
        SpeakerCheckOptions(**options)

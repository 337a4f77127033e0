"""Calibration of a model: what is drawn, what counts as outside, what is stored and used."""

import json
import logging
import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from command_world import COMMANDS, OUTSIDE, RATE, speak

from hybridasr.batch.spot_set import CommandList, SpotOptions, phone_pairs, spot_set
from hybridasr.confidence.calibration import load_calibration
from hybridasr.confidence.calibrator import CalibrationOptions
from hybridasr.confidence.command_grammar import RejectOptions
from hybridasr.confidence.confusion import estimate_confusions, load_confusions
from hybridasr.confidence.measures import NAMES
from hybridasr.corpus.background import background_utterances
from hybridasr.corpus.command_list import make_commands
from hybridasr.errors import UserError
from hybridasr.evaluation.calibrate import (
    NOISE_LEVELS,
    DrawOptions,
    _balance,
    calibrate,
    draw_lists,
    noise_trials,
)
from hybridasr.evaluation.false_accepts import spot_background
from hybridasr.model.directory import load_model, save_model
from hybridasr.parallel import SerialExecutor, executor
from hybridasr.score.detection import TrialKind

LIST = CommandList(tuple(make_commands(COMMANDS)))
POOL = SerialExecutor()
PIECES = 3 + 3 * 9  # tones; three pieces of each noise, made once


@pytest.fixture(autouse=True)
def noises_made_once(monkeypatch):
    """Quicker than with several draws of each."""
    monkeypatch.setattr("hybridasr.evaluation.calibrate.NOISE_DRAWS", 1)


@pytest.fixture
def model(spoken_world, tmp_path):
    return shutil.copytree(spoken_world.mono, tmp_path / "mono")


def of(data, wanted):
    """The utterances whose text is wanted."""
    return replace(data, utterances={name: u for name, u in data.utterances.items()
                                     if wanted(" ".join(u.words))})


# Lists.

def test_what_nobody_can_pronounce_is_not_drawn(spoken_world, tmp_path, caplog):
    """As transcripts of a corpus whose unknown words are spoken noise."""
    name = min(spoken_world.test.utterances)
    data = replace(spoken_world.test, utterances={
        **spoken_world.test.utterances,
        name: replace(spoken_world.test.utterances[name], words=("brzk", "ta1"))})

    def drawn(lexicon=None):
        return {command.text for part in draw_lists(data, DrawOptions(draws=20), spoken_world.lang,
                                                    lexicon) for command in part.commands}

    with caplog.at_level(logging.INFO, "hybridasr"):
        assert "brzk ta1" not in drawn()
    assert "have words without pronunciation (brzk)" in caplog.text
    (tmp_path / "lexicon.txt").write_text("brzk t a1\n")
    assert "brzk ta1" in drawn(tmp_path / "lexicon.txt")


def test_lists_are_drawn_by_the_seed(spoken_world):
    data, lang = spoken_world.test, spoken_world.lang
    texts = {" ".join(u.words) for u in data.utterances.values()}
    drawn = draw_lists(data, DrawOptions(draws=20), lang)
    assert drawn == draw_lists(data, DrawOptions(draws=20), lang)
    assert drawn[:3] == draw_lists(data, DrawOptions(draws=3), lang)
    assert drawn != draw_lists(data, DrawOptions(draws=20, seed=1), lang)
    names = [{command.text for command in commands.commands} for commands in drawn]
    assert all(len(part) == 4 and part < texts for part in names)  # half of seven
    assert set().union(*names) == texts
    assert all(commands.fillers == () for commands in drawn)
    for options, size in ((DrawOptions(list_size=2), 2), (DrawOptions(list_share=0.01), 1)):
        assert {len(part.commands) for part in draw_lists(data, options, lang)} == {size}
    # The order of the set does not matter.
    turned = replace(data, utterances=dict(reversed(data.utterances.items())))
    assert draw_lists(turned, DrawOptions(), lang) == draw_lists(data, DrawOptions(), lang)
    with pytest.raises(UserError, match="text: fewer than two different transcripts"):
        draw_lists(of(data, lambda text: text == "da1ti1"), DrawOptions(), lang)
    for wrong in ({"draws": 0}, {"list_size": 0}, {"list_share": 1.0}):
        with pytest.raises(UserError, match="must be 1 or more, list-share between 0 and 1"):
            DrawOptions(**wrong)


# The penalty.

@pytest.mark.parametrize("seed", range(10))
def test_penalty_balances_misses_and_false_accepts(seed):
    rng = np.random.default_rng(seed)
    kinds = rng.choice(list(TrialKind), int(rng.integers(5, 60)), p=[0.4, 0.2, 0.4])
    kinds[:2] = TrialKind.RIGHT, TrialKind.OUTSIDE
    ratios = np.round(rng.normal(3.0 * (kinds == TrialKind.RIGHT), 3.0), 1)

    def gap(penalty):
        accepted = ratios + penalty > 0  # as the search decides
        miss = (~accepted[kinds == TrialKind.RIGHT]).mean()
        return abs(miss - accepted[kinds == TrialKind.OUTSIDE].mean())

    places = np.unique(ratios[kinds != TrialKind.WRONG])
    cuts = [places[0] - 1, *(places[:-1] + places[1:]) / 2]
    # Half a step off the numbers: equal ones are accepted or refused together.
    assert gap(_balance(ratios, kinds)) == pytest.approx(min(gap(-cut) for cut in cuts))


# Noise.

def test_noises_are_outside_at_several_levels(spoken_world):
    found = noise_trials(spoken_world.mono, LIST, SpotOptions())
    assert {trial.kind for trial in found} == {TrialKind.OUTSIDE}
    assert {trial.said for trial in found} == {""}
    names = {trial.speaker for trial in found}
    assert {"noise tone1000", "noise white0-0", "noise babble0-2", "noise rustle0-1"} <= names
    assert len(names) == PIECES
    assert len({trial.utterance for trial in found}) == len(found) == len(names) * len(NOISE_LEVELS)
    assert {trial.duration for trial in found} == {1.98}


# The whole.

def test_stored_and_used(spoken_world, model):
    calibration, report = calibrate(model, spoken_world.test, POOL, LIST)
    assert load_calibration(model).to_dict() == calibration.to_dict()
    assert calibration.names == NAMES
    assert (calibration.regression.weights >= 0).all()
    assert calibration.info["utterances"] == 42
    figures = calibration.info["figures"]
    assert figures == json.loads(json.dumps(report.figures))
    assert (figures["commands"], figures["outside"]) == (18, 24 + PIECES * len(NOISE_LEVELS))
    assert figures["accepted_right"] > 90
    assert figures["false_accept"] <= 5
    # Speakers of the set and noises, each on one side only.
    assert figures["speakers"] == 3 + PIECES
    pairs = phone_pairs(model, spoken_world.test, POOL)
    np.testing.assert_array_equal(load_confusions(model / "confusions.json").counts,
                                  estimate_confusions(pairs).counts)
    # In use, the trials have the probabilities of the formula.
    (trials,) = spot_set(model, spoken_world.test, [LIST], POOL)
    measured = np.array([trial.measures for trial in trials])
    for trial, row in zip(trials, measured, strict=True):
        expected = 0.0 if np.isnan(row).all() else calibration.probability(row[None])[0]
        assert trial.probability == pytest.approx(expected, abs=1e-9)
        assert (trial.reason is None) == (expected >= calibration.threshold)


def test_the_number_of_jobs_changes_nothing(spoken_world, tmp_path):
    found = []
    for jobs in (1, 2):
        path = shutil.copytree(spoken_world.mono, tmp_path / f"jobs{jobs}")
        with executor(jobs) as pool:
            found.append(calibrate(path, spoken_world.test, pool,
                                   draw=DrawOptions(draws=3))[0].to_dict())
    assert found[0] == found[1]
    assert found[0]["info"]["lists"] == 3
    figures = found[0]["info"]["figures"]
    # Each list has four of the seven texts: 24 commands, 18 outside words.
    noises = PIECES * len(NOISE_LEVELS)
    assert (figures["commands"], figures["outside"]) == (3 * 24, 3 * 18 + noises)


def test_options_are_those_that_are_given(spoken_world, model):
    spot = SpotOptions(reject=RejectOptions(filler_penalty=1.25, near_fillers=0))
    fit = CalibrationOptions(least_threshold=0.8)
    calibration, report = calibrate(model, spoken_world.test, POOL, LIST, fit=fit, spot=spot)
    assert calibration.filler_penalty == 1.25
    assert calibration.threshold >= 0.8
    assert calibration.info["options"]["least_threshold"] == 0.8
    assert report.figures["threshold"] == calibration.threshold


def test_a_model_without_durations(spoken_world, model):
    save_model(replace(load_model(model), durations=None), model)
    calibration, _ = calibrate(model, spoken_world.test, POOL, LIST)
    assert calibration.names == tuple(name for name in NAMES if "duration" not in name)
    (trials,) = spot_set(model, spoken_world.test, [LIST], POOL)
    assert all(trial.reason is None for trial in trials if trial.kind == TrialKind.RIGHT)


def test_an_earlier_calibration_has_no_say(spoken_world, model):
    """Its error line asks for a new one, which must be possible."""
    first, _ = calibrate(model, spoken_world.test, POOL, LIST)
    (model / "confidence.json").write_text('{"format": 1')
    (model / "confusions.json").write_text('{"format": 99}')
    again, _ = calibrate(model, spoken_world.test, POOL, LIST)
    assert again.to_dict() == first.to_dict()
    assert load_calibration(model).to_dict() == first.to_dict()


def test_what_is_lacking_is_said_and_the_old_calibration_stays(spoken_world, model):
    data = spoken_world.test
    calibrate(model, data, POOL, LIST)
    before = {path.name: path.read_bytes() for path in model.iterdir() if path.is_file()}
    for part, commands, line in (
            (of(data, lambda text: text in COMMANDS), LIST, "no outside utterances to calibrate "
             "with, at least 10 are needed; add recordings of words that are not in the command"),
            (of(data, lambda text: text in [*COMMANDS, "ta1da1"]), LIST, "6 outside utterances to"),
            (of(data, lambda text: text not in COMMANDS), LIST, "no commands recognised right"),
            (data, CommandList(tuple(make_commands(["ku1"]))), "'ku1' needs the phones k"),
            (of(data, lambda text: text == "da1ti1"), None, "fewer than two different")):
        with pytest.raises(UserError, match=line):
            calibrate(model, part, POOL, commands)
        after = {path.name: path.read_bytes() for path in model.iterdir() if path.is_file()}
        assert after == before
    # Where there was none, none is left.
    fresh = shutil.copytree(spoken_world.mono, model.parent / "fresh")
    with pytest.raises(UserError, match="no outside utterances"):
        calibrate(fresh, of(data, lambda text: text in COMMANDS), POOL, LIST)
    assert sorted(path.name for path in fresh.iterdir()) == sorted(
        path.name for path in spoken_world.mono.iterdir())


# Background.

def test_background_is_cut_at_its_pauses_and_judges_the_threshold(model, spoken_world, tmp_path):
    rng = np.random.default_rng(0)
    for number in range(3):
        # Ten outside words with pauses between them, as a device hears them.
        parts = [part for text in (OUTSIDE * 3)[:10] for part in (
            speak(text, rng), np.round(40 * rng.normal(size=RATE)).astype(np.int16))]
        soundfile.write(tmp_path / f"radio{number}.wav", np.concatenate(parts), RATE)
    pieces = background_utterances([tmp_path / f"radio{number}.wav" for number in range(3)])
    behind = spot_background(model, pieces, [LIST], POOL)
    seconds = sum(soundfile.info(tmp_path / f"radio{number}.wav").duration for number in range(3))
    assert behind.hours == pytest.approx(seconds / 3600, abs=1e-6)
    assert 24 <= len(behind.trials) <= 36
    assert {trial.kind for trial in behind.trials} == {TrialKind.OUTSIDE}
    assert [trial.utterance for trial in behind.trials] == sorted(
        trial.utterance for trial in behind.trials)
    fit = CalibrationOptions(false_accepts_per_hour=0.0)
    plain, _ = calibrate(model, spoken_world.test, POOL, LIST, fit=fit)
    calibration, report = calibrate(model, spoken_world.test, POOL, LIST, fit=fit,
                                    background=pieces)
    assert report.figures["background_accepts_per_hour"] == 0
    assert report.figures["outside"] == plain.info["figures"]["outside"]
    assert load_calibration(model).threshold == calibration.threshold
    # Nothing in the background passes the threshold that was chosen.
    again = spot_background(model, pieces, [LIST], POOL)
    assert sum(trial.reason is None for trial in again.trials) <= 1
    with executor(2) as pool:
        jobs = spot_background(model, pieces, [LIST], pool)
    assert [trial.probability for trial in jobs.trials] == [
        trial.probability for trial in again.trials]

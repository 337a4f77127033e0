"""Sets decoded with command lists: the same trials for every number of jobs, figures by hand."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
from command_world import COMMANDS, OUTSIDE, make_adaptive

from hybridasr.batch.spot_set import CommandList, SpotOptions, Trial, phone_pairs, spot_set
from hybridasr.confidence.measures import NAMES, nothing
from hybridasr.corpus.command_list import Command, make_commands
from hybridasr.corpus.datadir import read_datadir
from hybridasr.errors import UserError
from hybridasr.evaluation.spotting import decision_figures, evaluate_commands
from hybridasr.model.adaptation import AdaptOptions
from hybridasr.parallel import SerialExecutor, executor
from hybridasr.progress import logger, without_warnings
from hybridasr.recognize.recognizer import load
from hybridasr.score.detection import TrialKind, det_curve

LISTS = [CommandList(tuple(make_commands(texts)), fillers) for texts, fillers in (
    (COMMANDS, ()), ([*COMMANDS, "ta1da1", "da1di1"], ("bu1bu1",)), (["ta1da1", "ba1lu1"], ()))]


def comparable(trials):
    """All of the trials but the time they took."""
    return [(t.utterance, t.speaker, t.said, t.kind, t.text, t.probability, t.reason,
             t.measures.tolist(), t.duration) for t in trials]


def spot(world, lists, data=None, model=None, pool=None, **options):
    return spot_set(model or world.mono, data or world.test, lists, pool or SerialExecutor(),
                    SpotOptions(**options))


def test_any_number_of_jobs_gives_the_same_trials(spoken_world):
    """Each worker has seen other lists before."""
    one = spot(spoken_world, LISTS)
    with executor(2) as pool:
        two = spot(spoken_world, LISTS, pool=pool)
    alone = [spot(spoken_world, [commands])[0] for commands in reversed(LISTS)][::-1]
    for ours in (two, alone):
        assert len(ours) == len(LISTS)
        for trials, theirs in zip(ours, one, strict=True):
            np.testing.assert_equal(comparable(trials), comparable(theirs))
    assert [t.utterance for t in one[0]] == sorted(spoken_world.test.utterances)


def test_kinds_and_texts(spoken_world):
    (trials,) = spot(spoken_world, LISTS[:1])
    for trial in trials:
        assert trial.kind == (TrialKind.RIGHT if trial.said in COMMANDS else TrialKind.OUTSIDE)
        assert trial.said == " ".join(spoken_world.test.utterances[trial.utterance].words)
        assert trial.measures.shape == (len(NAMES),)
        assert trial.probability is None
        assert 0.4 < trial.duration < 1.2
        if trial.kind == TrialKind.RIGHT:
            assert trial.text == trial.said
        else:
            assert trial.reason == "filler"
    # A transcript that is another command makes it wrong, unless both have one id.
    for name, kind in (("other", TrialKind.WRONG), ("same", TrialKind.RIGHT)):
        commands = CommandList((Command("da1ti1", "same"), Command("bu1la1", name)))
        data = spoken_world.test
        utterances = {key: replace(u, words=("bu1la1",)) for key, u in data.utterances.items()
                      if u.words == ("da1ti1",)}
        (trials,) = spot(spoken_world, [commands], replace(data, utterances=utterances))
        assert len(trials) == 6
        assert {(t.said, t.text, t.kind) for t in trials} == {("bu1la1", "da1ti1", kind)}


@pytest.mark.parametrize("adaptive", [False, True])
def test_utterances_without_features_are_trials_too(spoken_world, tmp_path, adaptive):
    model = make_adaptive(spoken_world, tmp_path / "sat") if adaptive else spoken_world.mono
    data = spoken_world.test
    kept = {name: place for name, place in data.tables["feats.scp"].items()
            if data.utterances[name].speaker != "t1" and name != "t0-000"}
    short = replace(data, tables={**data.tables, "feats.scp": kept})
    found, whole = ({t.utterance: t for t in spot(spoken_world, LISTS[:1], part, model)[0]}
                    for part in (short, data))
    assert sorted(found) == sorted(data.utterances)
    for name, trial in found.items():
        if name in kept and not adaptive:
            np.testing.assert_equal(comparable([trial]), comparable([whole[name]]))
        if name not in kept:
            assert (trial.text, trial.reason, trial.duration) == ("", "too-short", 0.0)
            assert trial.kind == (TrialKind.WRONG if trial.said in COMMANDS else TrialKind.OUTSIDE)
            np.testing.assert_array_equal(trial.measures, nothing())
    assert len(phone_pairs(spoken_world.mono, short, SerialExecutor())) == sum(
        set(data.utterances[name].words) <= spoken_world.lang.words.keys() for name in kept)
    none = replace(data, tables={**data.tables, "feats.scp": {}})
    with pytest.raises(UserError, match="no utterance to decode has features; run make-feats"):
        spot(spoken_world, LISTS[:1], none)


def test_a_speakers_utterances_help_each_other(spoken_world, tmp_path):
    """An adaptive system decodes a speaker at a time, as the recogniser does."""
    model = make_adaptive(spoken_world, tmp_path / "sat")
    options = AdaptOptions(fmllr_min_count=50)
    (adapted,), (plain,) = (spot(spoken_world, LISTS[:1], model=model, adapt=adapt)
                            for adapt in (options, AdaptOptions(fmllr_passes=0)))
    assert [t.utterance for t in adapted] == [t.utterance for t in plain]
    assert any((a.measures != b.measures).any() for a, b in zip(adapted, plain, strict=True))
    assert all((t.text if t.reason is None else "") == (t.said if t.said in COMMANDS else "")
               for t in adapted)


def test_phone_pairs_are_what_was_said_and_heard(spoken_world):
    with executor(2) as pool:
        pairs = phone_pairs(spoken_world.mono, spoken_world.train, pool)
    assert pairs == phone_pairs(spoken_world.mono, spoken_world.train, SerialExecutor())
    words = [u.words for _, u in sorted(spoken_world.train.utterances.items())]
    assert ["".join(phones) for phones, _ in pairs] == ["".join(w) for w in words]
    assert sum(ours == theirs for ours, theirs in pairs) > 0.8 * len(pairs)
    # Of unknown words nobody can tell what was said.
    assert len(phone_pairs(spoken_world.mono, spoken_world.test, SerialExecutor())) == sum(
        set(u.words) <= spoken_world.lang.words.keys()
        for u in spoken_world.test.utterances.values())


# Figures and files.

def trial(kind, probability, accepted, reason="filler"):
    return Trial("u", "s", "x", kind, "x", probability, None if accepted else reason,
                 np.zeros(1), 0.0, 1.0)


def test_figures_are_of_the_decisions_as_they_were_taken():
    """Commands have thresholds of their own: no single one gives these rates."""
    rng = np.random.default_rng(0)
    kinds = rng.choice(list(TrialKind), 60, p=[0.5, 0.2, 0.3])
    shares, accepted = rng.random(60), rng.random(60) < 0.6
    found = decision_figures([trial(*row) for row in zip(kinds, shares, accepted, strict=True)])
    is_command = kinds != TrialKind.OUTSIDE
    expected = {
        "commands": is_command.sum(), "outside": (~is_command).sum(),
        "recognised": 100 * (kinds == TrialKind.RIGHT).sum() / is_command.sum(),
        "accepted_right": 100 * (accepted & (kinds == TrialKind.RIGHT)).sum() / is_command.sum(),
        "accepted_wrong": 100 * (accepted & (kinds == TrialKind.WRONG)).sum() / is_command.sum(),
        "false_accept": 100 * (accepted & ~is_command).sum() / (~is_command).sum(),
        "eer": 100 * det_curve(shares[kinds != TrialKind.WRONG],
                               kinds[kinds != TrialKind.WRONG] == TrialKind.RIGHT).equal_error_rate}
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=0.006)
    plain = decision_figures([trial(kind, None, a) for kind, a in zip(kinds, accepted,
                                                                      strict=True)])
    for name in ("recognised", "accepted_right", "accepted_wrong", "false_accept"):
        assert plain[name] == found[name]
    assert {plain[name] for name in ("eer", "eer_wrong", "auc", "ece", "nce")} == {None}
    alone = decision_figures([trial(TrialKind.OUTSIDE, 0.2, False)] * 3)
    assert (alone["accepted_right"], alone["false_accept"], alone["eer"]) == (None, 0.0, None)


def test_row_and_files(spoken_world, tmp_path):
    half = {name: u for name, u in spoken_world.test.utterances.items() if u.speaker != "t2"}
    sets = [replace(spoken_world.test, utterances=half), read_datadir(spoken_world.test.path)]
    row = evaluate_commands(spoken_world.mono, sets, LISTS[0], tmp_path, SerialExecutor())
    assert json.loads((tmp_path / "detection.json").read_text()) == row
    assert (row["system"], row["test_set"], row["grammar"], row["utterances"]) == (
        "mono", "test+test", "commands and filler", 28 + 42)
    assert (row["commands"], row["outside"], row["wer"]) == (12 + 18, 16 + 24, None)
    assert row["recognised"] == 100
    assert row["rtf"] > 0
    lines = [line.split("\t") for line in (tmp_path / "trials").read_text().splitlines()]
    texts = [line.partition(" ") for line in (tmp_path / "text").read_text().splitlines()]
    assert len(lines) == len(texts) == 70
    for (name, said, text, share, reason, kind), (key, _, accepted) in zip(lines, texts,
                                                                           strict=True):
        assert key == name
        assert said == " ".join(spoken_world.test.utterances[name].words)
        assert share == ""
        assert kind == ("outside" if said not in COMMANDS else "right")
        assert accepted == (text if reason == "accepted" else "")
    right = sum(line[1] == line[2] and line[4] == "accepted" for line in lines)
    assert row["accepted_right"] == pytest.approx(100 * right / 30, abs=0.006)


# Messages.

ALIKE = CommandList(tuple(make_commands(["da1ti1", "da1 ti1", "bu1la1"])))


@pytest.mark.parametrize("jobs", [1, 2])
def test_commands_that_sound_alike_are_named_once(spoken_world, tmp_path, caplog, jobs):
    sets = [spoken_world.test] * 2
    with caplog.at_level(logging.WARNING, logger="hybridasr"), executor(jobs) as pool:
        evaluate_commands(spoken_world.mono, sets, ALIKE, tmp_path, pool)
    assert [record.getMessage().partition(",")[0] for record in caplog.records] == [
        "commands 'da1 ti1' and 'da1ti1' sound the same"]


def test_transcripts_that_are_no_commands_are_said(spoken_world, tmp_path, caplog):
    other = CommandList(tuple(make_commands(["lu1lu1"])))
    with caplog.at_level(logging.WARNING, logger="hybridasr"):
        row = evaluate_commands(spoken_world.mono, [spoken_world.test], other, tmp_path,
                                SerialExecutor())
    assert "no transcript of " in caplog.text
    assert (row["commands"], row["outside"], row["accepted_right"]) == (0, 42, None)


def test_warnings_are_kept_back_for_a_while_only(caplog):
    with caplog.at_level(logging.DEBUG, logger="hybridasr"):
        with without_warnings():
            logger.warning("kept back")
            logger.info("news")
            logger.error("an error")
        logger.warning("later")
    assert [record.getMessage() for record in caplog.records] == [
        "news", "an error", "later"]


def test_what_cannot_be_said_stops_the_run(spoken_world):
    with pytest.raises(UserError, match="command 'ku1': 'ku1' needs the phones k"):
        spot(spoken_world, [CommandList((Command("ku1", "ku1"),))])
    with pytest.raises(UserError, match="'ku1' needs the phones k"):
        spot(spoken_world, [LISTS[0], CommandList((Command("ku1", "ku1"),))])
    assert load(spoken_world.mono, commands=OUTSIDE).calibration is None

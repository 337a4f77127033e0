"""The page of one utterance, and the sentence why it is accepted or rejected."""

from types import SimpleNamespace

import numpy as np
import pytest
from command_world import calibrated_recognizer
from page_checks import check_page

import hybridasr
from hybridasr.corpus.audio import load_audio
from hybridasr.report.explanation import MEANINGS, explain, verdict_sentence
from hybridasr.report.trace import decode_trace, feature_steps

pytest.importorskip("matplotlib")
COMMANDS = ["da1ti1", "bu1la1"]


def samples_of(world, name):
    return load_audio(world.test.utterances[name].wav, 16000)


def verdict(recognizer, samples):
    frames = feature_steps(recognizer.model, samples).frames
    return verdict_sentence(decode_trace(recognizer, frames)[0], recognizer)


def test_accepted(spoken_world, tmp_path):
    recognizer = calibrated_recognizer(spoken_world, COMMANDS, -4.0)
    explain(recognizer, samples_of(spoken_world, "t0-000"), "a <b>.wav", tmp_path / "a.html")
    page = check_page(tmp_path / "a.html")
    assert "Accepted as 'da1ti1': the probability that it is right, 0." in page.text
    assert "reaches the threshold of 0.500 (given with --threshold)." in page.text
    assert "a <b>.wav, step by step" in page.text
    assert len(page.all("img")) == 7
    assert len(page.all("audio")) == 1
    headings = ["1 Samples", "2 Frames", "3 Features", "4 Scores", "5 Search", "6 Words",
                "7 Decision"]
    places = [page.text.index(heading) for heading in headings]
    assert places == sorted(places)
    # The sum of what speaks for and against gives the probability of the sentence.
    probability = float(page.text.partition("it is right, ")[2].split(",")[0])
    total = float(page.text.partition("sum – ")[2].split()[0])
    assert 1 / (1 + np.exp(-total)) == pytest.approx(probability, abs=2e-3)


def test_rejected(spoken_world):
    recognizer = calibrated_recognizer(spoken_world, COMMANDS, -3.0)
    sentence = verdict(recognizer, samples_of(spoken_world, "t0-003"))
    assert sentence.startswith("Rejected, because something else than a command fits what was said "
                               "better")


def test_without_calibration_costs_decide(spoken_world):
    recognizer = hybridasr.load(spoken_world.mono, commands=COMMANDS)
    good = verdict(recognizer, samples_of(spoken_world, "t0-000"))
    assert good.startswith("Accepted as 'da1ti1': the model is not calibrated")
    assert "everything else costs" in good


@pytest.mark.parametrize(("reason", "start"), [
    ("no-speech", "Rejected, because nobody speaks"),
    ("too-short", "Rejected, because the recording is too short")])
def test_without_a_command(spoken_world, reason, start):
    recognizer = hybridasr.load(spoken_world.mono, commands=COMMANDS)
    assert verdict_sentence(recognizer.grammar.empty(reason, True), recognizer).startswith(start)


def test_low_confidence_names_both(spoken_world):
    recognizer = calibrated_recognizer(spoken_world, COMMANDS, 0.0)
    first, second = recognizer.commands
    decision = SimpleNamespace(command=first, probability=0.4, reason="low-confidence",
                               accepted=False, alternatives=[(second, 0.3)], measures=None)
    decoded = SimpleNamespace(decision=decision, words=[], reason="low-confidence")
    assert verdict_sentence(decoded, recognizer) == (
        "Rejected, because it is not clear which command it is: 'da1ti1' is nearest, but 'bu1la1' "
        "is not much worse; the probability that it is right, 0.400, is below the threshold of "
        "0.500 (given with --threshold).")


def test_every_measure_has_a_meaning():
    from hybridasr.confidence.measures import NAMES

    assert tuple(MEANINGS) == NAMES

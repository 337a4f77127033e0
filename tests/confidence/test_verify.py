"""The decision: reasons and thresholds, on lattices made by hand with calibrations made by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from test_measures import make_lattice

from hybridasr.confidence.calibration import Calibration, Regression
from hybridasr.confidence.measures import NAMES
from hybridasr.confidence.verify import FILLER, LOW, NO_SPEECH, Verifier
from hybridasr.corpus.command_list import Command
from hybridasr.decode.search import BestPath
from hybridasr.errors import UserError
from hybridasr.graph.filler import filler_units
from hybridasr.hmm.topology import read_topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import prepare_lang
from hybridasr.lexicon.lexicon import Pronunciation, make_lexicon
from hybridasr.lexicon.phones import default_phone_set
from hybridasr.tree.tree import allowed_tuples, monophone_tree

WORDS = {"<UNK>": "SPN", "da": "d a1", "ta": "t a1", "du": "d u1"}
BEAM = 10.0


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A verifier's surroundings: lang, units, and the way of 'da ta' through its phones."""
    lexicon = make_lexicon({word: [Pronunciation(1.0, tuple(phones.split()))]
                            for word, phones in WORDS.items()})
    lang = prepare_lang(lexicon, default_phone_set(), tmp_path_factory.mktemp("lang"))
    topology = read_topology(lang.topology_text)
    tree = monophone_tree(lang.sets, topology)
    transitions = TransitionModel(topology, allowed_tuples(tree, topology))
    units = filler_units(lang, transitions)
    ids = []
    for name in ("d", "a1", "t", "a1"):
        for state in range(3):
            pdf = next(pdf for phone, at, pdf in transitions.tuples.tolist()
                       if (phone, at) == (lang.phones[name], state))
            loop, onward = transitions.tids(
                transitions.transition_state(lang.phones[name], state, pdf))
            ids += [onward, loop]
    scores = np.random.default_rng(0).normal(size=(24, units.transitions.num_pdfs))
    return SimpleNamespace(lang=lang, units=units, ids=np.array(ids, np.int32),
                           scores=scores.astype(np.float32))


def calibrated(probability, threshold=0.5, name="margin", weight=0.0):
    """A calibration that gives the same probability to all, if the weight is 0."""
    return Calibration((name,), Regression(np.zeros(1), np.ones(1), np.array([weight]),
                                           math.log(probability / (1 - probability))), threshold)


def decide(world, costs, filler, calibration=None, option=None, penalty=0.0, commands=None):
    """Decide on paths {text: cost}, each taking the frames of 'da ta'.

    `filler` is its cost, negative zero for silence, or None.
    """
    numbers = {text: tuple(world.lang.words[word] for word in text.split()) for text in costs}
    commands = commands or {text: Command(text, text) for text in costs}
    phrases = {numbers[text]: command for text, command in commands.items()}
    lattice = None
    if costs:
        lattice = make_lattice({numbers[text]: (cost, 0.0) for text, cost in costs.items()})
        for number, source in enumerate(lattice.source):
            lattice.strings[number] = np.zeros(0, np.int32) if source else world.ids
    path = None
    if filler is not None:
        silent = math.copysign(1, filler) < 0
        path = BestPath(world.ids, np.array([] if silent else [9], np.int32), abs(filler), 0.0,
                        True)
    verifier = Verifier(world.units, world.lang.silence_phones, None, calibration, option, penalty,
                        BEAM)
    return verifier.decide(phrases, world.lang, lattice, path, world.scores, np.zeros(24), 0.5)


@pytest.mark.parametrize(("costs", "filler", "reason"), [
    ({"da": 3.0, "ta": 4.0}, 6.0, LOW),  # the other command is nearer than the filler
    ({"da": 3.0, "ta": 8.0}, 6.0, FILLER),
    ({"da": 3.0, "ta": 4.0}, 2.0, FILLER),  # the filler is better than both
    ({"da": 3.0, "ta": 8.0}, -6.0, NO_SPEECH),
    ({"da": 3.0, "ta": 4.0}, -2.0, NO_SPEECH),
    ({"da": 3.0}, 30.0, FILLER),  # no other command stands against it
    ({"da": 3.0, "ta": 4.0}, None, LOW),
])
def test_reasons(world, costs, filler, reason):
    refused = decide(world, costs, filler, calibrated(0.4))
    assert (refused.reason, refused.accepted) == (reason, False)
    assert refused.command.text == "da"
    assert refused.probability == pytest.approx(0.4)
    # The probability decides alone: a filler that is better by its cost does not matter.
    assert decide(world, costs, filler, calibrated(0.6)).reason is None


def test_thresholds_of_command_option_and_calibration(world):
    costs = {"da": 3.0, "ta": 4.0}

    def accepts(own, option, stored):
        commands = {"da": Command("da", "da", own), "ta": Command("ta", "ta", 1.0)}
        found = decide(world, costs, 9.0, calibrated(0.6, stored), option, commands=commands)
        assert found.accepted == (found.reason is None)
        return found.accepted

    assert [accepts(own, 0.5, 0.5) for own in (0.7, 0.6 - 1e-9, 0.0)] == [False, True, True]
    assert accepts(0.5, 0.7, 0.7)
    assert [accepts(None, option, 0.5) for option in (0.7, 0.5, 0.0)] == [False, True, True]
    assert accepts(None, 0.5, 0.7)
    assert [accepts(None, None, stored) for stored in (0.7, 0.5)] == [False, True]
    assert accepts(None, 0.0, 1.0)  # 0 is a threshold, too


@pytest.mark.parametrize(("filler", "penalty", "reason"), [
    (4.0, 0.0, None), (2.0, 0.0, FILLER), (-2.0, 0.0, NO_SPEECH), (2.0, 1.5, None),
    (4.0, -1.5, FILLER), (None, 0.0, None)])
def test_without_calibration_the_costs_decide(world, filler, penalty, reason):
    commands = {"da": Command("da", "da", 1.0), "ta": Command("ta", "ta")}
    found = decide(world, {"da": 3.0, "ta": 3.5}, filler, None, 1.0, penalty, commands)
    assert found.reason == reason  # thresholds ask for a probability: there is none
    assert found.probability is None
    assert found.word_probabilities == []
    assert [(command.text, share) for command, share in found.alternatives] == [("ta", None)]


@pytest.mark.parametrize(("filler", "reason"), [(3.0, FILLER), (-3.0, NO_SPEECH)])
def test_no_command_within_the_beam(world, filler, reason):
    for calibration, probability in ((None, None), (calibrated(0.9), 0.0)):
        found = decide(world, {}, filler, calibration)
        assert (found.command, found.reason, found.probability, found.measures) == (
            None, reason, probability, None)
        assert (found.words, found.alternatives) == ([], [])


def test_alternatives_share_what_is_left(world):
    found = decide(world, {"da": 3.0, "ta": 4.0, "du": 4.5}, 5.0, calibrated(0.7))
    weights = np.exp([-4.0, -4.5])
    rest = weights.sum() + math.exp(-5.0)
    assert [command.text for command, _ in found.alternatives] == ["ta", "du"]
    assert [share for _, share in found.alternatives] == pytest.approx(0.3 * weights / rest)
    # Where nothing else is left, they have it all.
    alone = decide(world, {"da": 3.0, "ta": 13.0}, None, calibrated(0.7))
    assert alone.alternatives[0][1] == pytest.approx(0.3)


def test_texts_of_one_id_are_one_command(world):
    commands = {"da": Command("da", "on"), "ta": Command("ta", "on", 0.9),
                "du": Command("du", "off")}
    found = decide(world, {"da": 3.0, "ta": 3.1, "du": 6.0}, 9.0,
                   calibrated(0.5, name="margin", weight=1.0), commands=commands)
    assert found.measures[NAMES.index("margin")] == pytest.approx(3.0)
    assert found.probability == pytest.approx(1 / (1 + math.exp(-3)))
    assert [command.id for command, _ in found.alternatives] == ["off"]


def test_words_have_times_and_probabilities_of_their_own(world):
    calibration = calibrated(0.5, name="phone_ratio", weight=1.0)
    found = decide(world, {"da ta": 3.0}, 9.0, calibration)
    assert [(world.lang.word_name(word.label), word.begin, word.end) for word in found.words] == [
        ("da", 0, 12), ("ta", 12, 24)]
    senones = world.scores[:, :world.units.num_pdfs]
    pdfs = world.units.transitions.tid_pdf[world.ids]
    ratios = senones[np.arange(24), pdfs] - senones.max(axis=1)
    for probability, span in zip([found.probability, *found.word_probabilities],
                                 [slice(24), slice(12), slice(12, 24)], strict=True):
        assert probability == pytest.approx(1 / (1 + math.exp(-ratios[span].mean())), rel=1e-4)
    assert not {found.probability}.issuperset(found.word_probabilities)


def test_a_calibration_of_other_measures_is_refused(world):
    with pytest.raises(UserError, match="wants the measure 'loudness', there are filler_ratio, "):
        decide(world, {"da": 3.0}, 9.0, calibrated(0.5, name="loudness"))

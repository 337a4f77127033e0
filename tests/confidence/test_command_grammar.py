"""The grammar of a command list: what is in its two graphs, whatever lists came before."""

import logging
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from hybridasr.confidence.command_grammar import RejectOptions
from hybridasr.confidence.confusion import PhoneDistances, table_distances
from hybridasr.confidence.grammar_maker import MOST_WITH_FILLERS, GrammarMaker
from hybridasr.confidence.near import distance
from hybridasr.decode.search import SearchOptions, search
from hybridasr.errors import UserError
from hybridasr.features.frames import FeatureOptions
from hybridasr.features.pipeline import PipelineOptions
from hybridasr.gmm.update import initial_gmm
from hybridasr.graph.command_graph import command_graph
from hybridasr.graph.filler import FILLER_WORD, filler_graph, silence_graph, unit_bigram
from hybridasr.hmm.topology import read_topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.extend import with_words
from hybridasr.lexicon.langdir import prepare_lang
from hybridasr.lexicon.lexicon import build_lexicon
from hybridasr.lexicon.phones import base_phone, default_phone_set
from hybridasr.model.acoustic import AcousticModel
from hybridasr.tree.tree import allowed_tuples, monophone_tree

WORDS = ["da1", "da2", "ta1", "ta2", "sa1", "sha1", "di1", "ti1", "su1", "shu1", "fan4", "ban3",
         "open", "van", "five"]
WIDE = SearchOptions(beam=1e9, max_active=1 << 30, min_active=0, acoustic_scale=0.3)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that was never trained: a grammar does not ask for its mixtures."""
    lexicon = build_lexicon(WORDS)
    lang = prepare_lang(lexicon, default_phone_set().covering(lexicon.phones),
                        tmp_path_factory.mktemp("lang"))
    topology = read_topology(lang.topology_text)
    tree = monophone_tree(lang.sets, topology)
    flat = TransitionModel(topology, allowed_tuples(tree, topology))
    counts = 10.0 + 7.0 * (1 + (37 * flat.tid_pdf.astype(float)) % 11)
    return AcousticModel(initial_gmm(np.zeros(1), np.ones(1), tree.num_pdfs), flat.updated(counts),
                         tree, lang, FeatureOptions(), PipelineOptions())


def maker_of(model, near=0, penalty=0.0, confusions=None):
    """A maker of grammars with so many near-sounding fillers for each command."""
    return GrammarMaker(model, RejectOptions(near_fillers=near, filler_penalty=penalty),
                        confusions=confusions)


def fillers(grammar):
    """The phrases of a grammar that are no commands, as words that begin ``<filler``."""
    return {name for name in grammar.lang.words if name.startswith("<filler")}


def said(grammar, word):
    """The pronunciations of a word."""
    lang = grammar.lang
    return {tuple(base_phone(lang.phone_name(phone)) for phone in phones)
            for _, phones in lang.pronunciations[lang.words[word]]}


def test_two_graphs_by_composition(model):
    maker = maker_of(model, penalty=2.5)
    outside = ["ta1 di1", "sha1su1", "da1 ti1"]
    grammar = maker.make(["da1 ti1", ("s", "sa1", 0.3)], outside)
    assert [(c.text, c.id, c.threshold) for c in grammar.commands] == [
        ("da1 ti1", "da1 ti1", None), ("sa1", "s", 0.3)]
    assert grammar.verifier.penalty == 2.5  # which is in neither graph
    units, lang = maker.units, with_words(model.lang, ["sha1su1"])
    costs = units.transitions.scaled_costs(1.0, 0.1)

    def phrases(texts):
        return [tuple(lang.words[word] for word in text.split()) for text in texts]

    system = lang, model.transitions, model.tree
    commands = command_graph(phrases(["da1 ti1", "sa1"]), *system)
    parts = [filler_graph(model.lang, units, model.tree, unit_bigram(model.lang, units), 999,
                          costs),
             silence_graph(model.lang, units.transitions, model.tree, costs),
             command_graph(phrases(outside[:2]), *system)]  # the third is a command
    rng, winners, pdfs = np.random.default_rng(0), set(), units.transitions.tid_pdf
    for trial in range(45):
        scores = rng.normal(size=(14, units.transitions.num_pdfs)).astype(np.float32) * 5
        best = search(grammar.graph, grammar.graph_pdfs, scores, WIDE)
        alone = search(commands, pdfs[commands.ilabel], scores, WIDE)
        assert best.total_cost == pytest.approx(alone.total_cost, rel=1e-5)
        assert tuple(best.words.tolist()) in grammar.phrases
        scores[:, units.num_pdfs:] -= (0, 30, 30)[trial % 3]
        scores[:, :5] += (0, 30, -30)[trial % 3]  # of silence
        alone = [search(part, pdfs[part.ilabel], scores, WIDE) for part in parts]
        winner = min(range(3), key=lambda number: alone[number].total_cost)
        best = search(grammar.filler, grammar.filler_pdfs, scores, WIDE)
        assert best.total_cost == pytest.approx(alone[winner].total_cost, rel=1e-5)
        names = [grammar.lang.word_name(word) for word in best.words]
        assert names == {0: [FILLER_WORD], 1: []}.get(
            winner, [f"<filler:{lang.word_name(word)}>" for word in alone[2].words])
        winners.add(winner)
    assert winners == {0, 1, 2}


def test_what_a_command_says_is_no_filler(model):
    """However it is written, and with any of its readings."""
    maker = maker_of(model)
    given = ["da1ti1", " da1  ti1 ", "", "ta1", "sha1", "ta1"]
    grammar = maker.make(["da1 ti1", "sa1"], given)
    assert fillers(grammar) == {FILLER_WORD, "<filler:ta1>", "<filler:sha1>"}
    pytest.importorskip("pypinyin")
    # 重 is read zhong and chong; the command is one of them.
    lexicon = build_lexicon([*WORDS, "zhong4", "chong2"])
    lang = prepare_lang(lexicon, default_phone_set().covering(lexicon.phones),
                        model.lang.path.parent / "two")
    other = system_of(model, lang)
    assert len(said(maker_of(other).make(["重"]), "重")) == 2
    assert fillers(maker_of(other).make(["chong2"], ["重", "zhong4"])) == {
        FILLER_WORD, "<filler:zhong4>"}


def system_of(model, lang):
    topology = read_topology(lang.topology_text)
    tree = monophone_tree(lang.sets, topology)
    return replace(model, lang=lang, tree=tree,
                   transitions=TransitionModel(topology, allowed_tuples(tree, topology)))


def test_made_up_fillers_keep_away_from_every_command(model):
    distances = table_distances(sorted(build_lexicon(WORDS).phones))
    maker = maker_of(model, near=5)
    alone = maker.make(["da1di1"])
    names = fillers(alone) - {FILLER_WORD}
    assert len(names) == 5
    # Now a command that sounds like one of them but for the tone.
    (near,) = [name for name in names if name == "<filler:ta1di1>"]
    both = maker.make(["da1di1", "ta2di1"])
    assert near not in fillers(both)
    assert near in fillers(maker.make(["da1di1"]))
    for grammar in (alone, both):
        own = [sound for command in grammar.commands for sound in said(grammar, command.text)]
        for name in fillers(grammar) - {FILLER_WORD}:
            (sound,) = said(grammar, name)
            assert min(distance(sound, other, distances) for other in own) >= 2.0
    assert fillers(maker_of(model).make(["da1di1"])) == {FILLER_WORD}
    assert len(fillers(maker_of(model, near=2).make(["da1di1"], ["sa1"]))) == 4


def test_lists_before_change_nothing(model):
    """Workers see lists in another order, and programs add one command at a time."""
    lists = [["da1di1"], ["da1di1", "ta2di1"], ["open fan"], ["da1 fan"], ["ta2di1", "da1di1"]]
    maker, previous = maker_of(model, near=5), None
    for commands in lists:
        for outside in ([], ["van fan"]):
            fresh = maker_of(model, near=5).make(commands, outside)
            following = maker.make(commands, outside, previous=previous)
            for ours in (following, maker.make(commands, outside)):
                assert fillers(ours) == fillers(fresh)
                assert ours.fillers == tuple(outside)
                assert [c.text for c in ours.commands] == commands
                for name in [*fillers(ours) - {FILLER_WORD}, *" ".join(commands).split()]:
                    assert said(ours, name) == said(fresh, name), (commands, name)
                for graph in ("graph", "filler"):
                    np.testing.assert_array_equal(getattr(ours, graph).ilabel,
                                                  getattr(fresh, graph).ilabel)
            previous = following
    open_fan, da_fan = (maker.make([text], previous=previous) for text in ("open fan", "da1 fan"))
    assert said(open_fan, "fan") != said(da_fan, "fan")


def test_making_changes_nothing_that_is_shared(model):
    """Neither the maker nor the grammar before: threads have them in use."""
    maker = maker_of(model, near=5)
    first = maker.make(["da1di1"])
    before = dict(first.lang.words), dict(first.filler_lang.words), first.near_fillers
    entries, state = dict(first.near_fillers.entries), dict(vars(maker))
    second = maker.make(["da1di1", "ta2di1", "sa1"], ["shu1"], previous=first)
    assert (first.lang.words, first.filler_lang.words, first.near_fillers) == before
    assert first.near_fillers.entries == entries
    assert {name: id(value) for name, value in vars(maker).items()} == {
        name: id(value) for name, value in state.items()}
    assert first.commands[0].text == "da1di1"
    assert len(second.commands) == 3


def test_distances_of_the_model_choose_the_fillers(model):
    table = table_distances(sorted(build_lexicon(WORDS).phones))
    costs = table.substitution.copy()
    place = table.index["d"], table.index["t"]
    costs[place] = costs[place[::-1]] = 30.0
    unlike = PhoneDistances(table.phones, costs, table.deletion + 20, table.insertion + 20)
    # Confusions are asked for the distances of the model's phones.
    names = [fillers(maker_of(model, 5, confusions=SimpleNamespace(
        distances=lambda phones, costs=costs: costs)).make(["da1di1"]))
        for costs in (table, unlike)]
    assert "<filler:ta1di1>" in names[0] - names[1]


def test_long_lists_have_no_made_up_fillers(model):
    syllables = ["da1", "ta2", "sa1", "sha1", "di1", "ti1", "su1", "shu1"]
    texts = [a + b + c for a in syllables for b in syllables for c in syllables]
    maker = maker_of(model, near=1)
    logging.disable(logging.WARNING)
    try:
        assert len(fillers(maker.make(texts[:MOST_WITH_FILLERS]))) > 100
        assert fillers(maker.make(texts[:MOST_WITH_FILLERS + 1])) == {FILLER_WORD}
    finally:
        logging.disable(logging.NOTSET)


def test_commands_that_sound_alike_are_warned_of(model, caplog):
    with caplog.at_level(logging.WARNING, logger="hybridasr"):
        maker_of(model, near=1).make(["su1di1", "shu1di1", "da1", "da1 da1", "da1da1"])
    assert sorted(record.getMessage().partition(";")[0] for record in caplog.records) == [
        "commands 'da1 da1' and 'da1da1' sound the same, and either may be recognised for the "
        "other", "commands 'su1di1' and 'shu1di1' sound alike (distance 1.0)"]


def test_what_cannot_be_made(model):
    maker = maker_of(model, near=3)
    for commands, outside, line in (
            ([], [], "no command in the list"), (["da1", "da1"], [], "'da1' is there already"),
            (["ku1"], [], "command 'ku1': 'ku1' needs the phones k, which the model has never"),
            (["da1"], ["ta1 ku1"], "'ku1' needs the phones k"),
            ([("x", "da1", 2)], [], "threshold 2 is outside 0..1")):
        with pytest.raises(UserError, match=line):
            maker.make(commands, outside)
    for wrong in ({"reject_beam": 0.0}, {"threshold": 1.01}, {"threshold": float("nan")},
                  {"near_fillers": -1}, {"filler_penalty": float("inf")}):
        with pytest.raises(UserError, match="; give "):
            RejectOptions(**wrong)

"""Rescoring with another language model against whole sentences, and against decoding with it."""

import itertools
import math

import numpy as np
import pytest
from helpers_lattice import all_paths, compact, random_lattice
from test_paths import nondeterministic

from hybridasr.batch.lm_costs import GrammarCosts, read_lm_costs
from hybridasr.cli import main
from hybridasr.decode.latgen import LatticeOptions, decode_lattice
from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.graph.openfst import read_flat
from hybridasr.lattice.determinize import determinize_lattice
from hybridasr.lattice.lattice_text import read_lattices, write_lattices
from hybridasr.lattice.lm_rescore import NgramCosts, rescore_lattice
from hybridasr.lattice.paths import n_best
from hybridasr.lm.arpa import read_arpa

NAMES = {0: "<eps>", 1: "a", 2: "b", 3: "c", 4: "#0"}
MARKS = {"<s>", "</s>"}


def write_model(path, rng, order, words="abc", share=0.5):
    """Write an ARPA file of any probabilities; all n-grams begin with listed ones."""
    tables = [[("<s>",), ("</s>",), *((word,) for word in words)]]
    for _ in range(1, order):
        tables.append([(*ngram, last) for ngram in tables[-1] if ngram[-1] != "</s>"
                       for last in ("</s>", *words) if rng.random() < share])
    lines = ["\\data\\", *(f"ngram {n}={len(table)}" for n, table in enumerate(tables, 1))]
    for n, table in enumerate(tables, 1):
        lines += ["", f"\\{n}-grams:"]
        lines += [f"{-rng.uniform(0.1, 2):.4f}\t{' '.join(ngram)}"
                  + (f"\t{-rng.uniform(0, 1):.4f}" if n < order else "") for ngram in table]
    path.write_text("\n".join([*lines, "", "\\end\\"]) + "\n")
    return path


def sentence_cost(model, words):
    """The sum over words of the longest n-gram, with the whole history given."""
    said = ["<s>", *(NAMES[word] for word in words), "</s>"]
    return -math.log(10) * sum(model.log10_prob(said[n], said[:n]) for n in range(1, len(said)))


@pytest.mark.parametrize("seed", range(24))
def test_every_path_has_the_costs_of_the_new_model(tmp_path, seed):
    rng = np.random.default_rng(seed)
    orders = [int(rng.integers(1, 7)), int(rng.integers(1, 7))]
    models = [read_arpa(write_model(tmp_path / f"{n}.arpa", rng, order, share=1.2 / order))
              for n, order in enumerate(orders)]
    old, new = (NgramCosts(model, NAMES) for model in models)
    for lattice in (nondeterministic(rng), determinize_lattice(random_lattice(rng, 9, 26))):
        for factor in (1.0, 2.0):  # 2: costs of a search with --lm-scale 2
            rescored, unsayable = rescore_lattice(lattice, old, new, NAMES, factor)
            expected = sorted(
                (words, tids, acoustic, graph + factor * (sentence_cost(models[1], words)
                                                          - sentence_cost(models[0], words)))
                for words, graph, acoustic, tids in all_paths(lattice))
            rows = sorted((words, tids, acoustic, graph)
                          for words, graph, acoustic, tids in all_paths(rescored))
            assert [row[:3] for row in rows] == [row[:3] for row in expected]
            np.testing.assert_allclose([row[3] for row in rows], [row[3] for row in expected],
                                       rtol=0, atol=1e-9)
            assert unsayable == set()
            assert (rescored.source < rescored.target).all()
        # The same model twice: not a bit changes.
        same, _ = rescore_lattice(lattice, old, old, NAMES)
        assert sorted(all_paths(same)) == sorted(all_paths(lattice))


def test_histories_that_no_n_gram_goes_on_from_are_one_state(tmp_path):
    rng = np.random.default_rng(5)
    unigram = NgramCosts(read_arpa(write_model(tmp_path / "1", rng, 1)), NAMES)
    lattice = determinize_lattice(random_lattice(rng, 9, 26))
    rescored, _ = rescore_lattice(lattice, unigram, unigram, NAMES)
    assert (rescored.num_states, rescored.num_arcs) == (lattice.num_states, lattice.num_arcs)


@pytest.mark.parametrize("seed", range(6))
def test_grammars_cost_what_their_arpa_files_do(tmp_path, seed):
    pytest.importorskip("pynini")
    from hybridasr.lm.grammar import ngram_grammar

    rng = np.random.default_rng(seed)
    path = write_model(tmp_path / "lm.arpa", rng, int(rng.integers(1, 4)))
    ngram_grammar(path, {word: number for number, word in NAMES.items()}).write(
        str(tmp_path / "G.fst"))
    model, grammar = read_arpa(path), read_lm_costs(tmp_path, NAMES)
    for words in itertools.chain.from_iterable(itertools.product((1, 2, 3), repeat=n)
                                               for n in range(5)):
        state, cost = grammar.start, 0.0
        for word in words:
            state, step = grammar.step(state, word)
            cost += step
        assert cost + grammar.end(state) == pytest.approx(sentence_cost(model, words), rel=1e-5)


def graph_of(path):
    """A graph that reads a frame a word: column n - 1 for word n."""
    grammar = read_flat(path)
    words = np.where(grammar.ilabel == 4, 0, grammar.ilabel)
    return DecodingGraph.from_arcs(grammar.start, grammar.source, words, words, grammar.weight,
                                   grammar.nextstate, grammar.final)


@pytest.mark.parametrize(("old", "new"), [(1, 3), (2, 3), (3, 1)])
def test_rescoring_is_decoding_with_the_other_model(tmp_path, old, new):
    pytest.importorskip("pynini")
    from hybridasr.lm.grammar import ngram_grammar

    rng = np.random.default_rng(old)
    text = tmp_path / "text.txt"
    text.write_text("\n".join(" ".join(rng.choice(list("abc"), 4, p=(0.6, 0.3, 0.1)))
                              for _ in range(60)))
    for order in (old, new):
        assert main(["train-lm", "--order", str(order), str(text),
                     str(tmp_path / f"{order}.arpa")]) == 0
        ngram_grammar(tmp_path / f"{order}.arpa", {word: n for n, word in NAMES.items()}).write(
            str(tmp_path / f"{order}.fst"))
    options = SearchOptions(beam=1e4, acoustic_scale=0.5)
    models = [read_lm_costs(tmp_path / f"{order}.arpa", NAMES) for order in (old, new)]
    for _ in range(5):
        loglikes = rng.normal(size=(5, 3)).astype(np.float32) * 3
        paths, lattices = [], []
        for order in (old, new):
            graph = graph_of(tmp_path / f"{order}.fst")
            path, lattice = decode_lattice(graph, graph.ilabel - 1, loglikes, options,
                                           LatticeOptions(1e4))
            paths.append(path)
            lattices.append(lattice)
        rescored = n_best(rescore_lattice(lattices[0], *models, NAMES)[0], 1000, 0.5)
        decoded = n_best(lattices[1], 1000, 0.5)
        assert {one.words: one.total_cost(0.5) for one in rescored} == pytest.approx(
            {one.words: one.total_cost(0.5) for one in decoded}, rel=1e-5)
        assert rescored[0].words == tuple(paths[1].words)
        assert len(rescored) == 3 ** 5


def test_words_that_a_model_cannot_say(tmp_path):
    rng = np.random.default_rng(1)
    models = {words: NgramCosts(read_arpa(write_model(tmp_path / words, rng, 2, words)), NAMES)
              for words in ("abc", "ab")}
    lattice = compact([((1, 2), 1.0), ((1, 3), 0.5), ((3,), 0.0)])
    rescored, unsayable = rescore_lattice(lattice, models["abc"], models["ab"], NAMES)
    assert ({path[0] for path in all_paths(rescored)}, unsayable) == ({(1, 2)}, {3})
    rescored, _ = rescore_lattice(compact([((3,), 0.0)]), models["abc"], models["ab"], NAMES)
    assert rescored.num_states == 0
    with pytest.raises(UserError, match="the old language model cannot say 'c' there; give"):
        rescore_lattice(lattice, models["ab"], models["abc"], NAMES)


def test_unknown_words_have_the_costs_of_unk(tmp_path):
    path = tmp_path / "lm.arpa"
    path.write_text("\\data\\\nngram 1=4\n\n\\1-grams:\n-99 <s>\n-1 </s>\n-0.5 a\n-0.3 <UNK>\n\n"
                    "\\end\\\n")
    costs = read_lm_costs(path, NAMES)
    assert [costs.step(costs.start, word)[1] for word in (1, 3)] == pytest.approx(
        [0.5 * math.log(10), 0.3 * math.log(10)])


def test_grammars_that_are_not_deterministic():
    grammar = read_grammar([(0, 1, 1), (0, 1, 2)])
    with pytest.raises(UserError, match="G.fst: is not deterministic: state 0 has two arcs"):
        GrammarCosts(grammar, NAMES, "G.fst")
    with pytest.raises(UserError, match="G.fst: has a cycle of backoff arcs through state 0"):
        GrammarCosts(read_grammar([(0, 4, 1), (1, 0, 0)]), NAMES, "G.fst")


def read_grammar(arcs):
    from hybridasr.graph.openfst import FlatFst

    source, labels, target = np.array(arcs).T
    return FlatFst.from_arcs(0, source, labels, labels, np.zeros(len(arcs)), target, np.zeros(3))


def test_the_verb(tmp_path, capsys):
    rng = np.random.default_rng(7)
    for order in (1, 2):
        write_model(tmp_path / f"{order}.arpa", rng, order)
    write_model(tmp_path / "ab.arpa", rng, 2, "ab")
    (tmp_path / "words.txt").write_text("".join(f"{word} {n}\n" for n, word in NAMES.items()))
    write_lattices(tmp_path / "lat", [("u1", compact([((1, 2), 1.0), ((3,), 0.5)])),
                                      ("u2", compact([((3,), 2.0)]))])

    def rescore(old, new, out="out"):
        code = main(["lattice-lmrescore", "--words", str(tmp_path / "words.txt"),
                     str(tmp_path / "lat"), *(str(tmp_path / name) for name in (old, new, out))])
        return code, capsys.readouterr().err

    assert rescore("1.arpa", "1.arpa") == (0, "")
    before, after = (dict(read_lattices(tmp_path / name)) for name in ("lat", "out"))
    assert {name: sorted(all_paths(one)) for name, one in after.items()} == {
        name: sorted(all_paths(one)) for name, one in before.items()}
    assert rescore("1.arpa", "2.arpa", "new/lat.1.gz") == (0, "")
    assert set(dict(read_lattices(tmp_path / "new/lat.1.gz"))) == {"u1", "u2"}
    code, line = rescore("1.arpa", "ab.arpa")
    assert code == 0
    assert "ab.arpa cannot say c: paths with them are left out; nothing is left of u2" in line
    code, line = rescore("ab.arpa", "1.arpa")
    assert code == 1
    assert "ab.arpa: lattice of 'u1': the old language model cannot say 'c' there" in line
    (tmp_path / "new" / "text").write_text("u1 a\n")
    code, line = rescore("1.arpa", "2.arpa", "new/lat.1.gz")
    assert code == 1
    assert "new: is a decode directory already; give a new one" in line

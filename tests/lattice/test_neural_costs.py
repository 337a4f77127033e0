"""Neural costs of lattices against every path by itself, and the check of old models."""

import json
import math
from collections import Counter

import numpy as np
import pytest
from helpers_lattice import all_paths, compact, random_lattice
from test_lm_rescore import NAMES, sentence_cost, write_model
from test_paths import nondeterministic

from hybridasr.cli import main
from hybridasr.lattice.determinize import determinize_lattice
from hybridasr.lattice.lattice_text import read_lattices, write_lattices
from hybridasr.lattice.lm_check import LmCheck
from hybridasr.lattice.lm_rescore import NgramCosts, rescore_lattice
from hybridasr.lattice.neural_costs import MixedCosts, NeuralCosts
from hybridasr.lm.arpa import read_arpa
from hybridasr.nnlm.neural_lm import NeuralLm, NnlmOptions
from hybridasr.nnlm.nnlm_directory import save_neural_lm
from hybridasr.nnlm.word_classes import choose_words

UNLIMITED = 100


def neural_model(seed, cell="lstm", words="ab"):
    """A model of any parameters; it lacks the word c."""
    listed = choose_words(Counter({word: 9 - n for n, word in enumerate(words)}), 5, 2)
    model = NeuralLm(listed, NnlmOptions(cell, 4, 2, True, 2, 0.0), seed)
    rng = np.random.default_rng(seed)
    for array in model.parameters.values():
        array += rng.standard_normal(array.shape).astype(np.float32)
    return model


def word_costs(model, words):
    """The costs of the words of a sentence and of its end, one after the other."""
    state, costs = model.start(), []
    for word in [*(NAMES[word] for word in words), "</s>"]:
        number = np.array([model.ids.get(word, model.unknown)])
        costs.append(-float(model.log_probs(state, np.array([0]), number)[0]))
        state = model.advance(state, number)
    return costs


def mixed_cost(ngram, model, words, weight):
    said = ["<s>", *(NAMES[word] for word in words), "</s>"]
    return sum(-math.log(weight * math.exp(-cost)
                         + (1 - weight) * 10 ** ngram.log10_prob(said[n], said[:n]))
               for n, cost in enumerate(word_costs(model, words), 1))


@pytest.mark.parametrize("seed", range(6))
def test_every_path_has_the_costs_of_the_mixture(tmp_path, seed):
    rng = np.random.default_rng(seed)
    ngram = read_arpa(write_model(tmp_path / "lm.arpa", rng, int(rng.integers(1, 4))))
    model, old = neural_model(seed, ("lstm", "gru")[seed % 2]), NgramCosts(ngram, NAMES)
    weight = (0.3, 0.7, 1.0)[seed % 3]
    for lattice in (nondeterministic(rng), determinize_lattice(random_lattice(rng, 9, 26))):
        for factor in (1.0, 2.0):  # 2: costs of a search with --lm-scale 2
            new = MixedCosts(old, NeuralCosts(model, lattice, NAMES, UNLIMITED), weight)
            rescored, unsayable = rescore_lattice(lattice, old, new, NAMES, factor)
            expected = sorted(
                (words, tids, acoustic, graph + factor * (mixed_cost(ngram, model, words, weight)
                                                          - sentence_cost(ngram, words)))
                for words, graph, acoustic, tids in all_paths(lattice))
            rows = sorted((words, tids, acoustic, graph)
                          for words, graph, acoustic, tids in all_paths(rescored))
            assert [row[:3] for row in rows] == [row[:3] for row in expected]
            np.testing.assert_allclose([row[3] for row in rows], [row[3] for row in expected],
                                       rtol=0, atol=1e-4)
            assert unsayable == set()


def test_weight_0_changes_nothing(tmp_path):
    rng = np.random.default_rng(3)
    old = NgramCosts(read_arpa(write_model(tmp_path / "lm.arpa", rng, 3)), NAMES)
    lattice = determinize_lattice(random_lattice(rng, 9, 26))
    new = MixedCosts(old, NeuralCosts(neural_model(1), lattice, NAMES, UNLIMITED), 0.0)
    rescored, _ = rescore_lattice(lattice, old, new, NAMES)
    assert sorted(all_paths(rescored)) == sorted(all_paths(lattice))


def test_histories_with_the_same_last_words_are_one():
    # a a b c and b a b c: the same last three words after three, the same two after two.
    lattice = compact([((1, 1, 2, 3), 0.0), ((2, 1, 2, 3), 0.0)])
    model = neural_model(5)
    for order, merged in ((3, True), (4, False), (5, False)):
        costs = NeuralCosts(model, lattice, NAMES, order)
        ways = []
        for first in (1, 2):
            state, own = costs.start, []
            for word in (first, 1, 2, 3):
                state, cost = costs.step(state, word)
                own.append(cost)
            ways.append([*own, costs.end(state)])
        assert (ways[0][3:] == ways[1][3:]) == merged
        # The first way has the network's own states in any case.
        np.testing.assert_allclose(ways[0], word_costs(model, (1, 1, 2, 3)), rtol=1e-4)


def test_costs_of_an_empty_lattice():
    NeuralCosts(neural_model(1), compact([]), NAMES, 3)


def rescored_lattices(rng, old, count=40, noise=1.0):
    """Lattices of which each path costs what a model says, and a little for transitions."""
    lattices = []
    for _ in range(count):
        paths = {tuple(rng.integers(1, 4, 4).tolist()) for _ in range(6)}
        lattices.append(compact([(words, sentence_cost(old, words) + rng.uniform(0, noise))
                                 for words in sorted(paths)]))
    return lattices


@pytest.mark.parametrize("seed", range(4))
def test_the_old_model_is_told_from_another(tmp_path, seed):
    rng = np.random.default_rng(seed)
    old, other = (read_arpa(write_model(tmp_path / f"{n}.arpa", rng, 3)) for n in range(2))
    lattices = rescored_lattices(rng, old)
    for model, doubtful in ((old, False), (other, True)):
        check = LmCheck(NgramCosts(model, NAMES), 1.0)
        for lattice in lattices:
            check.add(lattice)
        assert check.doubtful == doubtful
    # A model of which all paths cost the same tells nothing, nor do too few lattices.
    flat = LmCheck(NgramCosts(old, NAMES), 1.0)
    for _ in lattices:
        flat.add(compact([((1, 2), rng.uniform(40, 45)) for _ in range(3)]))
    assert not flat.doubtful
    check = LmCheck(NgramCosts(other, NAMES), 1.0)
    for lattice in lattices[:3]:
        check.add(lattice)
    assert not check.doubtful


@pytest.fixture
def place(tmp_path):
    rng = np.random.default_rng(7)
    for name in ("old", "other"):
        write_model(tmp_path / f"{name}.arpa", rng, 3)
    save_neural_lm(tmp_path / "nnlm", neural_model(2, words="abc"), {})
    (tmp_path / "words.txt").write_text("".join(f"{word} {n}\n" for n, word in NAMES.items()))
    lattices = rescored_lattices(rng, read_arpa(tmp_path / "old.arpa"))
    write_lattices(tmp_path / "lat", [(f"u{n}", one) for n, one in enumerate(lattices)])
    (tmp_path / "text.txt").write_text("a b\nb a a\nc\n")
    return tmp_path


def run(place, capsys, *words):
    code = main([str(place / word[1:]) if word.startswith("@") else word for word in words])
    return code, capsys.readouterr().err


def test_the_verb(place, capsys):
    words = ("--words", "@words.txt")
    verb = "lattice-lmrescore-nnlm"
    assert run(place, capsys, verb, *words, "--weight", "0", "@lat", "@old.arpa", "@nnlm",
               "@same") == (0, "")
    costs = [{name: sorted(all_paths(one)) for name, one in read_lattices(place / file)}
             for file in ("lat", "same")]
    assert costs[0] == costs[1]
    code, line = run(place, capsys, verb, *words, "--held-out", "@text.txt", "--beam", "3",
                     "--max-ngram-order", "3", "@lat", "@old.arpa", "@nnlm", "@new/lat.1.gz")
    assert code == 0
    assert "text.txt" in line
    assert len(dict(read_lattices(place / "new/lat.1.gz"))) == 40
    for last in ("@nnlm", "@old.arpa"):
        code, line = run(place, capsys, verb if last == "@nnlm" else "lattice-lmrescore", *words,
                         "@lat", "@other.arpa", last, "@out")
        assert code == 0
        assert "other.arpa: the graph costs of the lattices are not those of this model" in line
        assert line.count("\n") == 1


@pytest.mark.parametrize(("words", "message"), [
    (("--weight", "2", "@lat", "@old.arpa", "@nnlm"), "--weight 2; give a number from 0 to 1"),
    (("--max-ngram-order", "1", "@lat", "@old.arpa", "@nnlm"), "--max-ngram-order 1; give 2 or"),
    (("--held-out", "@text.txt", "@lat", "@G.fst", "@nnlm"), "G.fst: is a grammar, which"),
    (("--beam", "-1", "@lat", "@old.arpa", "@nnlm"), "beam is -1.0; give a number from 0"),
    (("@lat", "@old.arpa", "@old.arpa"), "no nnlm.json there; give a directory that train-nnlm"),
    (("@none", "@old.arpa", "@nnlm"), "none: no such file"),
])
def test_what_the_user_can_mend_is_one_line(place, capsys, words, message):
    code, line = run(place, capsys, "lattice-lmrescore-nnlm", "--words", "@words.txt", *words,
                     "@out")
    assert code == 1
    assert message in line
    assert line.count("\n") == 1
    assert not (place / "out").exists()


def test_perplexity_of_a_neural_model(place, capsys):
    def perplexity(*words):
        assert main(["perplexity", *(str(place / word[1:]) if word.startswith("@") else word
                                     for word in words)]) == 0
        return json.loads(capsys.readouterr().out)

    neural = perplexity("@nnlm", "@text.txt")
    alone = perplexity("@old.arpa", "@text.txt")
    mixed = perplexity("--ngram", "@old.arpa", "--weight", "0", "@nnlm", "@text.txt")
    assert mixed.pop("weight") == 0
    assert mixed == pytest.approx(alone, rel=1e-5)
    best = perplexity("--ngram", "@old.arpa", "--held-out", "@text.txt", "@nnlm", "@text.txt")
    assert best["perplexity"] <= min(neural["perplexity"], alone["perplexity"]) + 1e-3

"""Pruning, interpolation, perplexity and binary files of language models, against definitions."""

import itertools
import math
import struct

import numpy as np
import pytest

from hybridasr.errors import DamagedFile, UserError
from hybridasr.lm.arpa import write_arpa
from hybridasr.lm.binary_lm import MAGIC, read_binary_lm, write_binary_lm
from hybridasr.lm.estimate import LmOptions, estimate_ngram
from hybridasr.lm.interpolate import estimate_weights, interpolate_ngrams
from hybridasr.lm.model_file import read_ngram, write_ngram
from hybridasr.lm.ngram import BEGIN, END
from hybridasr.lm.perplexity import TextScore, score_tokens
from hybridasr.lm.prune_ngram import prune_ngram
from hybridasr.lm.token_store import WordIds, sentence_tokens

METHODS = ("kneser-ney", "witten-bell", "katz")


def markov_text(seed, words="abcde", size=200):
    rng = np.random.default_rng(seed)
    follow = rng.dirichlet(np.full(len(words), 0.5), len(words))
    text = []
    for _ in range(size):
        state, sentence = int(rng.integers(len(words))), []
        for _ in range(int(rng.integers(0, 8))):
            sentence.append(words[state])
            state = int(rng.choice(len(words), p=follow[state]))
        text.append(sentence)
    return text


def histories(words, longest):
    for length in range(longest + 1):
        yield from itertools.product((BEGIN, *words), repeat=length)


def assert_sums_to_one(model, words, longest=3):
    for history in histories(words, longest):
        mass = sum(10 ** model.log10_prob(word, history) for word in model.vocabulary)
        assert mass == pytest.approx(1.0, abs=2e-6), history


# Pruning

def entropy_change(model, ngram):
    """Stolcke's relative entropy by its definition: sum over all words of p log(p / p')."""
    history, lower = ngram[:-1], ngram[1:-1]
    seen = {words for words, _, _ in model.entries(len(ngram)) if words[:-1] == history}
    left = seen - {ngram}
    p = {word: 10 ** model.log10_prob(word, history) for word in model.vocabulary}
    below = {word: 10 ** model.log10_prob(word, lower) for word in model.vocabulary}
    weight = ((1 - sum(p[words[-1]] for words in left))
              / (1 - sum(below[words[-1]] for words in left)))
    pruned = {word: p[word] if (*history, word) in left else weight * below[word] for word in p}
    likely = 1.0
    for place, word in enumerate(history):
        # A text begins as often as it ends.
        likely *= 10 ** model.log10_prob(END if word == BEGIN else word, history[:place])
    return likely * sum(p[word] * math.log(p[word] / pruned[word]) for word in p)


@pytest.mark.parametrize("smoothing", METHODS)
def test_pruning_is_by_relative_entropy(smoothing):
    model = estimate_ngram(markov_text(0), 3, smoothing)
    trigrams = [words for words, _, _ in model.entries(3)]
    costs = {words: math.expm1(entropy_change(model, words)) for words in trigrams}
    threshold = float(np.median(list(costs.values())))
    pruned = prune_ngram(model, threshold)
    kept = {words for words, _, _ in pruned.entries(3)}
    near = 2e-7  # the model's own float32
    assert {words for words in trigrams if costs[words] > threshold + near} <= kept
    assert kept <= {words for words in trigrams if costs[words] > threshold - near}
    assert 0 < len(kept) < len(trigrams)


@pytest.mark.parametrize("threshold", [0, 1e-6, 1e-4, 1e-3, 1])
@pytest.mark.parametrize("smoothing", METHODS)
def test_pruned_models_sum_to_one_and_keep_histories(smoothing, threshold):
    model = estimate_ngram(markov_text(1), options=LmOptions(order=4, smoothing=smoothing,
                                                             unknown=True))
    pruned = prune_ngram(model, threshold)
    assert_sums_to_one(pruned, "abez")
    for order in range(2, 5):
        shorter = {words for words, _, _ in pruned.entries(order - 1)}
        assert {words[:-1] for words, _, _ in pruned.entries(order)} <= shorter
    if threshold == 1:
        assert pruned.num_ngrams == (8, 0, 0, 0)


def test_more_is_pruned_with_a_higher_threshold_and_costs_more():
    text = markov_text(2, size=400)
    model = estimate_ngram(text, 3, "witten-bell")
    sizes, scores = zip(*((sum(pruned.num_ngrams), pruned.perplexity(text)) for pruned in
                          (prune_ngram(model, t) for t in (0, 1e-5, 1e-4, 1e-3, 1e-2))),
                        strict=True)
    assert sorted(sizes, reverse=True) == list(sizes)
    assert sizes[-1] < sizes[0]
    assert sorted(scores) == list(scores)
    for threshold in (-1, math.nan, math.inf):
        with pytest.raises(UserError, match="give a number of 0 or more"):
            prune_ngram(model, threshold)


# Interpolation

def test_listed_ngrams_have_the_mixed_probability_and_the_rest_sums_to_one():
    one = estimate_ngram(markov_text(3, "abcd"), 3, "kneser-ney")
    two = estimate_ngram(markov_text(4, "cdef"), 2, "katz")
    mixed = interpolate_ngrams([one, two], [3, 1])
    assert mixed.order == 3
    assert mixed.vocabulary == sorted(set(one.vocabulary) | set(two.vocabulary))
    assert {words for words, _, _ in mixed.entries(2)} == {
        words for model in (one, two) for words, _, _ in model.entries(2)}
    for order in (1, 2, 3):
        for words, log10_prob, _ in mixed.entries(order):
            if words == (BEGIN,):
                continue
            expected = sum(share * 10 ** model.log10_prob(words[-1], words[:-1])
                           for model, share in ((one, 0.75), (two, 0.25)))
            # Where every word is listed, rounding may scale a history a little.
            assert 10 ** log10_prob == pytest.approx(expected, rel=1e-5)
    assert_sums_to_one(mixed, "acez", 2)


def test_a_model_mixed_with_itself_is_itself():
    model = estimate_ngram(markov_text(5), 3)
    mixed = interpolate_ngrams([model, model], [0.5, 0.5])
    for history in histories("abe", 2):
        for word in model.vocabulary:
            assert mixed.log10_prob(word, history) == pytest.approx(
                model.log10_prob(word, history), abs=1e-4)


def test_weights_give_the_held_out_text_the_highest_probability():
    optimize = pytest.importorskip("scipy.optimize")
    models = [estimate_ngram(markov_text(seed), 2, "witten-bell") for seed in (6, 7)]
    held_out = markov_text(6, size=260)[200:] + markov_text(7, size=220)[200:]
    ids = WordIds()
    blocks = list(sentence_tokens(held_out, ids))
    weights, perplexity = estimate_weights(models, blocks, ids)

    def cost(share):
        total, count = 0.0, 0
        for sentence in held_out:
            padded = (BEGIN, *sentence, END)
            for end in range(1, len(padded)):
                total += math.log(share * 10 ** models[0].log10_prob(padded[end], padded[:end])
                                  + (1 - share) * 10 ** models[1].log10_prob(padded[end],
                                                                             padded[:end]))
                count += 1
        return -total / count

    best = optimize.minimize_scalar(cost, bounds=(0, 1), method="bounded",
                                    options={"xatol": 1e-6})
    assert weights[0] == pytest.approx(best.x, abs=1e-3)
    assert perplexity == pytest.approx(math.exp(best.fun), rel=1e-6)


def test_weights_that_do_not_fit_are_refused():
    model = estimate_ngram([["a"]], 2)
    for weights in ([1], [1, -1], [0, 0], [1, math.nan]):
        with pytest.raises(UserError, match="for 2 models; give one each"):
            interpolate_ngrams([model, model], weights)
    ids = WordIds()
    with pytest.raises(UserError, match="no word that a model knows"):
        estimate_weights([model], [], ids)


# Perplexity

@pytest.mark.parametrize("unknown", [False, True])
def test_unknown_words_are_counted_apart(unknown):
    model = estimate_ngram(markov_text(8), options=LmOptions(order=3, unknown=unknown))
    text = [["a", "z", "b"], [], ["z"], ["c", "d"]]
    ids = WordIds()
    scores = list(score_tokens(model, sentence_tokens(text, ids), ids))
    assert [(score.words, score.oovs) for score in scores] == [(3, 1), (0, 0), (1, 1), (2, 0)]
    for sentence, score in zip(text, scores, strict=True):
        padded = (BEGIN, *sentence, END)
        logs = [model.log10_prob(padded[end], padded[:end]) for end in range(1, len(padded))]
        known = [log for log, word in zip(logs, padded[1:], strict=True) if word != "z"]
        assert score.known_log10_prob == pytest.approx(sum(known), abs=1e-5)
        assert score.known_perplexity == pytest.approx(10 ** (-sum(known) / len(known)), rel=1e-5)
        assert score.log10_prob == pytest.approx(sum(logs), abs=1e-5)
    total = sum(scores, TextScore())
    assert (total.words, total.oovs) == (6, 2)
    assert (total.row()["perplexity"] is None) == (not unknown)
    assert total.row()["perplexity_without_oovs"] is not None


def test_unknown_words_are_scored_as_kenlm_does_it(tmp_path):
    kenlm = pytest.importorskip("kenlm")
    model = estimate_ngram(markov_text(9), options=LmOptions(order=3, unknown=True, min_count=150))
    assert 3 < len(model.words) < 8
    write_arpa(tmp_path / "lm", model)
    theirs = kenlm.Model(str(tmp_path / "lm"))
    text = [*markov_text(9)[:20], ["z", "z", "a"]]
    ids = WordIds()
    for sentence, score in zip(text, score_tokens(model, sentence_tokens(text, ids), ids),
                               strict=True):
        assert score.log10_prob == pytest.approx(theirs.score(" ".join(sentence)), abs=2e-5)
        full = [(log, oov) for log, _, oov in theirs.full_scores(" ".join(sentence))]
        assert score.oovs == sum(oov for _, oov in full)
        assert score.known_log10_prob == pytest.approx(
            sum(log for log, oov in full if not oov), abs=2e-5)


# Binary files

@pytest.mark.parametrize("order", [1, 2, 4])
def test_binary_round_trip_is_exact_and_mapped(tmp_path, order):
    model = estimate_ngram([list("打开空调"), ["café"], []], order)
    write_ngram(tmp_path / "lm.bin", model)
    again = read_ngram(tmp_path / "lm.bin")
    assert again == model == read_binary_lm(tmp_path / "lm.bin", check=True)
    assert isinstance(again.log10_probs[0], np.memmap)
    assert not again.log10_probs[0].flags.writeable
    write_ngram(tmp_path / "again.bin", again)
    assert (tmp_path / "again.bin").read_bytes() == (tmp_path / "lm.bin").read_bytes()
    write_ngram(tmp_path / "lm.gz", again)
    assert read_ngram(tmp_path / "lm.gz").words == model.words


def test_an_empty_order_can_be_written(tmp_path):
    model = prune_ngram(estimate_ngram([["a", "b"]], 3), 1.0)
    for name in ("lm.bin", "lm.arpa"):
        write_ngram(tmp_path / name, model)
        assert read_ngram(tmp_path / name).num_ngrams == model.num_ngrams


@pytest.mark.parametrize(("change", "message"), [
    (lambda data: data[:-64], "has [0-9]+ bytes instead of"),
    (lambda data: data[:30], "has a damaged header"),
    (lambda data: data[:12], "is no binary language model"),
    (lambda data: data[:24] + b"x" + data[25:], "has a damaged header"),
    (lambda data: data[:-100] + bytes([data[-100] ^ 255]) + data[-99:], "has other contents"),
])
def test_damaged_binary_files_are_refused(tmp_path, change, message):
    write_binary_lm(tmp_path / "lm", estimate_ngram(markov_text(1), 3))
    data = (tmp_path / "lm").read_bytes()
    (tmp_path / "lm").write_bytes(change(data))
    with pytest.raises(DamagedFile, match=message):
        read_binary_lm(tmp_path / "lm")


def test_a_newer_binary_format_is_refused(tmp_path):
    write_binary_lm(tmp_path / "lm", estimate_ngram([["a"]], 2))
    data = (tmp_path / "lm").read_bytes()
    (tmp_path / "lm").write_bytes(MAGIC + struct.pack("<I", 9) + data[12:])
    with pytest.raises(UserError, match="has format 9 of binary language models"):
        read_ngram(tmp_path / "lm")
    with pytest.raises(UserError, match="no such file"):
        read_ngram(tmp_path / "none")

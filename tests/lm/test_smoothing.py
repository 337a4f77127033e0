"""Smoothing against slow twins: the papers' formulas with dictionaries, over random texts."""

import itertools
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridasr.errors import UserError
from hybridasr.lm.estimate import LmOptions, estimate_ngram
from hybridasr.lm.ngram import BEGIN, END
from hybridasr.lm.smoothing import modified_discounts, turing_factors

METHODS = ("kneser-ney", "witten-bell", "katz")


def random_text(seed, size=120, words="abcdef"):
    rng = np.random.default_rng(seed)
    return [[words[min(int(x), len(words) - 1)] for x in rng.exponential(1.5, rng.integers(0, 9))]
            for _ in range(size)]


def raw_counts(text, order):
    counts = Counter()
    for sentence in text:
        padded = (BEGIN, *sentence, END)
        for length in range(1, order + 1):
            counts.update(padded[i:i + length] for i in range(len(padded) - length + 1))
    del counts[(BEGIN,)]
    return counts


class KneserNey:
    """Chen and Goodman 1998, equations 26 and 27, word for word."""

    def __init__(self, text, order):
        raw = raw_counts(text, order)
        before = defaultdict(set)
        for ngram in raw:
            if len(ngram) > 1:
                before[ngram[1:]].add(ngram[0])
        self.counts = {ngram: count if len(ngram) == order or ngram[0] == BEGIN
                       else len(before[ngram]) for ngram, count in raw.items()}
        self.vocabulary = sorted({word for (word,) in (g for g in raw if len(g) == 1)})
        self.discounts = [self.estimate([c for g, c in self.counts.items() if len(g) == length])
                          for length in range(1, order + 1)]
        self.followers = defaultdict(list)
        for ngram, count in self.counts.items():
            self.followers[ngram[:-1]].append(count)

    @staticmethod
    def estimate(values):
        t1, t2, t3, t4 = (sum(value == k for value in values) for k in (1, 2, 3, 4))
        if t1 and t2 and t3 and t4:
            y = t1 / (t1 + 2 * t2)
            discounts = (1 - 2 * y * t2 / t1, 2 - 3 * y * t3 / t2, 3 - 4 * y * t4 / t3)
            if all(0 < d <= k for k, d in zip((1, 2, 3), discounts, strict=True)):
                return discounts
        # What the module does where the text is too small.
        return (t1 / (t1 + 2 * t2),) * 3 if t1 and t2 else (0.5, 1.0, 1.5)

    def prob(self, word, history):
        counts = self.followers.get(history)
        if history and not counts:
            return self.prob(word, history[1:])
        d = self.discounts[len(history)]
        count = self.counts.get((*history, word), 0)
        discount = 0 if count == 0 else d[min(count, 3) - 1]
        gamma = sum(d[min(c, 3) - 1] for c in counts) / sum(counts)
        lower = self.prob(word, history[1:]) if history else 1 / len(self.vocabulary)
        return (count - discount) / sum(counts) + gamma * lower


class WittenBell(KneserNey):
    """Witten and Bell 1991, interpolated."""

    def __init__(self, text, order):
        super().__init__(text, order)
        self.counts = raw_counts(text, order)
        self.followers = defaultdict(list)
        for ngram, count in self.counts.items():
            self.followers[ngram[:-1]].append(count)

    def prob(self, word, history):
        counts = self.followers.get(history)
        if history and not counts:
            return self.prob(word, history[1:])
        lower = self.prob(word, history[1:]) if history else 1 / len(self.vocabulary)
        return ((self.counts.get((*history, word), 0) + len(counts) * lower)
                / (sum(counts) + len(counts)))


class Katz(WittenBell):
    """Katz 1987 with k = 5, for texts whose counts of counts allow it."""

    def estimate(self, values):
        n = [sum(value == k for value in values) for k in range(8)]
        common = 6 * n[6] / n[1]
        return [1.0, *(((r + 1) * n[r + 1] / (r * n[r]) - common) / (1 - common)
                       for r in range(1, 6))]

    def __init__(self, text, order):
        super().__init__(text, order)
        self.discounts = [self.estimate([c for g, c in self.counts.items() if len(g) == length])
                          for length in range(1, order + 1)]

    def prob(self, word, history):
        counts = self.followers.get(history)
        if history and not counts:
            return self.prob(word, history[1:])
        if (*history, word) in self.counts:
            return self.seen(word, history)
        seen = [w for w in self.vocabulary if (*history, w) in self.counts]
        left = 1 - sum(self.seen(w, history) for w in seen)
        return (left * self.prob(word, history[1:])
                / (1 - sum(self.prob(w, history[1:]) for w in seen)))

    def seen(self, word, history):
        count = self.counts[(*history, word)]
        factors = self.discounts[len(history)]
        factor = factors[count] if count <= 5 else 1.0
        share = factor * count / sum(self.followers[history])
        if not history:  # all words are seen: the rest goes to all alike
            left = 1 - sum((factors[c] if c <= 5 else 1.0) * c for c in
                           self.followers[()]) / sum(self.followers[()])
            share += left / len(self.vocabulary)
        return share


def histories(vocabulary, longest):
    for length in range(longest + 1):
        yield from itertools.product((BEGIN, *vocabulary), repeat=length)


def compare(model, twin, longest):
    for history in histories("abz", longest):
        for word in twin.vocabulary:
            expected = twin.prob(word, tuple(history)[-(model.order - 1):] if model.order > 1
                                 else ())
            assert 10 ** model.log10_prob(word, history) == pytest.approx(expected, rel=1e-5), (
                word, history)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_modified_kneser_ney_is_chen_and_goodmans(order, seed):
    text = random_text(seed)
    compare(estimate_ngram(text, order, "kneser-ney"), KneserNey(text, order), min(order, 3))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abc"), max_size=6), min_size=1, max_size=12),
       st.integers(1, 3))
def test_small_texts_take_the_discounts_that_they_allow(text, order):
    compare(estimate_ngram(text, order, "kneser-ney"), KneserNey(text, order), 2)
    compare(estimate_ngram(text, order, "witten-bell"), WittenBell(text, order), 2)


def test_a_text_with_all_counts_of_counts_takes_three_discounts(caplog):
    rng = np.random.default_rng(3)
    words = [f"w{i}" for i in range(400)]
    text = [[words[min(int(x), 399)] for x in rng.pareto(0.8, rng.integers(1, 12)) * 3]
            for _ in range(1500)]
    model, twin = estimate_ngram(text, 3, "kneser-ney"), KneserNey(text, 3)
    assert "do not allow" not in caplog.text
    assert all(len(set(discounts)) == 3 for discounts in twin.discounts)
    for sentence in text[:40]:
        padded = (BEGIN, *sentence, END)
        for end in range(1, len(padded)):
            history = padded[max(0, end - 2):end]
            assert 10 ** model.log10_prob(padded[end], history) == pytest.approx(
                twin.prob(padded[end], history), rel=1e-5)
    # And auto chooses it.
    assert estimate_ngram(text, 3) == model


def test_katz_is_good_turing_below_the_limit(caplog):
    rng = np.random.default_rng(1)
    words = [f"w{i}" for i in range(1000)]
    text = [[words[min(int(x), 999)] for x in rng.pareto(0.7, rng.integers(1, 12)) * 4]
            for _ in range(2500)]
    model, twin = estimate_ngram(text, 2, "katz"), Katz(text, 2)
    assert "allow no discount" not in caplog.text
    for history in ((), ("w1",), ("w0",), (BEGIN,), ("w40",)):
        for word in twin.vocabulary[::23]:
            assert 10 ** model.log10_prob(word, history) == pytest.approx(
                twin.prob(word, history), rel=1e-5), (word, history)


@pytest.mark.parametrize("cutoffs", ["", "0,0,1", "0,1,2,3"])
@pytest.mark.parametrize("smoothing", METHODS)
@pytest.mark.parametrize("unknown", [False, True])
def test_every_history_sums_to_one(smoothing, cutoffs, unknown):
    options = LmOptions(order=4, smoothing=smoothing, cutoffs=cutoffs, unknown=unknown,
                        min_count=5)
    model = estimate_ngram(random_text(5), options=options)
    for history in histories("abcz", 3):
        mass = sum(10 ** model.log10_prob(word, history) for word in model.vocabulary)
        assert mass == pytest.approx(1.0, abs=2e-6)


@pytest.mark.parametrize("smoothing", METHODS)
def test_listed_words_that_the_text_lacks_have_a_probability(smoothing):
    model = estimate_ngram(random_text(1), 2, smoothing, vocabulary=["a", "b", "new"])
    assert model.vocabulary == [END, "a", "b", "new"]
    assert 0 < 10 ** model.log10_prob("new", ["a"]) < 10 ** model.log10_prob("a", ["a"])
    for history in histories("ab", 1):
        assert sum(10 ** model.log10_prob(word, history)
                   for word in model.vocabulary) == pytest.approx(1.0, abs=2e-6)


def test_cutoffs_leave_rare_ngrams_out_and_keep_the_others():
    text = random_text(2)
    counts = raw_counts(text, 3)
    whole = estimate_ngram(text, 3, "kneser-ney")
    cut = estimate_ngram(text, options=LmOptions(order=3, smoothing="kneser-ney",
                                                 cutoffs="0,1,2"))
    for order, cutoff in ((2, 1), (3, 2)):
        kept = {words: prob for words, prob, _ in cut.entries(order)}
        assert set(kept) == {g for g, c in counts.items() if len(g) == order and c > cutoff}
        # The share of a kept n-gram is as before, and what it gets from below is more.
        for words, prob, _ in whole.entries(order):
            if words in kept:
                assert kept[words] >= prob - 1e-6


def test_auto_takes_witten_bell_for_a_tiny_text():
    text = [["a", "b"], ["a"]]
    assert estimate_ngram(text, 2) == estimate_ngram(text, 2, "witten-bell")


def test_discounts_and_factors_that_cannot_be(caplog):
    assert modified_discounts(np.array([1, 1, 2, 3])) is None
    assert modified_discounts(np.array([1] * 2 + [2] * 9 + [3] * 90 + [4])) is None  # D2 < 0
    assert turing_factors(np.array([3, 3, 4])) is None
    # Only singletons and pairs: a limit of 1.
    times = np.array([1] * 10 + [2] * 2)
    assert turing_factors(times) is None or turing_factors(times)[-1] == 1.0
    estimate_ngram([["a", "a"]], 2, "kneser-ney")
    assert "the counts of counts of the 2-grams do not allow" in caplog.text


@pytest.mark.parametrize(("options", "message"), [
    ({"cutoffs": "1,1"}, "begin with 0 .for unigrams give --min-count"),
    ({"cutoffs": "0,2,1"}, "no number be smaller"),
    ({"cutoffs": "0,x"}, "give whole numbers"),
    ({"cutoffs": "0,0,0,0"}, "has 4 numbers, the order is 3"),
    ({"min_count": 0}, "--min-count 0; give 1 or more"),
    ({"memory": 0}, "--memory 0; give 1"),
])
def test_options_are_checked(options, message):
    with pytest.raises(UserError, match=message):
        LmOptions(**options)
    with pytest.raises(UserError, match="smoothing 'ney' is unknown"):
        estimate_ngram([["a"]], 2, "ney")
    with pytest.raises(UserError, match="no word of the text is left"):
        estimate_ngram([["a"]], options=LmOptions(min_count=2))


def test_kneser_ney_is_better_on_held_out_text():
    root = Path(__file__).resolve().parents[2]
    lines = [line.split() for name in ("README.md", "docs/commands.md", "docs/live.md")
             for line in (root / name).read_text(encoding="utf-8").splitlines() if line.split()]
    words = sorted({word for line in lines for word in line})
    kneser_ney, witten_bell = (
        estimate_ngram([line for number, line in enumerate(lines) if number % 10], 3, method,
                       vocabulary=words).perplexity(lines[::10])
        for method in ("kneser-ney", "witten-bell"))
    assert kneser_ney < 0.9 * witten_bell

"""N-gram models: hand-computed values, lookups of rows and texts against single words."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridasr.errors import UserError
from hybridasr.lm.estimate import estimate_ngram
from hybridasr.lm.ngram import BEGIN, END, find_keys, model_of_ngrams

SENTENCES = st.lists(st.lists(st.sampled_from("abc"), max_size=5), min_size=1, max_size=8)


def test_hand_computed_bigram():
    # Two sentences "a b" and "a": unigram counts a 2, b 1, </s> 2; three kinds of five.
    model = estimate_ngram([["a", "b"], ["a"]], order=2)
    p_b = (1 + 3 * (1 / 3)) / (5 + 3)
    assert 10 ** model.log10_prob("b") == pytest.approx(p_b, rel=1e-6)
    # After a: b once, </s> once.
    assert 10 ** model.log10_prob("b", ["a"]) == pytest.approx((1 + 2 * p_b) / 4, rel=1e-6)
    # b after b is unseen: one kind after b, seen once.
    assert 10 ** model.log10_prob("b", ["b"]) == pytest.approx(0.5 * p_b, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(SENTENCES, st.integers(1, 3))
def test_every_history_sums_to_one(sentences, order):
    model = estimate_ngram(sentences, order)
    for length in range(3):
        for history in itertools.product(("<s>", "a", "b", "c"), repeat=length):
            mass = sum(10 ** model.log10_prob(word, history) for word in model.vocabulary)
            assert mass == pytest.approx(1.0, abs=1e-6)


def test_likelier_sentences_are_likelier():
    model = estimate_ngram([["a", "b"]] * 5 + [["b", "a"]], order=2)
    assert model.sentence_log10_prob(["a", "b"]) > model.sentence_log10_prob(["b", "a"])
    assert model.sentence_log10_prob(["z"]) == -math.inf
    assert model.perplexity([["a", "b"]]) == pytest.approx(
        10 ** (-model.sentence_log10_prob(["a", "b"]) / 3), rel=1e-6)


def test_refuses_what_cannot_be_estimated():
    with pytest.raises(UserError, match="no sentences"):
        estimate_ngram([], 2)
    with pytest.raises(UserError, match="order 7; give 1 to 6"):
        estimate_ngram([["a"]], 7)
    with pytest.raises(UserError, match="the text has the word '#1', a reserved symbol"):
        estimate_ngram([["a", "#1"]], 2)
    assert estimate_ngram([["a", "#1"]], 2, vocabulary=["a"]).vocabulary == [END, "a"]
    with pytest.raises(UserError, match="sentence 2 holds"):
        estimate_ngram([["a"], ["a", END]], 2)


def by_definition(model, word, history):
    """P(w | h) straight from the ARPA rule, with dictionaries."""
    tables = [{words: values for words, *values in model.entries(order)}
              for order in range(1, model.order + 1)]
    history, backoff = tuple(history)[-(model.order - 1):] if model.order > 1 else (), 0.0
    while True:
        if (*history, word) in tables[len(history)]:
            return backoff + tables[len(history)][(*history, word)][0]
        if not history:
            return -math.inf
        backoff += tables[len(history) - 1].get(history, (0, 0.0))[1]
        history = history[1:]


@settings(max_examples=30, deadline=None)
@given(SENTENCES, st.integers(1, 5), st.lists(st.lists(st.sampled_from("abcz"), max_size=6),
                                              min_size=1, max_size=4))
def test_texts_and_rows_are_scored_by_the_rule(sentences, order, texts):
    model = estimate_ngram(sentences, order)
    tokens = [word for text in texts for word in (BEGIN, *text, END)]
    begins = np.array([word == BEGIN for word in tokens])
    scores = model.token_log10_probs(model.word_ids(tokens), begins)
    place = 0
    for text in texts:
        assert scores[place] == 0.0
        padded = (BEGIN, *text, END)
        for end in range(1, len(padded)):
            # A word that the model lacks hides what is in front of it.
            expected = by_definition(model, padded[end], padded[:end])
            assert scores[place + end] == pytest.approx(expected, rel=1e-5, abs=1e-6)
            assert model.log10_prob(padded[end], padded[:end]) == pytest.approx(
                expected, rel=1e-5, abs=1e-6)
        place += len(padded)


def test_ids_and_rows_of_ngrams_are_inverse():
    model = estimate_ngram([list("abcab"), list("cab")], 4)
    for order in range(1, 5):
        ids = model.ngram_ids(order)
        np.testing.assert_array_equal(model.find(ids), np.arange(len(ids)))
        assert sorted(map(tuple, ids.tolist())) == list(map(tuple, ids.tolist()))
    assert model.find(np.array([[-1, 2], [2, -1]])).tolist() == [-1, -1]
    assert find_keys(np.empty(0, np.int64), np.array([3])).tolist() == [-1]


def test_a_history_that_is_not_listed_is_added_without_changing_the_model():
    words = ("</s>", "<s>", "a", "b")
    ngrams = [np.arange(4)[:, None], np.array([[2, 3]]), np.array([[3, 2, 0], [2, 3, 0]])]
    probs = [np.log10([0.4, 1e-99, 0.4, 0.2]), np.array([-0.1]), np.array([-0.2, -0.3])]
    backoffs = [np.array([0.0, -0.4, -0.5, -0.6]), np.array([-0.7]), np.zeros(2)]
    model = model_of_ngrams(words, ngrams, probs, backoffs)
    assert model.num_ngrams == (4, 2, 2)
    # "b a" is new, with its probability by backing off.
    assert model.log10_prob("a", ["b"]) == pytest.approx(math.log10(0.4) - 0.6, abs=1e-6)
    assert model.log10_prob(END, ["b", "a"]) == pytest.approx(-0.2, abs=1e-6)
    assert model.log10_prob("b", ["b", "a"]) == pytest.approx(-0.1, abs=1e-6)
    with pytest.raises(ValueError, match="a 3-gram is there twice"):
        model_of_ngrams(words, [*ngrams[:2], ngrams[2][[0, 0]]], probs, backoffs)


def test_unknown_words_share_one_probability():
    one, other = (model_of_ngrams(("</s>", "<UNK>", name), [np.arange(3)[:, None]],
                                  [np.log10([0.5, 0.2, 0.3])], [np.zeros(3)]) for name in "ab")
    assert one.log10_prob("z") == one.log10_prob("<UNK>") == pytest.approx(math.log10(0.2))
    assert one == one
    assert one != other

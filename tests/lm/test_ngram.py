"""Witten-Bell n-grams: hand-computed values, probability mass, ARPA files."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridasr.errors import UserError
from hybridasr.lm.arpa import read_arpa, write_arpa
from hybridasr.lm.ngram import END, estimate_ngram

SENTENCES = st.lists(st.lists(st.sampled_from("abc"), max_size=5), min_size=1, max_size=8)


def test_hand_computed_bigram():
    # Two sentences "a b" and "a": unigram counts a 2, b 1, </s> 2; three kinds of five.
    model = estimate_ngram([["a", "b"], ["a"]], order=2)
    p_b = (1 + 3 * (1 / 3)) / (5 + 3)
    assert 10 ** model.log10_prob("b") == pytest.approx(p_b, rel=1e-12)
    # After a: b once, </s> once.
    assert 10 ** model.log10_prob("b", ["a"]) == pytest.approx((1 + 2 * p_b) / 4, rel=1e-12)
    # b after b is unseen: one kind after b, seen once.
    assert 10 ** model.log10_prob("b", ["b"]) == pytest.approx(0.5 * p_b, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(SENTENCES, st.integers(1, 3))
def test_every_history_sums_to_one(sentences, order):
    model = estimate_ngram(sentences, order)
    for length in range(3):
        for history in itertools.product(("<s>", "a", "b", "c"), repeat=length):
            mass = sum(10 ** model.log10_prob(word, history) for word in model.vocabulary)
            assert mass == pytest.approx(1.0, abs=1e-9)


def test_likelier_sentences_are_likelier():
    model = estimate_ngram([["a", "b"]] * 5 + [["b", "a"]], order=2)
    assert model.sentence_log10_prob(["a", "b"]) > model.sentence_log10_prob(["b", "a"])
    assert model.sentence_log10_prob(["z"]) == -math.inf
    assert model.perplexity([["a", "b"]]) == pytest.approx(
        10 ** (-model.sentence_log10_prob(["a", "b"]) / 3), rel=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_arpa_round_trip(tmp_path, order):
    model = estimate_ngram([["打开", "空调"], ["关闭", "空调"], []], order)
    write_arpa(tmp_path / "lm.arpa", model)
    again = read_arpa(tmp_path / "lm.arpa")
    assert again.order == order
    assert again.vocabulary == model.vocabulary
    for ours, theirs in zip(model.ngrams, again.ngrams, strict=True):
        assert list(ours) == list(theirs)
        np.testing.assert_allclose(list(theirs.values()), list(ours.values()), rtol=1e-5, atol=1e-6)


def test_refuses_what_cannot_be_estimated():
    with pytest.raises(UserError, match="no sentences"):
        estimate_ngram([], 2)
    with pytest.raises(UserError, match="order 4; give 1 to 3"):
        estimate_ngram([["a"]], 4)
    with pytest.raises(UserError, match="sentence 2 holds"):
        estimate_ngram([["a"], ["a", END]], 2)


@pytest.mark.parametrize(("text", "message"), [
    ("hello\n", r"\\data\\ is missing"),
    ("\\data\\\nngram 1=1\n\n\\1-grams:\n-1 a\n", r"\\end\\ is missing"),
    ("\\data\\\nngram 1=2\n\n\\1-grams:\n-1 a\n\n\\end\\\n",
     "arpa:7: 2 1-grams announced, 1 found"),
    ("\\data\\\nngram 1=1\n\n\\1-grams:\nx a\n\n\\end\\\n", "arpa:5: .*number that is none"),
    ("\\data\\\nngram 1=1\n\n\\1-grams:\n0.5 a\n\n\\end\\\n", "arpa:5: .*above 0"),
    ("\\data\\\nngram 1=1\n\n\\1-grams:\n-1\n\n\\end\\\n", "arpa:5: .*is not a probability"),
    ("\\data\\\nngram one\n", "arpa:2: .*is not 'ngram 1=COUNT'"),
    ("\\data\\\nngram 1=1\n\n\\2-grams:\n-1 a b\n\n\\end\\\n", "arpa:4: .*out of order"),
    ("\\data\\\nngram 1=1\nngram 2=1\n\n\\1-grams:\n-1 a\n\n\\end\\\n", "2 orders announced, 1"),
])
def test_damaged_arpa_is_named_by_line(tmp_path, text, message):
    path = tmp_path / "lm.arpa"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_arpa(path)

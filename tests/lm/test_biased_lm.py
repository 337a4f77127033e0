"""Biased models: their own sentence is likelier than any other, and they are distributions."""

import itertools

import pytest

from hybridasr.errors import UserError
from hybridasr.lm.biased_lm import BiasOptions, biased_ngram, frequent_words

COUNTS = {"the": 50, "cat": 7, "dog": 7, "rare": 1}
OPTIONS = BiasOptions(ngram_order=3, top_n_words=3, top_words_weight=0.2)


def test_frequent_words_have_their_shares():
    model = frequent_words(COUNTS, OPTIONS)
    assert {*model.vocabulary} - {"</s>"} == {"the", "cat", "dog"}
    the, cat, dog = (model.log10_prob(word) for word in ("the", "cat", "dog"))
    assert 10 ** (the - cat) == pytest.approx(50 / 7, rel=0.02)
    assert cat == dog
    assert frequent_words(COUNTS, BiasOptions(top_n_words=0)) is None


def test_sums_are_one_after_every_history():
    words = ("a", "the", "b", "a")
    model = biased_ngram(words, frequent_words(COUNTS, OPTIONS), OPTIONS)
    everything = [word for word in model.words if word != "<s>"]
    for history in [(), ("a",), ("a", "the"), ("cat",), ("<s>",)]:
        assert sum(10 ** model.log10_prob(word, history) for word in everything) == (
            pytest.approx(1.0, abs=1e-4))


def test_the_transcript_is_the_likeliest_sentence_of_its_length():
    words = ("b", "the", "a")
    model = biased_ngram(words, frequent_words(COUNTS, OPTIONS), OPTIONS)
    vocabulary = [word for word in model.vocabulary if word not in ("<s>", "</s>")]
    best = max(itertools.product(vocabulary, repeat=3), key=model.sentence_log10_prob)
    assert best == words


def test_an_utterance_without_words_hears_frequent_ones():
    assert biased_ngram((), frequent_words(COUNTS, OPTIONS), OPTIONS).order == 1
    with pytest.raises(UserError, match="needs frequent words"):
        biased_ngram((), None, OPTIONS)
    assert biased_ngram(("a",), None, OPTIONS).sentence_log10_prob(("a",)) < 0

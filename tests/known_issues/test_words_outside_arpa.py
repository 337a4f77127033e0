"""ARPA files of other words, cases and marks built graphs of nothing, or failed oddly."""

import pytest

from hybridasr.errors import UserError
from hybridasr.lm.arpa import read_arpa
from hybridasr.lm.grammar import ngram_grammar

WORDS = {word: number for number, word in enumerate(
    ["<eps>", "<SIL>", "<UNK>", "one", "two", "#0", "<s>", "</s>"])}


def arpa(path, unigrams, bigrams=()):
    lines = ["\\data\\", f"ngram 1={len(unigrams)}"]
    lines += [f"ngram 2={len(bigrams)}"] if bigrams else []
    lines += ["", "\\1-grams:", *(f"-0.6\t{word}\t-0.2" for word in unigrams)]
    lines += ["", "\\2-grams:", *(f"-0.3\t{pair}" for pair in bigrams)] if bigrams else []
    path.write_text("\n".join([*lines, "", "\\end\\"]) + "\n")
    return path


def test_words_in_the_other_case_are_refused(tmp_path):
    file = arpa(tmp_path / "lm", ["<UNK>", "<s>", "</s>", "ONE", "TWO"], ["<s> ONE", "ONE </s>"])
    with pytest.raises(UserError, match="ONE is there as one .*in the same case"):
        ngram_grammar(file, WORDS)


def test_missing_words_are_counted_and_named(tmp_path, caplog):
    file = arpa(tmp_path / "lm", ["<s>", "</s>", "one", "three", "four"], ["<s> one"])
    ngram_grammar(file, WORDS)
    assert "2 of the 3 words of the language model are not in words.txt" in caplog.text
    assert "four three" in caplog.text


@pytest.mark.parametrize(("unigrams", "bigrams", "message"), [
    (["<s>", "one"], ["<s> one"], "has no </s> among its 1-grams; make it of sentences"),
    (["</s>", "one"], ["one </s>"], "has no <s> among its 1-grams"),
    (["<s>", "</s>", "<eps>"], ["<s> </s>"], "lm:8: '<eps>' is a word of the model, but a reserv"),
    (["<s>", "</s>", "#0"], ["<s> </s>"], "lm:8: '#0' is a word of the model, but a reserved"),
    (["<s>", "</s>"], ["<s> two"], "lm:10: 'two' is in a 2-gram and not among the 1-grams"),
    (["<s>", "</s>", "one", "one"], ["<s> one"], "'one' is there twice"),
])
def test_arpa_is_refused_with_the_true_reason(tmp_path, unigrams, bigrams, message):
    with pytest.raises(UserError, match=message):
        read_arpa(arpa(tmp_path / "lm", unigrams, bigrams))


def test_marks_in_the_other_case_are_the_marks(tmp_path):
    model = read_arpa(arpa(tmp_path / "lm", ["<S>", "</S>", "<Unk>", "one"], ["<S> one"]))
    assert model.words == ("<s>", "</s>", "<UNK>", "one")

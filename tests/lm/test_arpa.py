"""ARPA files: round trips, the forms of other toolkits, every kind of damage by its line."""

import gzip

import numpy as np
import pytest

from hybridasr.errors import UserError
from hybridasr.lm import arpa as arpa_module
from hybridasr.lm.arpa import read_arpa, write_arpa
from hybridasr.lm.arpa_lines import read_arpa_lines
from hybridasr.lm.estimate import estimate_ngram
from hybridasr.lm.ngram import model_of_ngrams

RNG = np.random.default_rng(4)
TEXT = [["一二三四五"[int(x)] for x in RNG.integers(0, 5, RNG.integers(0, 7))] for _ in range(60)]

PLAIN = r"""
\data\
ngram 1=4
ngram 2=3

\1-grams:
-0.5	</s>
-99	<s>	-0.4
-0.4	a	-0.3
-0.6	b	-0.2

\2-grams:
-0.2	<s> a
-0.3	a b
-0.25	b </s>

\end\
"""


def read(tmp_path, text):
    path = tmp_path / "lm.arpa"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_arpa(path)


def lines_only(text):
    """The model as the slow reader has it."""
    tables = read_arpa_lines(text.encode(), "lm")
    return model_of_ngrams(tables.words, tables.ngrams, tables.log10_probs, tables.log10_backoffs)


@pytest.mark.parametrize("name", ["lm.arpa", "lm.arpa.gz"])
@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_round_trip(tmp_path, order, name, monkeypatch):
    monkeypatch.setattr(arpa_module, "_BLOCK", 300)  # sections lie across blocks
    model = estimate_ngram(TEXT, order)
    write_arpa(tmp_path / name, model)
    again = read_arpa(tmp_path / name)
    assert again.words == model.words
    for ours, theirs in zip(model.keys, again.keys, strict=True):
        np.testing.assert_array_equal(theirs, ours)
    for ours, theirs in zip((*model.log10_probs, *model.log10_backoffs),
                            (*again.log10_probs, *again.log10_backoffs), strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-6, atol=1e-7)
    opened = gzip.open if name.endswith("gz") else open
    with opened(tmp_path / name, "rt", encoding="utf-8") as file:
        assert lines_only(file.read()) == again


def test_the_same_model_gives_the_same_bytes(tmp_path):
    for name in ("one.gz", "two.gz"):
        write_arpa(tmp_path / name, estimate_ngram(TEXT, 2))
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()


@pytest.mark.parametrize("change", [
    lambda text: text.replace("\t", " "),
    lambda text: text.replace("\t", "  \t "),
    lambda text: text.replace("\n", "\r\n"),
    lambda text: text.replace("\n", " \n"),
    lambda text: "\ufeff" + text.lstrip(),
    lambda text: "# made by a toolkit\n\\1-grams:\np_1 wd_1 bo_1\nbegin of data mark: \\data\\\n\n"
                 + text,
    lambda text: text.replace("ngram 1=4", "ngram  1 =   4"),
    lambda text: text.replace("-0.4\ta", "\n\n-0.4\ta"),
    lambda text: text.replace("-99", "-inf"),
    lambda text: text.replace("-0.3\ta b", "-0.3\ta b\t0"),
    lambda text: text.replace("</s>", "</S>").replace("<s>", "<S>"),
    lambda text: text + "what comes behind\n\\data\\\n",
    lambda text: text.rstrip(),
    lambda text: text.replace("-0.5\t</s>\n", "").replace("-0.6", "-0.5\t</s>\n-0.6"),
    lambda text: text.replace("-0.2\t<s> a\n", "").replace("-0.25", "-0.2\t<s> a\n-0.25"),
    lambda text: text.replace("-0.5", "-5e-1").replace("-0.25", "-.25"),
    lambda text: text.replace("\ta b", "\tａ b"),  # double width
])
def test_forms_of_the_same_model(tmp_path, change):
    changed = change(PLAIN)
    assert changed != PLAIN
    expected, model = read(tmp_path, PLAIN), read(tmp_path, changed)
    for word in ("</s>", "a", "b", "z"):
        for history in ((), ("<s>",), ("a",), ("b",)):
            assert model.log10_prob(word, history) == expected.log10_prob(word, history)
    assert model.vocabulary == expected.vocabulary


def test_a_longer_order_may_be_empty_and_backoffs_may_be_infinite(tmp_path):
    text = PLAIN.replace("ngram 2=3\n", "ngram 2=3\nngram 3=0\n").replace(
        "\\end\\", "\\3-grams:\n\n\\end\\").replace("a\t-0.3", "a\t-inf")
    model = read(tmp_path, text)
    assert model.num_ngrams == (4, 3, 0)
    assert model.log10_prob("a", ["a"]) == pytest.approx(-99.4, abs=1e-4)
    assert lines_only(text) == model


@pytest.mark.parametrize("name", ["<unk>", "<UNK>", "<Unk>"])
def test_unknown_in_any_case(tmp_path, name):
    model = read(tmp_path, PLAIN.replace("ngram 1=4", "ngram 1=5").replace(
        "-0.5\t</s>", f"-1.5\t{name}\n-0.5\t</s>"))
    assert model.words[0] == "<UNK>"
    assert model.log10_prob("anything") == pytest.approx(-1.5)


DAMAGES = {
    "no data": (lambda t: t.replace("\\data\\", ""), r"lm.arpa: \\data\\ is missing"),
    "no end": (lambda t: t.replace("\\end\\", ""), r"lm.arpa: \\end\\ is missing"),
    "cut in a line": (lambda t: t[:t.index("b </s>")], r"lm.arpa:15: '-0.25' is not a proba"),
    "empty": (lambda t: "", r"\\data\\ is missing"),
    "too few 1-grams": (lambda t: t.replace("-0.6\tb\t-0.2\n", "").replace("-0.3\ta b\n", "")
                        .replace("-0.25\tb </s>\n", ""),
                        "lm.arpa:11: 4 1-grams announced, 3 found"),
    "too few 2-grams": (lambda t: t.replace("-0.3\ta b\n", ""),
                        "lm.arpa:16: 3 2-grams announced, 2 found"),
    "too many 2-grams": (lambda t: t.replace("-0.3\ta b", "-0.3\ta b\n-0.3\ta a"),
                         "lm.arpa:18: 3 2-grams announced, 4 found"),
    "count no number": (lambda t: t.replace("1=4", "1=four"), "lm.arpa:3: 'ngram 1=four' is not"),
    "counts out of order": (lambda t: t.replace("ngram 1=4\nngram 2=3", "ngram 2=3\nngram 1=4"),
                            "lm.arpa:3: 'ngram 2=3' is not 'ngram 1=COUNT'"),
    "section not announced": (lambda t: t.replace("ngram 2=3\n", ""), "lm.arpa:11: .*out of order"),
    "section missing": (lambda t: t[:t.index("\\2-")] + "\\end\\\n", "2 orders announced, 1 found"),
    "section twice": (lambda t: t.replace("\\2-grams:", "\\1-grams:"), "lm.arpa:12: .*of order"),
    "probability no number": (lambda t: t.replace("-0.3\ta b", "-0.3x\ta b"),
                              "lm.arpa:14: .*a number that is none"),
    "backoff no number": (lambda t: t.replace("a\t-0.3", "a\t-0.3x"), "lm.arpa:9: .*number that"),
    "probability above 1": (lambda t: t.replace("-0.3\ta b", "0.3\ta b"), "lm.arpa:14: .*above 0"),
    "probability nan": (lambda t: t.replace("-0.3\ta b", "nan\ta b"), "lm.arpa:14: .*not a num"),
    "backoff nan": (lambda t: t.replace("a\t-0.3", "a\tnan"), "lm.arpa:9: .*backoff nan is none"),
    "backoff infinite": (lambda t: t.replace("a\t-0.3", "a\tinf"), "lm.arpa:9: .*backoff inf is"),
    "word missing": (lambda t: t.replace("\ta b", "\ta"), "lm.arpa:14: '-0.3\ta' is not a prob"),
    "word too many": (lambda t: t.replace("\ta b", "\ta b b a"), "lm.arpa:14: .*2 words and perh"),
    "word not listed": (lambda t: t.replace("\ta b", "\ta c"), "lm.arpa:14: 'c' is in a 2-gram"),
    "1-gram twice": (lambda t: t.replace("-0.6\tb\t", "-0.6\ta\t"), "lm.arpa:10: 'a' is there tw"),
    "2-gram twice": (lambda t: t.replace("\ta b", "\t<s> a"), "lm.arpa:14: '<s> a' is there twi"),
    "reserved word": (lambda t: t.replace("\tb\t", "\t#1\t"), "lm.arpa:10: '#1' is a word of the"),
    "no end of sentences": (lambda t: t.replace("</s>", "x"), "has no </s> among its 1-grams"),
    "no begin of sentences": (lambda t: t.replace("<s>", "x"), "has no <s> among its 1-grams"),
    "not UTF-8": (lambda t: t.replace("-0.3\ta b", "-0.3\ta b@").encode().replace(b"@", b"\xff"),
                  "lm.arpa:14: byte 0xff is not UTF-8"),
    "space in a word": (lambda t: t.replace("\ta\t", "\ta\u00a0x\t"), "lm.arpa:9: .*has a space"),
    "null characters": (lambda t: t[:60] + "\0" * 40 + t[100:], "lm.arpa:[0-9]+: "),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_by_file_and_line(tmp_path, damage):
    change, message = DAMAGES[damage]
    assert change(PLAIN) != PLAIN
    with pytest.raises(UserError, match=message):
        read(tmp_path, change(PLAIN))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_arpa(tmp_path / "none")
    (tmp_path / "lm.gz").write_bytes(gzip.compress(PLAIN.encode())[:-20])
    with pytest.raises(UserError, match="lm.gz: cannot be unpacked"):
        read_arpa(tmp_path / "lm.gz")


def test_damage_anywhere_is_refused_or_harmless(tmp_path):
    """A changed byte gives a model or one line, never another exception."""
    rng = np.random.default_rng(0)
    data = PLAIN.encode()
    for _ in range(300):
        place, value = int(rng.integers(len(data))), int(rng.integers(256))
        changed = data[:place] + bytes([value]) + data[place + int(rng.integers(3)):]
        try:
            model = read(tmp_path, changed)
        except UserError as error:
            assert "lm.arpa" in str(error)  # noqa: PT017
        else:
            assert model.order == 2


def test_scores_are_those_of_kenlm(tmp_path):
    kenlm = pytest.importorskip("kenlm")
    for order, smoothing in ((1, "witten-bell"), (2, "katz"), (3, "kneser-ney"),
                             (5, "kneser-ney")):
        path = tmp_path / f"{order}.arpa"
        write_arpa(path, estimate_ngram(TEXT, order, smoothing))
        if order == 1:  # KenLM reads models of order 2 and more
            continue
        ours, theirs = read_arpa(path), kenlm.Model(str(path))
        for sentence in [*TEXT[:30], list("五五五五一一"), []]:
            text = " ".join(sentence)
            assert ours.sentence_log10_prob(sentence) == pytest.approx(theirs.score(text),
                                                                       abs=2e-5)
            assert ours.perplexity([sentence]) == pytest.approx(theirs.perplexity(text), rel=2e-5)

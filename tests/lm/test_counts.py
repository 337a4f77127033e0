"""Counts of n-grams against `Counter`, in one piece, in many, in memory and on disk."""

import gzip
from collections import Counter

import numpy as np
import pytest

from hybridasr.errors import UserError
from hybridasr.lm import counts as counts_module
from hybridasr.lm.counts import WordChoice, count_ngrams, cut_counts
from hybridasr.lm.estimate import (
    LmOptions,
    estimate_from_file,
    estimate_ngram,
    read_vocabulary,
)
from hybridasr.lm.ngram import BEGIN, END
from hybridasr.lm.token_store import Scratch, WordIds, file_tokens, sentence_tokens

RNG = np.random.default_rng(0)
TEXT = [["abcdefgh"[min(int(x), 7)] for x in RNG.exponential(2, RNG.integers(0, 10))]
        for _ in range(300)]


def by_counter(text, order, left_out=()):
    counted = [Counter() for _ in range(order)]
    for sentence in text:
        padded = (BEGIN, *sentence, END)
        for length in range(1, order + 1):
            ngrams = (padded[i:i + length] for i in range(len(padded) - length + 1))
            counted[length - 1].update(g for g in ngrams if not set(g) & set(left_out))
    return counted


def count(text, order, choice=None, memory=1 << 30, on_disk=False):
    ids = WordIds()
    with Scratch(on_disk) as scratch:
        counted = count_ngrams(sentence_tokens(text, ids), ids, order, choice or WordChoice(),
                               scratch, memory)
        return as_counters(counted)


def as_counters(counted):
    tables, before = [], [()]
    for keys, numbers in zip(counted.keys, counted.counts, strict=True):
        ngrams = [(*before[key // len(counted.words)], counted.words[key % len(counted.words)])
                  for key in keys.tolist()]
        assert ngrams == sorted(ngrams)
        tables.append(Counter(dict(zip(ngrams, numbers.tolist(), strict=True))))
        before = ngrams
    return tables


@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_counts_are_those_of_a_counter(order):
    assert count(TEXT, order) == by_counter(TEXT, order)


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("tokens", [1, 60, 500])
def test_parts_give_the_same_counts(tokens, on_disk, monkeypatch):
    monkeypatch.setattr(counts_module, "_MERGE", 64)  # several rounds of merging
    text = TEXT if tokens > 1 else TEXT[:20]
    assert count(text, 4, memory=64 * tokens, on_disk=on_disk) == by_counter(text, 4)


def test_words_outside_the_vocabulary_are_left_out_or_counted_as_unknown():
    listed = ("a", "b", "c", "new")
    expected = by_counter(TEXT, 3, left_out="defgh")
    expected[0][("new",)] = 0
    assert count(TEXT, 3, WordChoice(listed)) == expected
    unknown = [[word if word in listed else "<UNK>" for word in sentence] for sentence in TEXT]
    expected = by_counter(unknown, 3)
    expected[0][("new",)] = 0
    assert count(TEXT, 3, WordChoice(listed, unknown=True)) == expected
    rare = Counter(word for sentence in TEXT for word in sentence)
    left_out = [word for word in rare if rare[word] < 60]
    assert left_out
    assert count(TEXT, 2, WordChoice(min_count=60)) == by_counter(TEXT, 2, left_out)


def test_cutoffs_keep_the_frequent_ngrams():
    ids = WordIds()
    with Scratch(False) as scratch:
        whole = count_ngrams(sentence_tokens(TEXT, ids), ids, 4, WordChoice(), scratch, 1 << 30)
    expected = by_counter(TEXT, 4)
    for order, cutoff in ((2, 1), (3, 1), (4, 3)):
        expected[order - 1] = Counter({g: c for g, c in expected[order - 1].items() if c > cutoff})
    assert as_counters(cut_counts(whole, (0, 1, 1, 3))) == expected


@pytest.mark.parametrize("name", ["text.txt", "text.txt.gz"])
def test_a_file_gives_the_model_of_its_sentences(tmp_path, name, monkeypatch):
    monkeypatch.setattr("hybridasr.lm.token_store._BLOCK", 100)  # lines lie across blocks
    sentences = [sentence for sentence in TEXT if sentence]
    data = "\ufeff" + "\n".join(" ".join(sentence) for sentence in TEXT)  # no end of line
    opened = gzip.open if name.endswith("gz") else open
    with opened(tmp_path / name, "wb") as file:
        file.write(data.encode())
    model, told = estimate_from_file(tmp_path / name, LmOptions(order=3))
    assert model == estimate_ngram(sentences, 3)
    words = sum(map(len, sentences))
    assert f"{len(sentences)} sentences, {words} words (8 different)" in told


def test_a_text_larger_than_the_memory_gives_the_same_model(tmp_path):
    rng = np.random.default_rng(1)
    words = [f"word{i}" for i in range(500)]
    lines = [" ".join(words[min(int(x), 499)] for x in rng.pareto(0.8, 8)) for _ in range(3000)]
    (tmp_path / "text").write_text("\n".join(lines) + "\n")
    small, large = (estimate_from_file(tmp_path / "text", LmOptions(order=3, memory=memory))[0]
                    for memory in (1, 2000))
    assert small == large


def test_ids_of_utterances_are_skipped(tmp_path):
    (tmp_path / "text").write_text("u1 a b\nu2\nu3 \t b a\n")
    ids = WordIds()
    tokens = np.concatenate(list(file_tokens(tmp_path / "text", ids, skip_first=True)))
    assert [list(ids)[token] for token in tokens] == ["a", "b", "\0", "b", "a", "\0"]


@pytest.mark.parametrize(("data", "message"), [
    (b"a b\nc <s> d\n", "text:2: holds <s>; leave it out"),
    (b"a\n\n</s>\n", "text:3: holds </s>; leave it out"),
    (b"a\nb\xff\n", "text:2: byte 0xff is not UTF-8"),
    (b"a\nb\0c\n", "text:2: holds a null character"),
    (b"\n \n", "text: holds no word; write a sentence a line"),
    (b"", "text: holds no word"),
])
def test_bad_text_is_named_by_line(tmp_path, data, message):
    (tmp_path / "text").write_bytes(data)
    with pytest.raises(UserError, match=message):
        estimate_from_file(tmp_path / "text", LmOptions())


def test_a_bad_line_far_from_the_begin_has_its_number(tmp_path, monkeypatch):
    monkeypatch.setattr("hybridasr.lm.token_store._BLOCK", 10)
    (tmp_path / "text").write_bytes(b"a b c\n" * 50 + b"x\xe4\n")
    with pytest.raises(UserError, match="text:51: byte 0xe4"):
        estimate_from_file(tmp_path / "text", LmOptions())
    (tmp_path / "text.gz").write_bytes(b"no gzip")
    with pytest.raises(UserError, match="cannot be unpacked"):
        estimate_from_file(tmp_path / "text.gz", LmOptions())
    with pytest.raises(UserError, match="no such file"):
        estimate_from_file(tmp_path / "none", LmOptions())


def test_vocabulary_is_the_first_word_of_each_line(tmp_path):
    (tmp_path / "words.txt").write_text("<eps> 0\none 1\n\ntwo 2\none 3\n#0 4\n<s> 5\n</s> 6\n"
                                        "<UNK> 7\n")
    assert read_vocabulary(tmp_path / "words.txt") == ["one", "two"]
    (tmp_path / "words.txt").write_text("<eps> 0\n")
    with pytest.raises(UserError, match="holds no word"):
        read_vocabulary(tmp_path / "words.txt")

"""Segmentation against all ways to cut a text; text as it is spoken."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridasr.errors import UserError
from hybridasr.lm import spoken_text
from hybridasr.lm.segment import Segmenter, estimate_unigrams, jieba_cutter
from hybridasr.lm.spoken_text import spoken_sentences, unreadable_words

WORDS = {"甲": -2.0, "乙": -2.5, "甲乙": -4.0, "乙丙": -3.0, "甲乙丙": -7.5, "丙丁": -2.2,
         "A股": -3.0}


def all_cuts(text):
    for marks in itertools.product((False, True), repeat=max(0, len(text) - 1)):
        ends = [place for place, mark in enumerate(marks, 1) if mark] + [len(text)]
        yield [text[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]


@settings(max_examples=150, deadline=None)
@given(st.text("甲乙丙丁", min_size=1, max_size=8))
def test_the_unigram_path_is_the_likeliest_of_all(text):
    cut = Segmenter(WORDS, WORDS).cut(text)
    assert "".join(cut) == text
    rare = min(WORDS.values()) + math.log(1e-3)

    def score(words):
        if any(word not in WORDS and len(word) > 1 for word in words):
            return -math.inf
        return sum(WORDS.get(word, rare) for word in words)

    assert score(cut) == pytest.approx(max(map(score, all_cuts(text))))


@settings(max_examples=100, deadline=None)
@given(st.text("甲乙丙丁", min_size=1, max_size=8))
def test_the_longest_match_is_the_first_in_order_of_lengths(text):
    def allowed(words):
        return all(word in WORDS or len(word) == 1 for word in words)

    longest = max(filter(allowed, all_cuts(text)), key=lambda words: list(map(len, words)))
    assert Segmenter(WORDS).cut(text) == longest


@pytest.mark.parametrize("likely", [None, WORDS])
def test_runs_of_letters_and_spaces(likely):
    segmenter = Segmenter([*WORDS, "it's", "a"], likely)
    assert segmenter.cut("甲ab乙 A股BA股") == ["甲", "ab", "乙", "A股", "BA", "股"]
    assert segmenter.cut("it's甲乙 ab12 ") == ["it's", *segmenter.cut("甲乙"), "ab12"]
    assert segmenter.cut(" \n") == []
    assert segmenter.cut("戊己") == ["戊", "己"]
    with pytest.raises(UserError, match="no word to segment with"):
        Segmenter([], likely)


def test_unigrams_of_the_text_mend_the_longest_match():
    # 研究生 is a word, but 研究 and 生命 are what the text is about.
    words = ["研究", "研究生", "生命", "命", "起源", "科学"]
    lines = ["生命起源", "研究科学", "科学研究", "生命科学", "研究生命", "生命", "研究"] * 3
    log_probs = estimate_unigrams(lines, words)
    assert Segmenter(words).cut("研究生命") == ["研究生", "命"]
    assert Segmenter(words, log_probs).cut("研究生命") == ["研究", "生命"]
    assert sum(map(math.exp, log_probs.values())) <= 1.0


def test_jieba_cuts_by_its_own_dictionary():
    pytest.importorskip("jieba")
    assert jieba_cutter()("我来到北京 清华大学") == ["我", "来到", "北京", "清华大学"]


@pytest.mark.parametrize(("line", "spoken"), [
    ("他有2个苹果，重3.5%。第2名！", ["他有两个苹果 重百分之三点五", "第二名"]),
    ("GDP是NBA，WiFi不是。", ["G D P 是 N B A WiFi不是"]),
    ("“你好”（真的）——吗？好…", ["你好 真的 吗", "好"]),
    ("２０２６年", ["二零二六年"]),
    ("it's ok. 好", ["it's ok", "好"]),
    ("，。！", []),
    ("", []),
])
def test_plain_text_as_it_is_spoken(line, spoken):
    assert spoken_sentences(line) == spoken


@pytest.mark.parametrize(("line", "spoken"), [
    ("2024-03-05到2024年3月6日", "二零二四年三月五日到二零二四年三月六日"),
    ("10:30到，气温-5℃，第2名", "十点三十分到 气温负五摄氏度 第二名"),
    ("面积1,234平方公里", "面积一千二百三十四平方公里"),
    ("增长1/3", "增长三分之一"),
    ("重98.5kg", "重九十八点五千克"),
])
def test_dates_times_and_units_as_they_are_spoken(line, spoken):
    pytest.importorskip("wetext")
    assert spoken_sentences(line) == [spoken]


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(spoken_text, "_rules", spoken_text._rules.__wrapped__)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"need wetext; run pip install 'hybridasr\[text\]'"):
        spoken_sentences("10:30")


def test_what_nobody_can_read_is_listed():
    assert unreadable_words("他说 привет と言う it's ok") == ["привет", "と", "う"]
    rng = np.random.default_rng(0)
    text = "".join(map(chr, rng.integers(32, 0x3000, 300)))
    for sentence in spoken_sentences(text.replace("-", " ").replace("/", " ")):
        assert " ".join(sentence.split()) == sentence

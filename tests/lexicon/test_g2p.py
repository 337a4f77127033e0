"""Guessed pronunciations, measured in phone errors on our own table of English words."""

import logging

import pytest
from rapidfuzz.distance import Levenshtein

from hybridasr.lexicon import english, g2p
from hybridasr.lexicon.phones import default_phone_set
from hybridasr.lexicon.table_files import builtin_table

ABBREVIATIONS = {"wifi", "usb", "app", "led"}


def phone_error_rate(guess) -> float:
    errors = total = 0
    for word, references in english._table().items():
        if len(word) > 2 and word.isalpha() and word not in ABBREVIATIONS:
            said = guess(word)
            errors_of = {len(r): Levenshtein.distance(said, r) for r in references}
            length = min(errors_of, key=errors_of.get)
            errors, total = errors + errors_of[length], total + length
    return errors / total


def test_espeak_is_nearly_right():
    pytest.importorskip("espeakng_loader")
    assert phone_error_rate(g2p._from_espeak) < 0.04


def test_letter_rules_are_mostly_right():
    assert phone_error_rate(g2p.apply_letter_rules) < 0.2


@pytest.mark.parametrize(("word", "phones"), [
    ("ship", "SH IH P"), ("lake", "L EY K"), ("knock", "N AA K"), ("station", "S T AE SH AH N"),
    ("judge", "JH AH JH"), ("boy", "B OY"), ("little", "L IH T AH L"),
])
def test_letter_rules(word, phones):
    assert " ".join(g2p.apply_letter_rules(word)) == phones


def test_a_flap_is_d_where_no_t_is_written():
    assert g2p.ipa_to_cmu("l_ˈæ_ɾ_ɚ", "ladder") == ("L", "AE", "D", "ER")
    assert g2p.ipa_to_cmu("l_ˈæ_ɾ_ɚ", "latter") == ("L", "AE", "T", "ER")


def test_unknown_ipa_is_no_guess():
    assert g2p.ipa_to_cmu("k_ʘ") is None


def test_a_guess_is_logged_by_name(caplog):
    with caplog.at_level(logging.WARNING, "hybridasr"):
        assert g2p.guess_pronunciation("blorf") == tuple(["B", "L", "AO", "R", "F"])
    assert "'blorf' is in no dictionary; guessed 'B L AO R F'" in caplog.text


def test_without_espeak_the_rules_answer(monkeypatch, caplog):
    monkeypatch.setattr(g2p, "_from_espeak", lambda word: None)
    assert g2p.guess_pronunciation("shipping")
    assert "letter rules" in caplog.text


@pytest.mark.parametrize("word", ["", "12", "a b", "<x>", "--", "'"])
def test_what_cannot_be_guessed(word):
    assert g2p.guess_pronunciation(word) is None


def test_tables_use_known_phones():
    known = {*default_phone_set().nonsilence_phones}
    for table in ("ipa_to_cmu.txt", "letter_rules.txt"):
        symbols = [row[0] for _, row in builtin_table(table)]
        assert len(set(symbols)) == len(symbols), table
        assert all(p in known for _, row in builtin_table(table) for p in row[1:]), table

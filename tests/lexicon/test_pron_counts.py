"""Probabilities of pronunciations and silences against counts by hand."""

import pytest

from hybridasr.errors import UserError
from hybridasr.lexicon.lexicon import Pronunciation, make_lexicon
from hybridasr.lexicon.pron_counts import (
    PronCounts,
    estimate_prons,
    estimate_silence,
    read_pron_counts,
)

SIL = ("<eps>", ("SIL",))
A1, A2, B, C = ("a", ("AH",)), ("a", ("EY",)), ("b", ("B",)), ("c", ("K",))
LEXICON = make_lexicon({word: [Pronunciation(1.0, phones) for _, phones in group]
                        for word, *group in (("a", A1, A2), ("b", B), ("c", C))})


def counted(*utterances):
    counts = PronCounts()
    for spoken in utterances:
        counts.add(spoken)
    return counts


# Silences: before the 1st a, between a and b of the second, at the end of the third.
TINY = counted([SIL, A1, B], [A1, SIL, B], [A2, B, SIL])


def test_counts_of_three_utterances():
    assert TINY.prons == {SIL: 3, A1: 2, A2: 1, B: 3}
    assert TINY.bigrams == {(("<s>", ()), A1): 2, (("<s>", ()), A2): 1, (A1, B): 2, (A2, B): 1,
                            (B, ("</s>", ())): 3}
    # silence before, none before, silence after, none after
    assert TINY.silences == {("<s>", ()): [0, 0, 1, 2], A1: [1, 1, 1, 1], A2: [0, 1, 0, 1],
                             B: [1, 2, 1, 2], ("</s>", ()): [1, 2, 0, 0]}


def test_one_is_added_to_each_pronunciation():
    entries = estimate_prons(LEXICON, TINY).entries
    assert entries["a"] == (Pronunciation(1.0, ("AH",)), Pronunciation(2 / 3, ("EY",)))
    assert entries["b"] == (Pronunciation(1.0, ("B",)),)
    entries = estimate_prons(LEXICON, TINY, max_normalize=False).entries
    assert [pron.probability for pron in entries["a"]] == [3 / 5, 2 / 5]


def test_silence_by_hand():
    probs = estimate_silence(LEXICON, TINY)
    # 3 silences before the 9 words and ends that have something before them
    assert probs.overall == 0.33
    after = {A1: (1 + 0.66) / (2 + 2), A2: (0 + 0.66) / (1 + 2), B: (1 + 0.66) / (3 + 2), C: 0.33}
    begin = (1 + 0.66) / (3 + 2)
    assert probs.begin == round(begin, 2) == 0.33
    assert {one: probs.words[one].after for one in after} == {
        one: round(value, 2) for one, value in after.items()}
    # What stands before b: a (AH) twice with 0.41 (0.415 to hundredths), a (EY) once with 0.22.
    expected = 2 * probs.words[A1].after + 0.22
    assert probs.words[B].silence_before == round((1 + 2) / (expected + 2), 2)
    assert probs.words[B].speech_before == round((2 + 2) / (3 - expected + 2), 2)
    assert probs.words[A1].silence_before == round((1 + 2) / (2 * 0.33 + 2), 2)
    assert probs.end_silence == round((1 + 2) / (3 * 0.33 + 2), 2)
    assert probs.end_speech == round((2 + 2) / (3 * 0.67 + 2), 2)
    # Never said: as all words together.
    assert probs.words[C] == (0.33, 1.0, 1.0)


def test_numbers_stay_away_from_the_ends():
    never = estimate_silence(LEXICON, counted(*[[B, B, B]] * 300))
    assert never.begin == never.words[B].after == never.overall == 0.01
    always = estimate_silence(LEXICON, counted(*[[SIL, B, SIL, B, SIL]] * 300))
    assert always.begin == always.words[B].after == always.overall == 0.99
    assert always.words[B].speech_before >= 0.01


def test_files_round_trip(tmp_path):
    for name, text in TINY.texts().items():
        (tmp_path / name).write_text(text)
    assert (tmp_path / "pron_counts_nowb.txt").read_text() == (
        "3 <eps> SIL\n3 b B\n2 a AH\n1 a EY\n")
    assert (tmp_path / "sil_counts_nowb.txt").read_text().splitlines()[1] == "0 0 1 2 <s>"
    assert "2\ta AH\tb B\n" in (tmp_path / "pron_bigram_counts_nowb.txt").read_text()
    read = read_pron_counts(*(tmp_path / name for name in TINY.texts()))
    assert (read.prons, read.bigrams, read.silences) == (TINY.prons, TINY.bigrams, TINY.silences)


def test_counts_of_another_lexicon_are_refused(tmp_path):
    with pytest.raises(UserError, match="counts.txt: 'd D' is not in the lexicon"):
        estimate_prons(LEXICON, counted([A1, ("d", ("D",))]), tmp_path / "counts.txt")


@pytest.mark.parametrize(("number", "text", "message"), [
    (0, "", "pron_counts_nowb.txt: holds no counts"),
    (0, "a AH\n", "pron_counts_nowb.txt:1: is not 1 counts"),
    (1, "1 2 3 a AH\n", "sil_counts_nowb.txt:1: is not 4 counts"),
    (2, "1 a AH b B\n", "bigram_counts_nowb.txt:1: is not a count and two words"),
])
def test_damaged_files_are_named(tmp_path, number, text, message):
    paths = []
    for place, (name, usual) in enumerate(TINY.texts().items()):
        paths.append(tmp_path / name)
        paths[-1].write_text(text if place == number else usual)
    with pytest.raises(UserError, match=message):
        read_pron_counts(*paths)

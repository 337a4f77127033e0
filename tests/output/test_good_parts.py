"""What is kept of an utterance: edits by hand, and the parts that follow from them."""

import pytest

from hybridasr.errors import UserError
from hybridasr.output.ctm_edits import Edit, find_edits
from hybridasr.output.good_parts import GoodPart, PartOptions, good_parts

OPTIONS = PartOptions(min_segment_length=0.1)


def edits(*rows):
    """(kind, seconds) in a row, each word one of its own; written w1, w2, ... by place."""
    made, place = [], 0.0
    for number, (kind, seconds) in enumerate(rows):
        written = "<eps>" if kind in ("sil", "ins") else f"w{number}"
        made.append(Edit(place, place + seconds, "<eps>" if kind in ("sil", "del") else "x",
                         written, kind))
        place = round(place + seconds, 6)
    return made


def test_what_fits_is_kept_whole():
    (part,) = good_parts(edits(("sil", 1), ("cor", 0.5), ("cor", 0.5), ("sil", 0.2)), OPTIONS)
    # The times are those of the part if it is cut out; whole says that it need not be.
    assert part == GoodPart(0.5, 2.2, ("w1", "w2"), whole=True)


def test_errors_divide_and_their_silences_are_tainted():
    rows = edits(("sil", 0.3), ("cor", 1), ("sil", 0.4), ("sub", 0.5), ("sil", 0.02), ("cor", 1),
                 ("sil", 1))
    first, second = good_parts(rows, OPTIONS)
    assert first == GoodPart(0.0, pytest.approx(1.35), ("w1",))
    assert second == GoodPart(pytest.approx(2.2), pytest.approx(3.72), ("w5",))


def test_a_word_that_was_left_out_divides_too():
    rows = edits(("cor", 1), ("del", 0), ("cor", 1))
    assert [part.words for part in good_parts(rows, OPTIONS)] == [("w0",), ("w2",)]


def test_long_silences_divide_and_are_shared():
    rows = edits(("cor", 1), ("sil", 3), ("cor", 1))
    assert good_parts(rows, OPTIONS) == [GoodPart(0.0, 1.5, ("w0",)), GoodPart(3.5, 5.0, ("w2",))]
    assert len(good_parts(rows, PartOptions(max_internal_silence=3))) == 1


def test_long_parts_are_cut_at_the_longest_silence():
    rows = edits(("cor", 2), ("sil", 0.2), ("cor", 2), ("sil", 0.4), ("cor", 2), ("sil", 0.3),
                 ("cor", 2))
    parts = good_parts(rows, PartOptions(max_segment_length=5))
    assert [(part.words, part.begin, part.end) for part in parts] == [
        (("w0", "w2"), 0.0, pytest.approx(4.4)), (("w4", "w6"), pytest.approx(4.4), 8.9)]
    parts = good_parts(rows, PartOptions(max_segment_length=3))
    assert [part.words for part in parts] == [("w0",), ("w2",), ("w4",), ("w6",)]
    assert not any(part.whole for part in parts)
    # One word cannot be cut.
    assert len(good_parts(edits(("cor", 9)), PartOptions(max_segment_length=3))) == 1


def test_short_parts_are_dropped():
    rows = edits(("cor", 0.4), ("ins", 1), ("cor", 0.4), ("cor", 0.4))
    assert [part.words for part in good_parts(rows, PartOptions())] == [("w2", "w3")]
    assert good_parts(rows, PartOptions(min_words=3)) == []
    assert good_parts(edits(("sil", 5)), OPTIONS) == []
    assert good_parts([], OPTIONS) == []


@pytest.mark.parametrize("name", ["max_edge_silence", "min_words"])
def test_negative_options_are_refused(name):
    with pytest.raises(UserError, match=f"option {name} is -1"):
        PartOptions(**{name: -1})


def test_edits_of_a_recording():
    found = find_edits(("a", "b", "c", "Ä"), [("a", 0.1, 0.5), ("x", 0.5, 0.9), ("c", 0.9, 1.0),
                                              ("<UNK>", 1.5, 2.0), ("a", 2.0, 2.2)], 2.5,
                       {"a", "b", "c", "x", "<UNK>"}, "<UNK>")
    assert "".join(edit.line("u") for edit in found) == """u 1 0.00 0.10 <eps> 1.0 <eps> sil
u 1 0.10 0.40 a 1.0 a cor
u 1 0.50 0.40 x 1.0 b sub
u 1 0.90 0.10 c 1.0 c cor
u 1 1.00 0.50 <eps> 1.0 <eps> sil
u 1 1.50 0.50 <UNK> 1.0 Ä cor
u 1 2.00 0.20 a 1.0 <eps> ins
u 1 2.20 0.30 <eps> 1.0 <eps> sil
"""
    (one, silence) = find_edits(("a",), [], 1.0, {"a"}, "<UNK>")
    assert (one.kind, one.begin, one.end, silence.end) == ("del", 0.0, 0.0, 1.0)

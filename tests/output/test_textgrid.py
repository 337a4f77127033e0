"""TextGrid files: Praat's text by hand, round trips, and damaged files."""

import numpy as np
import pytest

from hybridasr.errors import UserError
from hybridasr.output.textgrid import Interval, read_textgrid, write_textgrid

# Blanks at line ends are Praat's.
LONG = '''File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0\x20
xmax = 1.25\x20
tiers? <exists>\x20
size = 3\x20
item []:\x20
    item [1]:
        class = "IntervalTier"\x20
        name = "words"\x20
        xmin = 0\x20
        xmax = 1.25\x20
        intervals: size = 4\x20
        intervals [1]:
            xmin = 0\x20
            xmax = 0.31\x20
            text = ""\x20
        intervals [2]:
            xmin = 0.31\x20
            xmax = 0.8\x20
            text = "打开"\x20
        intervals [3]:
            xmin = 0.8\x20
            xmax = 1\x20
            text = "say ""12 a"" ! [3]"\x20
        intervals [4]:
            xmin = 1\x20
            xmax = 1.25\x20
            text = ""\x20
    item [2]:
        class = "IntervalTier"\x20
        name = "spk ""A"" - phones"\x20
        xmin = 0\x20
        xmax = 1.25\x20
        intervals: size = 2\x20
        intervals [1]:
            xmin = 0\x20
            xmax = 0.333333\x20
            text = """"\x20
        intervals [2]:
            xmin = 0.333333\x20
            xmax = 1.25\x20
            text = "b"\x20
    item [3]:
        class = "IntervalTier"\x20
        name = "empty"\x20
        xmin = 0\x20
        xmax = 1.25\x20
        intervals: size = 1\x20
        intervals [1]:
            xmin = 0\x20
            xmax = 1.25\x20
            text = ""\x20
'''
TIERS = {"words": [Interval(0.31, 0.8, "打开"), Interval(0.8, 1.0, 'say "12 a" ! [3]')],
         'spk "A" - phones': [Interval(0.0, 0.333333, '"'), Interval(0.333333, 1.25, "b")],
         "empty": []}
SHORT = '''File type = "ooTextFile short"
"TextGrid"

0
1.25
<exists>
1
"IntervalTier"
"words"
0
1.25
3
0
0.31
""
0.31 0.8 "打开"
0.8
1.25
"b ""c"
'''


def test_text_by_hand(tmp_path):
    path = tmp_path / "a.TextGrid"
    write_textgrid(path, 1.25, TIERS)
    assert path.read_text(encoding="utf-8") == LONG
    assert read_textgrid(path) == (1.25, TIERS)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-marked"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_other_forms_and_encodings(tmp_path, encoding, newline):
    path = tmp_path / "a.TextGrid"

    def encoded(text):
        text = text.replace("\n", newline)
        if encoding == "utf-16-be-marked":
            return b"\xfe\xff" + text.encode("utf-16-be")
        return text.encode(encoding)

    path.write_bytes(encoded(LONG))
    assert read_textgrid(path) == (1.25, TIERS)
    path.write_bytes(encoded(SHORT + "! a comment of 3 words\n"))
    assert read_textgrid(path) == (1.25, {"words": [Interval(0.31, 0.8, "打开"),
                                                    Interval(0.8, 1.25, 'b "c')]})


def test_labels_of_several_lines_and_no_tiers(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_text('File type = "ooTextFile"\nObject class = "TextGrid"\n0\n1e1\n<absent>\n')
    assert read_textgrid(path) == (10.0, {})
    write_textgrid(path, 1, {"t": [Interval(0, 1, "two\nlines")]})
    assert read_textgrid(path) == (1.0, {"t": [Interval(0, 1, "two\nlines")]})


def test_round_trip_of_random_tiers(tmp_path):
    rng = np.random.default_rng(0)
    letters = np.array(list('ab"! \\<>[]=:;字音1.5'))
    path = tmp_path / "a.TextGrid"
    for count in (1, 2, 30):
        tiers = {}
        for name in ("words", "phones"):
            # Whole microseconds; an interval of each two in a row is a gap or its own.
            edges = np.unique(rng.integers(0, 10_000_000, 2 * count)) / 1e6
            tiers[name] = [Interval(float(a), float(b), "x" + "".join(rng.choice(letters, 6)))
                           for a, b in zip(edges[:-1], edges[1:], strict=True)
                           if rng.random() < 0.7]
        write_textgrid(path, 10.0, tiers)
        assert read_textgrid(path) == (10.0, tiers)
        numbers = [float(line.split("=")[1]) for line in path.read_text(encoding="utf-8")
                   .splitlines() if line.startswith(("            xmin", "            xmax"))]
        # Contiguous: each xmax is the next xmin, but at the ends of the two tiers.
        assert numbers[0] == 0
        assert numbers[-1] == 10.0
        breaks = [(a, b) for a, b in zip(numbers[1:-1:2], numbers[2::2], strict=True) if a != b]
        assert breaks == [(10.0, 0.0)]


def test_frames_that_nearly_meet_do(tmp_path):
    """Times that are sums of 0.01 leave no slits and no last interval of nothing."""
    edges = [0.0]
    while len(edges) <= 200:
        edges.append(edges[-1] + 0.01)
    write_textgrid(tmp_path / "a", 2.0, {"t": [Interval(0.01 * n, edges[n + 1], str(n))
                                               for n in range(200)]})
    _, tiers = read_textgrid(tmp_path / "a")
    assert [interval.label for interval in tiers["t"]] == [str(n) for n in range(200)]
    assert [interval.begin for interval in tiers["t"]] == [round(0.01 * n, 2) for n in range(200)]
    assert "size = 200 " in (tmp_path / "a").read_text()


@pytest.mark.parametrize(("duration", "tiers", "message"), [
    (0.0, {"t": []}, "the recording lasts 0 s; give a duration above 0"),
    (float("nan"), {"t": []}, "the recording lasts nan s"),
    (float("inf"), {"t": []}, "the recording lasts inf s"),
    (1.0, {}, "there is no tier; give at least one"),
    (1.0, {"t": [Interval(0.5, 0.5, "a")]}, "'a' of tier 't' lasts from 0.5 s to 0.5 s; give it"),
    (1.0, {"t": [Interval(0.5, 0.4, "a")]}, "lasts from 0.5 s to 0.4 s; give it an end after"),
    (1.0, {"t": [Interval(float("nan"), 0.4, "a")]}, "lasts from nan s to 0.4 s"),
    (1.0, {"t": [Interval(0.0, 0.5, "a"), Interval(0.4, 0.6, "b")]},
     "'b' of tier 't' lasts from 0.4 s to 0.6 s, the interval before it to 0.5 s"),
    (1.0, {"t": [Interval(-0.1, 0.5, "a")]}, "from -0.1 s to 0.5 s, the interval before it to 0 s"),
    (1.0, {"t": [Interval(0.5, 1.1, "a")]}, "from 0.5 s to 1.1 s, the recording 1 s"),
])
def test_tiers_that_cannot_be_written(tmp_path, duration, tiers, message):
    with pytest.raises(UserError) as caught:
        write_textgrid(tmp_path / "a", duration, tiers)
    assert message in str(caught.value)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(("old", "new", "line", "message"), [
    ('"ooTextFile"', '"ooBinary"', 1, "file type \"ooTextFile\" is expected, 'ooBinary' found"),
    ('"ooTextFile"', "", 2, "file type \"ooTextFile\" is expected, 'TextGrid' found"),
    ('"TextGrid"', '"Pitch"', 2, "object class \"TextGrid\" is expected, 'Pitch' found"),
    ("xmin = 0", "xmin = zero", 6, "xmax of the recording is expected, '<exists>' found"),
    ("xmax = 1.25", "xmax = 1e999", 5, "xmax of the recording is too large"),
    ("size = 3", "size = 3.5", 7, "the number of tiers is 3.5, a whole number below"),
    ("size = 3", "size = 4", 54, "ends where the class of a tier is expected"),
    ("size = 3", "size = 2", 46, "the end is expected, '\"IntervalTier\"' found"),
    ('"IntervalTier"', '"TextTier"', 10, "class \"IntervalTier\" is expected, 'TextTier' found; "
     "remove tiers of points"),
    ('name = "empty"', 'name = "words"', 47, "tier 'words' comes twice; rename one of them"),
    ("size = 4", "size = -4", 14, "the number of intervals of tier 'words' is -4, a whole"),
    ("size = 4", "size = 5", 32, "xmin of interval 5 of tier 'words' is expected, '\"Interv"),
    ("xmin = 0.31", "xmin = 0.3", 20, "interval 2 of tier 'words' begins at 0.3 s, at least 0.31"),
    ("xmax = 0.31", "xmax = 0", 17, "interval 1 of tier 'words' lasts from 0 s to 0 s, an end"),
    ("xmax = 0.8", "xmax = 1.3", 21, "from 0.31 s to 1.3 s, an end after that and up to 1.25"),
    ('text = "b"', "text = 5", 44, "text of interval 2 of tier 'spk \"A\" - phones' is expected"),
    # The quotes that follow are taken the wrong way round.
    ('"b"', '"b', 46, "class \"IntervalTier\" is expected, 'name =' found"),
])
def test_damaged_files(tmp_path, old, new, line, message):
    assert old in LONG
    path = tmp_path / "a.TextGrid"
    path.write_text(LONG.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_textgrid(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert "\n" not in str(caught.value)


def test_files_of_another_kind(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_textgrid(tmp_path / "none")
    (tmp_path / "a").write_bytes(b"\xff\xfea")
    with pytest.raises(UserError, match="cannot be read"):
        read_textgrid(tmp_path / "a")
    (tmp_path / "a").write_bytes("字".encode("gbk"))
    with pytest.raises(UserError, match="is not UTF-8"):
        read_textgrid(tmp_path / "a")
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(UserError, match="a:1: ends where 'File type"):
        read_textgrid(tmp_path / "a")

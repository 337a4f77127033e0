"""CTM files: the exact text, the order, rounding, and what is refused."""

import subprocess

import numpy as np
import pytest

from hybridasr.errors import UserError
from hybridasr.output.ctm import CtmRow, read_ctm, write_ctm

ROWS = [CtmRow("utt2", "1", 0.0, 0.31, "打开"), CtmRow("utt10", "1", 1.5, 0.25, "灯", 0.987654),
        CtmRow("utt10", "1", 0.2, 0.1, "b"), CtmRow("utt10", "A", 0.1, 0.1, "c", 1.0),
        CtmRow("Utt", "1", 10.0, 0.0, "d", 0.0), CtmRow("utt10", "1", 9.25, 2.0, "e")]
TEXT = """Utt 1 10.00 0.00 d 0.00
utt10 1 0.20 0.10 b
utt10 1 1.50 0.25 灯 0.99
utt10 1 9.25 2.00 e
utt10 A 0.10 0.10 c 1.00
utt2 1 0.00 0.31 打开
"""


def test_text_by_hand(tmp_path):
    path = tmp_path / "a.ctm"
    assert write_ctm(path, ROWS) == 6
    assert path.read_text(encoding="utf-8") == TEXT
    assert write_ctm(path, []) == 0
    assert path.read_text() == ""
    assert read_ctm(path) == []


def test_order_is_that_of_sort(tmp_path):
    """What sclite asks for: sort -k1,1 -k2,2 -k3nb,3 by bytes."""
    rng = np.random.default_rng(0)
    rows = [CtmRow(str(name), str(channel), round(float(begin), 2), 0.1, "w") for name, channel,
            begin in zip(rng.choice(["a", "a-1", "a10", "B", "字"], 60), rng.choice(["1", "2"], 60),
                         rng.uniform(0, 120, 60), strict=True)]
    write_ctm(tmp_path / "a.ctm", rows)
    found = (tmp_path / "a.ctm").read_bytes()
    done = subprocess.run(["sort", "-k1,1", "-k2,2", "-k3nb,3"], input=found, capture_output=True,
                          env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}, check=True)
    assert found == done.stdout


@pytest.mark.parametrize("decimals", [2, 3])
def test_neighbours_still_meet_once_rounded(tmp_path, decimals):
    edges = np.cumsum(np.random.default_rng(decimals).uniform(0.004, 0.5, 300))
    write_ctm(tmp_path / "a.ctm", [CtmRow("u", "1", begin, end - begin, "w")
                                   for begin, end in zip(edges[:-1], edges[1:], strict=True)],
              decimals)
    rows = read_ctm(tmp_path / "a.ctm")
    begins, durations = (np.array([getattr(row, name) for row in rows])
                         for name in ("begin", "duration"))
    np.testing.assert_allclose(begins[:-1] + durations[:-1], begins[1:], rtol=0, atol=1e-9)
    np.testing.assert_allclose(begins, edges[:-1], rtol=0, atol=0.501 * 10.0**-decimals)
    assert all(len(line.split()[2].split(".")[1]) == decimals
               for line in (tmp_path / "a.ctm").read_text().splitlines())


def test_reading(tmp_path):
    (tmp_path / "a.ctm").write_text(f"\n;; a comment\n{TEXT}u B  1 .5 w NA\n", encoding="utf-8")
    rows = read_ctm(tmp_path / "a.ctm")
    assert rows[:-1] == sorted(
        (row._replace(confidence=row.confidence and round(row.confidence, 2)) for row in ROWS),
        key=lambda row: row[:3])
    assert rows[-1] == CtmRow("u", "B", 1.0, 0.5, "w", None)


@pytest.mark.parametrize(("row", "message"), [
    (CtmRow("", "1", 0, 1, "w"), "the recording '', one word without blanks"),
    (CtmRow("a b", "1", 0, 1, "w"), "the recording 'a b', one word without blanks"),
    (CtmRow("u", " ", 0, 1, "w"), "the channel ' ', one word"),
    (CtmRow("u", "1", 0, 1, "w\u3000v"), "the symbol 'w\u3000v', one word"),
    (CtmRow(";;u", "1", 0, 1, "w"), "';;u', which would begin a comment"),
    (CtmRow("u", "1", -0.01, 1, "w"), "the begin -0.01, seconds from 0 on are expected"),
    (CtmRow("u", "1", float("nan"), 1, "w"), "the begin nan, seconds"),
    (CtmRow("u", "1", 0, -1, "w"), "the duration -1, seconds"),
    (CtmRow("u", "1", 0, float("inf"), "w"), "the duration inf, seconds"),
    (CtmRow("u", "1", 0, 1, "w", 1.5), "the confidence 1.5, a number from 0 to 1"),
    (CtmRow("u", "1", 0, 1, "w", float("nan")), "the confidence nan, a number from 0 to 1"),
])
def test_rows_that_cannot_be_written(tmp_path, row, message):
    with pytest.raises(UserError) as caught:
        write_ctm(tmp_path / "a.ctm", [CtmRow("u", "1", 0, 1, "w"), row])
    assert message in str(caught.value)
    assert not (tmp_path / "a.ctm").exists()


@pytest.mark.parametrize(("line", "message"), [
    ("u 1 0.0 0.5", "has 4 fields, '<recording> <channel> <begin-s> <duration-s> <symbol>"),
    ("u 1 0.0 0.5 w 0.5 lex", "has 7 fields"),
    ("u 1 * * <ALT_BEGIN>", r"the begin '*' is not a number"),
    ("u 1 0.0 x w", "the duration 'x' is not a number"),
    ("u 1 0.0 0.5 w high", "the confidence 'high' is not a number"),
    ("u 1 -1 0.5 w", "'w' has the begin -1, seconds from 0 on"),
    ("u 1 0 nan w", "'w' has the duration nan"),
    ("u 1 0 0.5 w 50", "'w' has the confidence 50, a number from 0 to 1"),
])
def test_damaged_files(tmp_path, line, message):
    path = tmp_path / "a.ctm"
    path.write_text(f";; header\nu 1 0 1 w\n{line}\n")
    with pytest.raises(UserError) as caught:
        read_ctm(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert message in str(caught.value)
    with pytest.raises(UserError, match="no such file"):
        read_ctm(tmp_path / "none.ctm")

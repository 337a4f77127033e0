"""The report of suspicious alignments: planted faults are found, and nothing else."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import median_abs_deviation

from hybridasr.errors import UserError
from hybridasr.output.outliers import (
    AlignedUtterance,
    Outlier,
    OutlierOptions,
    find_outliers,
    report_head,
    write_report,
)

WORDS = {"da": ["d", "a"], "dada": ["d", "a", "d", "a"], "ti": ["t", "i"], "i": ["i"]}
MEANS = {"d": 0.06, "a": 0.15, "t": 0.08, "i": 0.12}


def utterance(rng, name, pause=0.1):
    """Three or four words with pauses between some of them, lengths within 30 % of usual."""
    phones, words, now = [("SIL", 0.0, 0.8)], [], 0.8
    for word in rng.choice(list(WORDS), rng.integers(3, 5)):
        begin = now
        for phone in WORDS[word]:
            length = MEANS[phone] * rng.uniform(0.7, 1.3)
            phones.append((phone, now, now + length))
            now += length
        words.append((str(word), begin, now))
        if rng.random() < 0.5:
            phones.append(("SIL", now, now + pause))
            now += pause
    phones.append(("SIL", now, now + 1.5))
    return AlignedUtterance(name, rng.normal(-90, 2), phones, words, False)


@pytest.fixture
def items():
    rng = np.random.default_rng(5)
    found = [utterance(rng, f"u{number:02d}") for number in range(40)]
    # No draw in the tails: what is planted is all there is to find.
    return [replace(item, loglike_per_frame=float(np.clip(item.loglike_per_frame, -94, -86)))
            for item in found]


def test_nothing_to_find(items):
    assert find_outliers(items) == []
    assert find_outliers([]) == []


def test_unlikely_utterances_by_the_robust_score(items):
    items[3] = replace(items[3], loglike_per_frame=-101.0)
    items[8] = replace(items[8], loglike_per_frame=-120.0)
    items[9] = replace(items[9], loglike_per_frame=-60.0)  # likely is not suspicious
    found = find_outliers(items)
    assert [(row.utterance, row.kind, row.value) for row in found] == [
        ("u08", "loglike", -120.0), ("u03", "loglike", -101.0)]
    values = [item.loglike_per_frame for item in items]
    score = (np.median(values) + 120) / median_abs_deviation(values, scale="normal")
    assert found[0].detail == (f"{score:.1f} deviations below the median "
                               f"{np.median(values):.2f} a frame")
    strict = find_outliers(items, options=OutlierOptions(z_score=score + 0.1))
    assert strict == []
    assert len(find_outliers(items, options=OutlierOptions(z_score=score - 0.1))) == 1


def test_trouble_of_the_search_comes_first(items):
    items[1] = replace(items[1], retried=True)
    items[2] = replace(items[2], retried=True, failed=True, phones=[], words=[],
                       loglike_per_frame=math.nan)
    items[4] = replace(items[4], loglike_per_frame=-math.inf)
    items[5] = replace(items[5], loglike_per_frame=-120.0, retried=True)
    assert [(row.utterance, row.kind) for row in find_outliers(items)] == [
        ("u02", "failed"), ("u04", "loglike"), ("u05", "loglike"), ("u01", "retried"),
        ("u05", "retried")]


def stretched(item, place, factor):
    """Make one phone longer by a factor, and move all that comes after."""
    label, begin, end = item.phones[place]
    more = (end - begin) * (factor - 1)

    def moved(time):
        return time + more if time >= end - 1e-9 else time
    return replace(item, phones=[(name, moved(a), moved(b)) for name, a, b in item.phones],
                   words=[(name, moved(a), moved(b)) for name, a, b in item.words])


def test_long_and_short_phones(items):
    items[6] = stretched(items[6], 1, 5.0)
    items[7] = stretched(items[7], 2, 0.1)
    label = items[6].phones[1][0]
    found = {(row.utterance, row.kind): row for row in find_outliers(items)}
    row = found.pop(("u06", "long-phone"))
    assert row.value == pytest.approx(items[6].phones[1][2] - items[6].phones[1][1], rel=1e-9)
    assert row.detail.startswith(f"{label} at 0.80 s, ")
    logs = np.log([b - a for item in items for name, a, b in item.phones if name == label])
    score = (math.log(row.value) - np.median(logs)) / max(
        0.2, median_abs_deviation(logs, scale="normal"))
    assert f" {score:.1f} deviations from the median {np.exp(np.median(logs)):.2f} s" in row.detail
    assert found.pop(("u07", "short-phone")).value == pytest.approx(
        items[7].phones[2][2] - items[7].phones[2][1], rel=1e-9)
    # A word of such a phone may be too slow or fast as a whole, nobody else's.
    assert {name for name, _ in found} <= {"u06", "u07"}
    assert {kind for _, kind in found} <= {"slow-word", "fast-word"}


def test_only_the_worst_of_a_kind_is_listed(items):
    places = [place for place, phone in enumerate(items[6].phones) if phone[0] != "SIL"]
    items[6] = stretched(stretched(items[6], places[0], 6.0), places[3], 20.0)
    rows = [row for row in find_outliers(items) if row.kind == "long-phone"]
    worst = items[6].phones[places[3]]
    assert [row.utterance for row in rows] == ["u06"]
    assert rows[0].value == pytest.approx(worst[2] - worst[1])
    assert rows[0].detail.endswith(", 1 more")


def test_slow_words(items):
    """Lengths of words count by the phone, so that long words are not slow ones."""
    slow = [("SIL", 0.0, 0.5), ("d", 0.5, 0.63), ("a", 0.63, 1.0), ("d", 1.0, 1.3), ("a", 1.3, 1.6)]
    item = AlignedUtterance("slow", -90.0, slow, [("dada", 0.5, 1.6)], False)
    rows = find_outliers([*items, item])
    assert {(row.utterance, row.kind): row.value for row in rows} == {
        ("slow", "slow-word"): pytest.approx(1.1 / 4), ("slow", "long-phone"): pytest.approx(0.3)}
    fast = [("d", 0.0, 0.03), ("a", 0.03, 0.06), ("d", 0.06, 0.09), ("a", 0.09, 0.12)]
    item = AlignedUtterance("fast", -90.0, fast, [("dada", 0.0, 0.12)], False)
    rows = find_outliers([*items, item])
    assert {(row.utterance, row.kind): row.value for row in rows} == {
        ("fast", "fast-word"): pytest.approx(0.03), ("fast", "short-phone"): pytest.approx(0.03)}


def test_pauses_inside_an_utterance_only():
    phones = [("SIL", 0.0, 3.0), ("d", 3.0, 3.1), ("a", 3.1, 3.2), ("SIL", 3.2, 3.5),
              ("SPN", 3.5, 4.0), ("d", 4.0, 4.1), ("a", 4.1, 4.2), ("SIL", 4.2, 4.6),
              ("d", 4.6, 4.7), ("a", 4.7, 4.8), ("SIL", 4.8, 9.0)]
    words = [("one", 3.0, 3.2), ("two", 4.0, 4.2), ("three", 4.6, 4.8)]
    item = AlignedUtterance("u", -90.0, phones, words, False)
    rows = find_outliers([item], ["SIL", "SPN"])
    assert rows == [Outlier("u", "pause", pytest.approx(0.8), "silence at 3.20 s, after one")]
    # Noise that is no silence parts the two.
    assert [row.kind for row in find_outliers([item])] == ["long-phone"]
    rows = find_outliers([item], options=OutlierOptions(long_pause=0.35))
    assert [(row.value, row.detail) for row in rows if row.kind == "pause"] == [
        (pytest.approx(0.4), "silence at 4.20 s, after two")]
    assert find_outliers([replace(item, words=[])], ["SIL", "SPN"]) == []


def test_rare_phones_are_compared_with_all(items):
    items[0] = replace(items[0], phones=[*items[0].phones[:-1], ("x", 5.0, 5.1)])
    assert find_outliers(items) == []
    items[0] = replace(items[0], phones=[*items[0].phones[:-1], ("x", 5.0, 7.0)])
    assert [(row.kind, row.value) for row in find_outliers(items)] == [("long-phone", 2.0)]


def test_equal_likelihoods_and_a_single_odd_one():
    same = [AlignedUtterance(f"u{n}", -90.0, [], [], False) for n in range(20)]
    assert find_outliers(same) == []
    odd = AlignedUtterance("odd", -95.0, [], [], False)
    assert [row.utterance for row in find_outliers([*same, odd])] == ["odd"]


def test_report(tmp_path, items):
    write_report(tmp_path / "report.txt", [])
    assert (tmp_path / "report.txt").read_text() == "no outliers\n"
    rows = [Outlier("话-1", "failed", math.nan, "no path"),
            Outlier("u2", "loglike", -101.256, "low"),
            Outlier("u2", "pause", 0.7, "silence at 1.00 s")]
    write_report(tmp_path / "report.txt", rows)
    assert (tmp_path / "report.txt").read_text(encoding="utf-8") == (
        "2 utterances to look at: 1 failed, 1 loglike, 1 pause\n"
        "\n"
        "utterance  kind       value  detail\n"
        "---------  -------  -------  -----------------\n"
        "话-1       failed         -  no path\n"
        "u2         loglike  -101.26  low\n"
        "u2         pause       0.70  silence at 1.00 s\n")
    path = tmp_path / "report.txt"
    whole = f"{path}: " + path.read_text(encoding="utf-8").removesuffix("\n")
    assert report_head(path) == report_head(path, 3) == whole
    assert report_head(path, 1) == "\n".join([*whole.split("\n")[:5], "... 2 more"])
    write_report(path, [])
    assert report_head(path) == f"{path}: no outliers"


@pytest.mark.parametrize("fault", [{"z_score": 0.0}, {"long_pause": -1.0}, {"min_samples": 0},
                                   {"z_score": math.nan}])
def test_options_out_of_range(fault):
    with pytest.raises(UserError, match=rf"{next(iter(fault)).replace('_', '-')} is .*; give a "):
        OutlierOptions(**fault)

"""Owns the report of suspicious alignments: what to listen to first in a corpus.

Takes the alignments of a whole set and compares each with all others: mean log likelihood,
lengths of phones and words, pauses inside the utterance. Outliers are found by the modified z-score
of Iglewicz and Hoaglin (How to Detect and Handle Outliers, 1993): distance from the median over
1.4826 times the median absolute deviation, which the outliers themselves hardly move.
"""

import math
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hybridasr.errors import UserError, name_some
from hybridasr.options import option
from hybridasr.score.result_table import format_table
from hybridasr.storage import PathLike, read_text, write_text

# A normal distribution's standard deviation over its median, and over its mean, deviation.
_MEDIAN_SCALE, _MEAN_SCALE = 1.4826, 1.2533
# Lengths come in whole frames: deviations of their logs below this are rounding, so that at the
# default score nothing within a factor of two of the median is odd.
_LEAST_SPREAD = 0.2
_LEAST_SECONDS = 1e-3
_HEADER_LINES = 4  # of a report: counts, nothing, names of columns, dashes

TimedLabel = tuple[str, float, float]
"""(label, begin, end), seconds."""


@dataclass(frozen=True)
class OutlierOptions:
    """What counts as suspicious."""

    z_score: float = option(3.5, "robust standard deviations from the median")
    long_pause: float = option(0.5, "seconds of silence between two words")
    min_samples: int = option(10, "a phone seen less often is compared with all phones")

    def __post_init__(self):
        for name in ("z_score", "long_pause", "min_samples"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name.replace('_', '-')} is {getattr(self, name)}; give a "
                                "number above 0")


@dataclass(frozen=True)
class AlignedUtterance:
    """One utterance's alignment.

    Attributes
    ----------
    utterance : str
    loglike_per_frame : float
        Natural log, at any scale that is the same in the whole set; NaN if it is not known.
    phones, words : list of (label, begin, end)
        In order, seconds; empty if the alignment failed.
    retried : bool
        Whether it needed the wider beam.
    failed : bool
        Whether no beam reached the end.
    unknown : tuple of str
        Words of the transcript that the lexicon lacks, each once.
    """

    utterance: str
    loglike_per_frame: float
    phones: list[TimedLabel]
    words: list[TimedLabel]
    retried: bool
    failed: bool = False
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outlier:
    """One reason to look at an utterance.

    Attributes
    ----------
    utterance : str
    kind : str
        failed, unknown-word, retried, loglike, pause, slow-word, fast-word, long-phone or
        short-phone.
    value : float
        Log likelihood a frame of failed, retried and loglike, seconds of the others (a phone, for
        words), NaN of unknown words.
    detail : str
        What is compared with what, in words.
    """

    utterance: str
    kind: str
    value: float
    detail: str


class _Length(NamedTuple):
    """Seconds of a phone, or of a word per phone; `group` is what it is compared with."""

    group: str
    label: str
    begin: float
    seconds: float


def find_outliers(items: Iterable[AlignedUtterance], silence_phones: Collection[str] = ("SIL",),
                  options: OutlierOptions | None = None) -> list[Outlier]:
    """List suspicious alignments, the most suspicious first.

    Parameters
    ----------
    items : iterable of AlignedUtterance
        The whole set: each is compared with all others. It is gone through twice, and need not be
        in memory; of each utterance only the lengths of its phones and words are kept.
    silence_phones : collection of str
        Phones that are no speech: their lengths say nothing, but pauses consist of them.
    options : OutlierOptions, optional

    Returns
    -------
    list of Outlier
        At most one of each kind for an utterance, the worst. Failures come first, then unknown
        words; then the others, by how many times they exceed their limit (a retry counts as 1).

    >>> item = AlignedUtterance("u1", -8.5, [("a", 0.0, 0.1)], [("ah", 0.0, 0.1)], True)
    >>> [(outlier.utterance, outlier.kind) for outlier in find_outliers([item])]
    [('u1', 'retried')]
    """
    options = options or OutlierOptions()
    silence = set(silence_phones)
    usual = _Usual(items, silence, options)
    ranked: list[_Ranked] = []
    # The second pass: the first one has measured what is usual in this set.
    for item in items:
        ranked += _search_trouble(item)
        ranked += _unlikely(item, usual, options)
        ranked += _pauses(item, silence, options)
        ranked += _odd_lengths(item, _phone_lengths(item, silence), usual.phones,
                               ("long-phone", "short-phone"), options)
        ranked += _odd_lengths(item, _word_lengths(item, silence), usual.words,
                               ("slow-word", "fast-word"), options)
    ranked.sort(key=lambda pair: (-pair[0], pair[1].utterance, pair[1].kind))
    return [outlier for _, outlier in ranked]


def write_report(path: PathLike, outliers: Sequence[Outlier]) -> None:
    """Write outliers as a text table in the order given, with a line of counts on top."""
    if not outliers:
        write_text(path, "no outliers\n")
        return
    kinds: dict[str, int] = defaultdict(int)
    for outlier in outliers:
        kinds[outlier.kind] += 1
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    utterances = len({outlier.utterance for outlier in outliers})
    table = format_table([{"utterance": outlier.utterance, "kind": outlier.kind,
                           "value": outlier.value if math.isfinite(outlier.value) else None,
                           "detail": outlier.detail} for outlier in outliers])
    write_text(path, f"{utterances} utterances to look at: {counts}\n\n{table}\n")


def report_head(path: PathLike, rows: int = 20) -> str:
    """Return the beginning of a report for the terminal: its path, the counts, the first rows."""
    lines = read_text(path).splitlines()
    shown = lines[:_HEADER_LINES + rows]
    left = len(lines) - len(shown)
    return "\n".join([f"{path}: {shown[0]}", *shown[1:], *([f"... {left} more"] if left else [])])


_Ranked = tuple[float, Outlier]
_Measure = tuple[float, float]  # median and robust standard deviation
_UNKNOWN_RANK = 1e300  # below failures, above all that is measured


class _Usual:
    """What is usual in a set: log likelihoods, and the logs of lengths within each group."""

    def __init__(self, items: Iterable[AlignedUtterance], silence: set[str],
                 options: OutlierOptions):
        # Arrays of doubles: a list of Python floats takes four times the memory.
        loglikes = array("d")
        phones, words = defaultdict(_doubles), defaultdict(_doubles)
        for item in items:
            if not item.failed and math.isfinite(item.loglike_per_frame):
                loglikes.append(item.loglike_per_frame)
            for groups, lengths in ((phones, _phone_lengths(item, silence)),
                                    (words, _word_lengths(item, silence))):
                for length in lengths:
                    groups[length.group].append(_log(length))
        self.loglike = _median_and_spread(loglikes)
        self.phones = _measures(phones, options)
        self.words = _measures(words, options)


def _doubles() -> array:
    return array("d")


def _measures(groups: dict[str, array], options: OutlierOptions) -> dict[str, _Measure]:
    """Measure each group, a small one by all groups together."""
    pool: _Measure | None = None
    measures = {}
    for group, values in groups.items():
        if len(values) >= options.min_samples:
            measures[group] = _median_and_spread(values, _LEAST_SPREAD)
            continue
        # A handful of examples has no spread of its own to speak of.
        if pool is None:
            pool = _median_and_spread(np.concatenate([np.asarray(part) for part in
                                                      groups.values()]), _LEAST_SPREAD)
        measures[group] = pool
    return measures


def _phone_lengths(item: AlignedUtterance, silence: set[str]) -> list[_Length]:
    return [_Length(label, label, begin, end - begin) for label, begin, end in item.phones
            if label not in silence]


def _word_lengths(item: AlignedUtterance, silence: set[str]) -> list[_Length]:
    # Divided by the phones, so that a long word is not odd for being long.
    return [_Length("", label, begin, (end - begin) / count) for label, begin, end in item.words
            if (count := _phones_within(item, begin, end, silence))]


def _search_trouble(item: AlignedUtterance) -> Iterable[_Ranked]:
    value = item.loglike_per_frame
    if item.failed:
        yield math.inf, Outlier(item.utterance, "failed", value, "no path to the end; is the "
                                "text what is said, and the recording whole?")
    elif not math.isfinite(value):
        yield math.inf, Outlier(item.utterance, "loglike", value, "no log likelihood; check "
                                "the features")
    elif item.retried:
        yield 1.0, Outlier(item.utterance, "retried", value, "needed the wider beam")
    if item.unknown:
        yield _UNKNOWN_RANK, Outlier(item.utterance, "unknown-word", math.nan,
                                     f"not in the lexicon: {name_some(list(item.unknown))}")


def _unlikely(item: AlignedUtterance, usual: _Usual, options: OutlierOptions
              ) -> Iterable[_Ranked]:
    if item.failed or not math.isfinite(item.loglike_per_frame):
        return
    median, spread = usual.loglike
    below = (median - item.loglike_per_frame) / spread
    if below > options.z_score:
        yield below / options.z_score, Outlier(
            item.utterance, "loglike", item.loglike_per_frame,
            f"{below:.1f} deviations below the median {median:.2f} a frame")


def _pauses(item: AlignedUtterance, silence: set[str],
            options: OutlierOptions) -> Iterable[_Ranked]:
    """Find the longest stretch of silence phones between two words."""
    if not item.words:
        return
    first, last = item.words[0][1], item.words[-1][2]
    stretches: list[list[float]] = []
    before = ""
    for label, begin, end in item.phones:
        # Silence before the first word and after the last one is no pause.
        if label in silence and begin >= first and end <= last:
            # Two silence phones in a row are one pause.
            if before in silence and stretches:
                stretches[-1][1] = end
            else:
                stretches.append([begin, end])
        before = label
    if not stretches:
        return
    begin, end = max(stretches, key=lambda stretch: stretch[1] - stretch[0])
    if end - begin > options.long_pause:
        word = [label for label, start, _ in item.words if start < begin][-1:]
        yield (end - begin) / options.long_pause, Outlier(
            item.utterance, "pause", end - begin,
            f"silence at {begin:.2f} s" + "".join(f", after {label}" for label in word))


def _phones_within(item: AlignedUtterance, begin: float, end: float, silence: set[str]) -> int:
    """Count the phones whose middle lies in a word, silence left out."""
    return sum(begin <= (start + stop) / 2 < end for label, start, stop in item.phones
               if label not in silence)


def _odd_lengths(item: AlignedUtterance, lengths: list[_Length], measures: dict[str, _Measure],
                 names: tuple[str, str], options: OutlierOptions) -> Iterable[_Ranked]:
    """Compare the logs of lengths within each group; yield the worst both ways.

    Lengths vary by factors, so their logs are spread evenly.
    """
    for name, sign in zip(names, (1, -1), strict=True):
        beyond = []
        for length in lengths:
            median, spread = measures[length.group]
            z = sign * (_log(length) - median) / spread
            if z > options.z_score:
                beyond.append((z, length, math.exp(median)))
        if beyond:
            z, length, median = max(beyond, key=lambda case: case[0])
            more = f", {len(beyond) - 1} more" if len(beyond) > 1 else ""
            yield z / options.z_score, Outlier(
                item.utterance, name, length.seconds,
                f"{length.label} at {length.begin:.2f} s, {z:.1f} deviations from the median "
                f"{median:.2f} s{more}")


def _log(length: _Length) -> float:
    return math.log(max(length.seconds, _LEAST_SECONDS))


def _median_and_spread(values: Sequence[float] | np.ndarray, least: float = 0.0
                       ) -> _Measure:
    """Return the median and the robust standard deviation, at least `least`.

    Where more than half of the values are the same, the mean absolute deviation replaces the
    median one; infinite where all are and `least` is 0.
    """
    if len(values) == 0:
        return math.nan, math.inf
    median = float(np.median(values))
    distances = np.abs(np.asarray(values, np.float64) - median)
    # Most values may be equal, for instance one frame each; then the median deviation is 0.
    spread = _MEDIAN_SCALE * np.median(distances) or _MEAN_SCALE * distances.mean()
    return median, float(max(spread, least)) or math.inf

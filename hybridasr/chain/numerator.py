"""Owns the numerators of lattice-free MMI: what each utterance may be, near its alignment.

Takes the phones of utterances with their times in input frames; gives arrays from which any chunk
of outputs is scored (`chain.num_loss`). Every phone may begin and end a few input frames early or
late; the phones themselves and their order are those of the alignment. The weights are those of
the denominator graph along the same phones, so that each path of a numerator is one of the
denominator (Povey et al. 2016, sections 2.4 and 2.7; Kaldi's chain-supervision.cc).

A network that gives an output for every third frame may be fed from the first, second or third
frame on; what a phone may do is laid out for each of these shifts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hybridasr.chain.denominator import DenominatorGraph, PhoneGraph


class PhoneTimes(NamedTuple):
    """The phones of an utterance: phone i lasts from ``bounds[i]`` to ``bounds[i + 1]``."""

    phones: tuple[int, ...]
    bounds: np.ndarray  # int64 (num_phones + 1,), input frames; from 0 to all of them


@dataclass(frozen=True)
class Numerators:
    """What the utterances of a training set may be.

    Attributes
    ----------
    offsets : int64 (num_utts + 1,)
        First phone of each utterance; without phones: it cannot be trained on.
    enter_pdf, loop_pdf : int32 (num_phones,)
        Of the first output of a phone, and of every later one.
    log_weight : float64 (num_phones,)
        Of the arc of the denominator graph that leads to the phone.
    log_initial : float64 (num_phones,)
        Of a chunk that begins within the phone.
    log_initial_before : float64 (num_phones,)
        Of a chunk that begins with the phone, whose state before it is the earlier phone's.
    earliest, latest : int32 (shifts, num_phones)
        Outputs that a phone may begin with, at each shift; every choice between them that leaves
        each phone an output is a path.
    num_outputs : int32 (shifts, num_utts)
    """

    offsets: np.ndarray
    enter_pdf: np.ndarray
    loop_pdf: np.ndarray
    log_weight: np.ndarray
    log_initial: np.ndarray
    log_initial_before: np.ndarray
    earliest: np.ndarray
    latest: np.ndarray
    num_outputs: np.ndarray

    @property
    def shifts(self) -> int:
        """Input frames an output."""
        return len(self.earliest)

    @property
    def usable(self) -> np.ndarray:
        """Whether an utterance can be trained on, bool (num_utts,)."""
        return np.diff(self.offsets) > 0


def make_numerators(utterances: Iterable[PhoneTimes | None], phones: PhoneGraph,
                    graph: DenominatorGraph, subsampling: int, tolerance: int) -> Numerators:
    """Lay out the numerators of utterances, in their order.

    Parameters
    ----------
    utterances : iterable of PhoneTimes or None
        An utterance whose phones are not a path of the graph, or are more than its outputs, is
        not usable, as is None.
    graph : DenominatorGraph
        Of `phones`.
    subsampling : int
        Input frames an output.
    tolerance : int
        Input frames that a phone may begin or end earlier or later.
    """
    log_initial = np.log(graph.initial)
    offsets, parts, spans, lengths = [0], [], [], []
    for times in utterances:
        path = phones.path(times.phones) if times is not None and times.phones else None
        layout = None if path is None else [
            phone_spans(times.bounds, subsampling, shift, tolerance)
            for shift in range(subsampling)]
        if path is None or None in layout:
            offsets.append(offsets[-1])
            lengths.append([0] * subsampling)
            continue
        states = path.states
        parts.append((graph.enter_pdf[states[1:]], graph.loop_pdf[states[1:]], path.log_weights,
                      log_initial[states[1:]], log_initial[states[:-1]]))
        spans.append(np.stack([np.stack(span) for span in layout]))
        offsets.append(offsets[-1] + len(times.phones))
        lengths.append([count_outputs(int(times.bounds[-1]), subsampling, shift)
                        for shift in range(subsampling)])
    types = (np.int32, np.int32, np.float64, np.float64, np.float64)
    columns = [np.concatenate([np.zeros(0, kind), *column]).astype(kind) for kind, column
               in zip(types, zip(*parts, strict=True) if parts else [[]] * 5, strict=True)]
    both = np.concatenate([np.zeros((subsampling, 2, 0), np.int32), *spans], axis=2)
    return Numerators(np.array(offsets, np.int64), *columns, np.ascontiguousarray(both[:, 0]),
                      np.ascontiguousarray(both[:, 1]),
                      np.array(lengths, np.int32).reshape(-1, subsampling).T.copy())


def count_outputs(num_frames: int, subsampling: int, shift: int = 0) -> int:
    """Return how many outputs stand for the frames from `shift` on.

    >>> [count_outputs(7, 3, shift) for shift in range(3)]
    [3, 2, 2]
    """
    return max(0, -(-(num_frames - shift) // subsampling))


def output_bounds(bounds: np.ndarray, subsampling: int, shift: int = 0) -> np.ndarray | None:
    """Return the first output of each phone and their number, int64 (num_phones + 1,).

    Output t stands for input frame ``shift + t * subsampling``. A phone between two outputs takes
    one of a neighbour; None if there are more phones than outputs.

    >>> output_bounds(np.array([0, 4, 5, 12]), 3).tolist()
    [0, 2, 3, 4]
    """
    total = count_outputs(int(bounds[-1]), subsampling, shift)
    if total < len(bounds) - 1:
        return None
    places = np.arange(len(bounds))
    first = -((shift - bounds) // subsampling)
    first[0] = 0
    # Each one behind the one before, then none so late that the last ones find no room.
    first = np.maximum.accumulate(first - places) + places
    first[-1] = total
    return np.minimum.accumulate((first - places)[::-1])[::-1] + places


def phone_spans(bounds: np.ndarray, subsampling: int, shift: int, tolerance: int
                ) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the earliest and the latest output that each phone may begin with.

    Output t may be of a phone if its input frame is not more than `tolerance` frames before the
    phone's first and less than that behind its end, as in Kaldi. int32 (num_phones,), both; None
    if there are more phones than outputs.

    >>> spans = phone_spans(np.array([0, 30, 60]), 3, 0, 5)
    >>> [part.tolist() for part in spans]
    [[0, 9], [0, 12]]
    """
    first = output_bounds(bounds, subsampling, shift)
    if first is None:
        return None
    places, total = np.arange(len(bounds)), first[-1]
    # What `output_bounds` gives is a path in any case.
    low = np.minimum(-((shift + tolerance - bounds) // subsampling), first)
    high = np.maximum(-((shift - tolerance - bounds) // subsampling), first)
    low[0], high[0], low[-1], high[-1] = 0, 0, total, total
    earliest = np.maximum.accumulate(low - places) + places
    latest = np.minimum.accumulate((high - places)[::-1])[::-1] + places
    return earliest[:-1].astype(np.int32), latest[:-1].astype(np.int32)

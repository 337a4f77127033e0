"""Owns the sensitivity of wake words: from recordings to a threshold for each phrase.

What is chosen is how often an hour a device may wake for nothing. That is counted on speech without
the phrase, hours of it if it is to be seldom; how often the phrase is missed then, on recordings of
it, where there are any.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hybridasr.batch.driver import directory_stamp, once_a_worker
from hybridasr.corpus.audio import FULL_SCALE, load_audio
from hybridasr.corpus.command_list import Command
from hybridasr.parallel import run_blocks
from hybridasr.score.detection import rate_threshold
from hybridasr.wake.detector import WakeDetector, WakeOptions

# False accepts an hour that the table has a row for.
RATES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
# Nothing that the second stage hears is left out of the counts.
ALL_HEARD = 0.0
_BLOCK = 8  # recordings a job


@dataclass(frozen=True)
class Heard:
    """How sure of phrases a detector was in one recording.

    Attributes
    ----------
    seconds : float
        Of the recording.
    confidences : dict text -> list of float
        Of each time that the second stage took something for the phrase.
    """

    seconds: float
    confidences: dict[str, list[float]] = field(default_factory=dict)


def hear(model: Path, phrases: Sequence[Command], recordings: Sequence[Path],
         first_threshold: float, pool: Executor, desc: str = "recordings") -> Iterator[Heard]:
    """Yield what a detector hears in each recording, in their order.

    Raises
    ------
    UserError
        as `WakeDetector`, and if a recording cannot be read.
    """
    options = WakeOptions(first_threshold, ALL_HEARD)
    plain = tuple(Command(phrase.text, phrase.id) for phrase in phrases)
    blocks = [(model, directory_stamp(model), plain, options, recordings[start:start + _BLOCK])
              for start in range(0, len(recordings), _BLOCK)]
    for block in run_blocks(pool, _hear_block, blocks, desc=desc):
        yield from block


def _hear_block(model: Path, stamp: tuple, phrases: tuple[Command, ...], options: WakeOptions,
                recordings: Sequence[Path]) -> list[Heard]:
    # With the stamp, a new model in the old place is loaded again.
    detector = once_a_worker(_detector, model, stamp, phrases, options)
    results = []
    for path in recordings:
        samples = load_audio(path, detector.rate)
        confidences: dict[str, list[float]] = {}
        for event in detector.accept(samples) + detector.finish():
            confidences.setdefault(event["wake"], []).append(event["confidence"])
        results.append(Heard(len(samples) / detector.rate, confidences))
    return results


def _detector(model: Path, stamp: tuple, phrases: tuple[Command, ...], options: WakeOptions
              ) -> WakeDetector:
    del stamp
    return WakeDetector(model, phrases, options, full_scale=FULL_SCALE)


@dataclass(frozen=True)
class RateRow:
    """One line of the table: false accepts an hour that are allowed, and what follows."""

    rate: float
    threshold: float
    missed: float | None  # per cent; None without recordings of the phrase


def rate_table(background: Sequence[Heard], spoken: Sequence[Heard], phrase: str
               ) -> list[RateRow]:
    """Return a row for each of `RATES` that the background is long enough for.

    Parameters
    ----------
    background : sequence of Heard
        Recordings without the phrase.
    spoken : sequence of Heard
        Recordings with it, once each; may be empty.
    """
    hours = sum(one.seconds for one in background) / 3600
    false = [value for one in background for value in one.confidences.get(phrase, ())]
    best = np.array([max(one.confidences.get(phrase, ()), default=-1.0) for one in spoken])
    rows = []
    for rate in RATES:
        if hours * rate >= 1 - 1e-9:
            threshold = rate_threshold(false, hours, rate)
            missed = float(100 * np.mean(best < threshold)) if len(best) else None
            rows.append(RateRow(rate, threshold, missed))
    return rows

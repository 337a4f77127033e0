"""Owns how loud recordings are: which are silent from end to end, and which are cut off.

A dead microphone gives a corpus that is complete and trains to nothing; one that was set too loud
gives samples that stick to the ends of the scale.
"""

from dataclasses import dataclass, field

import numpy as np

from hybridasr.corpus.audio import BLOCK, FULL_SCALE, clipped_fraction
from hybridasr.corpus.recording import Source, open_recording

# A recording whose loudest sample is below this (16-bit range) holds nothing but rounding.
SILENT_PEAK = 2.0
# A recording with more of its samples at full scale than this is clipped.
CLIPPED_SHARE = 0.01


@dataclass
class Levels:
    """The recordings of a set that were measured, those that are silent, and those clipped."""

    count: int = 0
    silent: list[str] = field(default_factory=list)
    clipped: list[str] = field(default_factory=list)


def recording_level(source: Source) -> tuple[float, float]:
    """Return the largest magnitude (16-bit range) and the part of the samples that is clipped.

    Of the loudest channel; errors as of `open_recording`.
    """
    peak, clipped, count = 0.0, 0.0, 0
    with open_recording(source) as sound:
        for block in sound.blocks(BLOCK, dtype="float32", always_2d=True):
            loudest = block[:, int(np.abs(block).max(axis=0).argmax())] * np.float32(FULL_SCALE)
            peak = max(peak, float(np.abs(loudest).max()))
            clipped += clipped_fraction(loudest) * len(loudest)
            count += len(loudest)
    return peak, clipped / max(count, 1)


def measure_level(levels: Levels, key: str, source: Source) -> None:
    """Measure one more recording, by blocks of samples; errors as of `open_recording`."""
    peak, clipped = recording_level(source)
    levels.count += 1
    if peak < SILENT_PEAK:
        levels.silent.append(key)
    elif clipped > CLIPPED_SHARE:
        levels.clipped.append(key)

"""Owns the first alignment of a training, which no model has made yet.

Lasting quiet at either end is silence, and the frames between are spread evenly over the states.
Kaldi spreads all frames (align-equal). Then the last phone of a short word begins with the silence
after it, and in a corpus of single words it keeps it: no other word tells the two apart. Of dsp20
each eighth word ended in a phone of 0.6 seconds or more.
"""

import zlib
from dataclasses import replace

import numpy as np

from hybridasr.decode.align import equal_alignment
from hybridasr.features.online_cmvn import level_columns
from hybridasr.model.acoustic import AcousticModel
from hybridasr.train.blocks import BlockRef, read_base, read_block
from hybridasr.train.passes import PassResult, accumulate_block

# Frames are quiet up to this share of the way from the quietest to the loudest (logs of power).
QUIET_SHARE = 0.4
QUIETEST = 5  # per cent of the frames: a single one says little
# Frames that quiet must last. A stop is shorter; so is what a recording cut close to its word has.
SHORTEST = 20


def equal_block(ref: BlockRef, model: AcousticModel, seed: int) -> PassResult:
    """Align a block without a model and collect the statistics."""
    block = read_block(ref)
    alignment = np.zeros(int(block.frame_offsets[-1]), np.int32)
    failed = []
    base, weight = read_base(ref), level_columns(model.features)[0]
    for number, name in enumerate(block.utterances):
        rows = block.rows(number)
        # By the name, so that neither blocks nor jobs change what is drawn.
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        path = equal_alignment(block.words[number], model.lang, model.transitions, model.tree,
                               rows.stop - rows.start, rng, speech_part(base[rows] @ weight))
        if path is None:
            failed.append(name)
        else:
            alignment[rows] = path
    result = accumulate_block(ref, model.gmm.scorer(), model.transitions, alignment)
    return replace(result, failed=failed)


def speech_part(levels: np.ndarray) -> tuple[int, int]:
    """Return first and last + 1 frame of what is said; all, but for lasting quiet at the ends.

    Parameters
    ----------
    levels : float (num_frames,)
        Logs of power; normalised ones will do, in which louder is higher.

    >>> speech_part(np.array([0.0] * 30 + [9.0, 2.0, 8.0] + [3.0] * 10))
    (30, 43)
    """
    if len(levels) == 0:
        return 0, 0
    quietest, loudest = np.percentile(levels, QUIETEST), levels.max()
    spoken = np.flatnonzero(levels >= quietest + QUIET_SHARE * (loudest - quietest))
    begin, end = int(spoken[0]), int(spoken[-1]) + 1
    return (begin if begin >= SHORTEST else 0,
            end if len(levels) - end >= SHORTEST else len(levels))

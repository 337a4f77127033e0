"""Owns SpecAugment: stripes of time and of frequency are blotted out of training features.

Park et al., "SpecAugment: a simple data augmentation method for automatic speech recognition"
(2019), without the warping of time, on the pieces that a mini-batch is made of. Frequency stripes
are for filterbanks (fbank) alone: neighbouring cepstra are not neighbouring frequencies.
"""

from dataclasses import dataclass

import numpy as np

from hybridasr.errors import UserError
from hybridasr.options import option


@dataclass(frozen=True)
class SpecAugmentOptions:
    """How many stripes are drawn and how wide they may be."""

    freq_masks: int = option(0, "stripes of frequency that are blotted out of a piece (fbank)")
    max_freq: int = option(8, "mel bins of the widest such stripe", needs="freq_masks")
    time_masks: int = option(0, "stripes of time that are blotted out of a piece")
    max_time: int = option(8, "frames of the widest such stripe", needs="time_masks")

    def __post_init__(self):
        """Refuse negative numbers."""
        for name in ("freq_masks", "max_freq", "time_masks", "max_time"):
            if getattr(self, name) < 0:
                raise UserError(f"option {name} is {getattr(self, name)}; give 0 or more")


def spec_augment(feats: np.ndarray, options: SpecAugmentOptions, bins: int,
                 rng: np.random.Generator) -> None:
    """Set stripes at random places of every piece to 0, in place.

    Parameters
    ----------
    feats : float32 (num_pieces, num_frames, dim)
        Of mean 0, so that 0 carries no information.
    bins : int
        The first columns that are neighbouring frequencies; energy and pitch are not among them.
    rng : numpy.random.Generator
        A stripe's width is drawn evenly from 0 to the widest, then its place.
    """
    pieces, frames, dim = feats.shape
    frequencies = np.zeros((pieces, dim), bool)
    frequencies[:, :bins] = _stripes(pieces, bins, options.freq_masks, options.max_freq, rng)
    times = _stripes(pieces, frames, options.time_masks, options.max_time, rng)
    feats[np.broadcast_to(frequencies[:, None], feats.shape) | times[:, :, None]] = 0


def _stripes(pieces: int, length: int, count: int, widest: int, rng: np.random.Generator
             ) -> np.ndarray:
    """Return which of `length` places are in one of `count` stripes, bool (pieces, length)."""
    draws = rng.random((2, pieces, count))
    # Drawn from 0: sometimes no stripe at all, so that the network also sees whole pieces.
    width = np.floor(draws[0] * (min(widest, length) + 1))
    start = np.floor(draws[1] * (length - width + 1))
    place = np.arange(length)
    inside = (place >= start[..., None]) & (place < (start + width)[..., None])
    return inside.any(axis=1)

"""SpecAugment: what is blotted out, what stays, how often, and refusals."""

import numpy as np
import pytest

from hybridasr.errors import UserError
from hybridasr.features.specaugment import SpecAugmentOptions, spec_augment

FEATS = np.random.default_rng(5).normal(3.0, 2.0, (3000, 30, 23)).astype(np.float32)


def masks(options, bins=23, seed=0):
    """Return what was blotted out, bool (pieces, frames), (pieces, columns); check the rest."""
    after = FEATS.copy()
    spec_augment(after, options, bins, np.random.default_rng(seed))
    gone = after == 0
    assert np.array_equal(after[~gone], FEATS[~gone])
    rows, columns = gone.all(axis=2), gone.all(axis=1)
    assert np.array_equal(gone, rows[:, :, None] | columns[:, None])
    return rows, columns


def test_widths_and_places_are_even():
    rows, columns = masks(SpecAugmentOptions(1, 6, 1, 9))
    for found, widest in ((rows, 9), (columns, 6)):
        assert (np.diff(found.astype(int), axis=1, prepend=0) == 1).sum(1).max() == 1  # one stripe
        share = np.bincount(found.sum(1), minlength=widest + 1) / len(found)
        np.testing.assert_allclose(share, 1 / (widest + 1), rtol=0, atol=0.03)
        middle = found[:, widest:-widest].mean(0)
        np.testing.assert_allclose(middle, widest / 2 / found.shape[1], rtol=0.35)
        assert found[:, 0].any()
        assert found[:, -1].any()


def test_every_piece_has_its_own_stripes():
    rows, columns = masks(SpecAugmentOptions(2, 6, 2, 9))
    assert len(np.unique(rows, axis=0)) > 500
    assert len(np.unique(columns, axis=0)) > 500
    assert rows.sum(1).max() > 12  # two stripes


def test_columns_that_are_no_frequencies_stay():
    _, columns = masks(SpecAugmentOptions(3, 20, 0, 0), bins=10)
    assert columns[:, :10].any()
    assert not columns[:, 10:].any()


def test_seeded_off_and_wider_than_the_piece():
    options = SpecAugmentOptions(2, 5, 2, 20)
    one, same, other = (masks(options, seed=s)[0] for s in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    for off in (SpecAugmentOptions(), SpecAugmentOptions(2, 0, 2, 0)):
        rows, columns = masks(off)
        assert not rows.any()
        assert not columns.any()
    assert masks(SpecAugmentOptions(1, 500, 1, 500))[0].all(1).any()
    with pytest.raises(UserError, match="option max_time is -1"):
        SpecAugmentOptions(max_time=-1)

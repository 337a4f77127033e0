"""SpecAugment: what is blotted out, what stays, how much, and refusals."""

import numpy as np
import pytest

from hybridasr.errors import UserError
from hybridasr.features.specaugment import spec_augment

RNG = np.random.default_rng(5)
FEATS = RNG.normal(3.0, 2.0, (200, 23)).astype(np.float32)


def masks(before, after):
    """The rows and columns that are all mean; everything else must be as it was."""
    mean = before.mean(axis=0, dtype=np.float64).astype(np.float32)
    changed = after != before
    rows, columns = changed.all(axis=1), changed.all(axis=0)
    assert np.array_equal(changed, rows[:, None] | columns)
    np.testing.assert_allclose(after[changed], np.broadcast_to(mean, after.shape)[changed],
                               rtol=1e-6, atol=0)
    return rows, columns


def test_stripes_are_means_and_the_rest_is_untouched():
    before = FEATS.copy()
    seen_rows, seen_columns = 0, 0
    for seed in range(50):
        after = spec_augment(FEATS, np.random.default_rng(seed), 2, 20, 1, 6)
        assert after.dtype == np.float32
        assert not np.shares_memory(after, FEATS)
        rows, columns = masks(FEATS, after)
        assert rows.sum() <= 40
        assert columns.sum() <= 6
        assert np.count_nonzero(np.diff(columns.astype(int)) == 1) <= 1  # one stripe
        seen_rows, seen_columns = max(seen_rows, rows.sum()), max(seen_columns, columns.sum())
    assert seen_rows > 25
    assert seen_columns == 6
    assert np.array_equal(FEATS, before)


def test_widths_and_places_are_even():
    """Width 0..max each as likely; every frame far from the ends is hit equally often."""
    widths, hits = [], np.zeros(100)
    for seed in range(3000):
        rows, _ = masks(FEATS[:100], spec_augment(FEATS[:100], np.random.default_rng(seed), 1, 9))
        widths.append(rows.sum())
        hits += rows
    share = np.bincount(widths, minlength=10) / len(widths)
    np.testing.assert_allclose(share, 0.1, rtol=0, atol=0.03)
    middle = hits[10:90] / len(widths)
    np.testing.assert_allclose(middle.mean(), 4.5 / 100, rtol=0.1, atol=0)
    assert middle.min() > 0.02
    assert hits[0] > 0
    assert hits[-1] > 0


def test_short_recordings_keep_most_frames():
    for frames in (0, 1, 4, 5, 30):
        hidden = 0
        for seed in range(40):
            after = spec_augment(FEATS[:frames], np.random.default_rng(seed), 1, 20)
            assert after.shape == (frames, 23)
            hidden = max(hidden, int((after != FEATS[:frames]).any(axis=1).sum()))
        assert hidden == frames // 5


def test_seeded_and_off():
    one, same, other = (spec_augment(FEATS, np.random.default_rng(s), 2, 20, 2, 5)
                        for s in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert np.array_equal(spec_augment(FEATS, np.random.default_rng(0), 0, 20, 0, 5), FEATS)
    assert np.array_equal(spec_augment(FEATS, np.random.default_rng(0), 3, 0, 3, 0), FEATS)


def test_draws_depend_on_the_counts_only():
    left = []
    for frames in (3, 200):
        rng = np.random.default_rng(0)
        spec_augment(FEATS[:frames], rng, 2, 20, 1, 5)
        left.append(rng.random())
    assert left[0] == left[1]


@pytest.mark.parametrize(("arguments", "words"), [
    ({"time_masks": -1}, "time_masks is -1; give 0 or more"),
    ({"max_freq": -2}, "max_freq is -2"),
    ({"max_time_share": 1.5}, "max_time_share is 1.5; give 0 to 1"),
    ({"feats": np.zeros(5, np.float32)}, r"shape \(5,\); give \(frames, dim\)"),
])
def test_refusals(arguments, words):
    with pytest.raises(UserError, match=words):
        spec_augment(**{"feats": FEATS, "rng": np.random.default_rng(0)} | arguments)

"""Owns the counting of label errors while a network is trained: edit distances of integers."""

import numba
import numpy as np


def label_errors(reference: np.ndarray, hypothesis: np.ndarray) -> int:
    """Return the least number of labels to insert, delete or change.

    >>> label_errors(np.array([1, 2, 3]), np.array([1, 3, 3, 4]))
    2
    """
    return int(_distance(np.ascontiguousarray(reference, np.int64),
                         np.ascontiguousarray(hypothesis, np.int64)))


@numba.njit(cache=True, nogil=True)
def _distance(one, two):
    row = np.arange(len(two) + 1)
    for i in range(len(one)):
        corner, row[0] = row[0], i + 1
        for j in range(len(two)):
            change = corner + (one[i] != two[j])
            corner = row[j + 1]
            row[j + 1] = min(change, row[j] + 1, corner + 1)
    return row[len(two)]

"""Owns the questions that a tree may ask about a phone: found by clustering, and given.

Phones (or sets of phones that share a root) that sound alike are merged step by step; every set
that arises is a question, as is every single one.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from hybridasr.tree.stats import TreeStats, loglike

EMPTY_LOSS = 1e30  # of merging a cluster without data: nothing to compare


def phone_questions(stats: TreeStats, central: int, sets: Sequence[Sequence[int]],
                    extra: Iterable[Sequence[int]] = ()) -> list[frozenset[int]]:
    """Return the questions about phones, in a fixed order without repeats.

    Parameters
    ----------
    stats : TreeStats
    central : int
        Place of the phone itself in the windows.
    sets : sequence of phone sets
        What is clustered; phones of one set stay together.
    extra : iterable of phone sets
        Questions known beforehand (tones, manner, place in the word).
    """
    # The questions given come first, so that they win over equal ones from the clustering.
    questions = [frozenset(question) for question in extra]
    questions += cluster_sets(sets, set_sums(stats, central, sets))
    everything = frozenset(phone for phones in sets for phone in phones)
    # A question that every phone answers with yes splits nothing.
    return [q for q in dict.fromkeys(questions) if q and q != everything]


def set_sums(stats: TreeStats, central: int, sets: Sequence[Sequence[int]]) -> np.ndarray:
    """Return the sums (num_sets, 1 + 2 * dim) of each set's middle state, all contexts together.

    The middle state (Kaldi's pdf-class 1) says more about the sound of a phone than its edges.
    """
    sums = np.zeros((len(sets), stats.sums.shape[1]))
    classes = stats.keys[:, -1]
    for row, phones in enumerate(sets):
        rows = np.isin(stats.keys[:, central], list(phones))
        middle = rows & (classes == 1)
        # A phone with one state only, or never seen in its middle, is judged by what there is.
        sums[row] = stats.sums[middle if middle.any() else rows].sum(0)
    return sums


def cluster_sets(sets: Sequence[Sequence[int]], sums: np.ndarray) -> list[frozenset[int]]:
    """Return each set given, then each union in the order it arises by `agglomerate`."""
    members = [frozenset(phones) for phones in sets]
    clusters = list(members)
    for left, right, _ in agglomerate(sums):
        members[left] |= members[right]
        clusters.append(members[left])
    return clusters


def agglomerate(sums: np.ndarray, limit: float = np.inf) -> Iterator[tuple[int, int, float]]:
    """Merge the two clusters whose union loses least log likelihood, again and again.

    Parameters
    ----------
    sums : float64 (num_clusters, 1 + 2 * dim)
        Clusters without data are merged last.
    limit : float
        Stop before a loss that is not below this.

    Yields
    ------
    (cluster that grows, cluster that is merged into it, loss)
    """
    sums = np.array(sums, np.float64)
    own, empty = loglike(sums), sums[:, 0] == 0
    alive = np.ones(len(sums), bool)

    def losses(cluster: int) -> np.ndarray:
        # The loss with every partner at once: after a merge one such row is computed anew, not
        # all.
        row = own[cluster] + own - loglike(sums[cluster] + sums)
        row[empty | empty[cluster]] = EMPTY_LOSS
        row[~alive], row[cluster] = np.inf, np.inf
        return row

    loss = np.stack([losses(cluster) for cluster in range(len(sums))])
    while True:
        left, right = sorted(map(int, np.unravel_index(np.argmin(loss), loss.shape)))
        lost = float(loss[left, right])
        if not lost < limit:
            return
        sums[left] += sums[right]
        own[left], empty[left] = loglike(sums[left]), empty[left] & empty[right]
        alive[right] = False
        # The one that ended is never chosen again.
        loss[right, :] = loss[:, right] = np.inf
        loss[left, :] = loss[:, left] = losses(left)
        yield left, right, lost

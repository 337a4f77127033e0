"""Owns smoothing: counts of n-grams in, a model out that gives every word some probability.

Each method discounts the counts: it gives the n-gram h w a share of the history's mass, and leaves
the rest, free(h), to shorter histories.

Interpolated methods: P(w | h) = share(h w) + free(h) P(w | h'), down to the uniform distribution.

- Modified Kneser-Ney: Chen and Goodman, "An empirical study of smoothing techniques for language
  modeling", TR-10-98, Harvard, 1998. share = (a - D(a)) / sum of a, with three discounts an order
  D1, D2, D3+ from the counts of counts t1 to t4. In the highest order, and after <s>, a is the
  count; elsewhere it is the number of different words seen before the n-gram.
- Witten-Bell: Witten and Bell, "The zero-frequency problem", IEEE Trans. Information Theory 37(4),
  1991. share = c(h w) / (c(h) + T(h)), free = T(h) / (c(h) + T(h)), with T(h) different words
  after h.

Backing off: P(w | h) = share(h w) where h w was seen, else free(h) P(w | h') / (sum of P(v | h')
over the v not seen after h).

- Katz: "Estimation of probabilities from sparse data", IEEE Trans. ASSP 35(3), 1987. Counts up to
  5 get Good and Turing's discount.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybridasr.errors import UserError
from hybridasr.lm.counts import NgramCounts, cut_counts
from hybridasr.lm.ngram import BEGIN, NEVER, NgramModel
from hybridasr.progress import logger

SMOOTHINGS = ("auto", "kneser-ney", "witten-bell", "katz")
"""auto: Kneser-Ney where the text has the counts of counts that it needs, else Witten-Bell."""
DEFAULT_DISCOUNTS = (0.5, 1.0, 1.5)  # for counts 1, 2, and 3 or more
_KATZ_LIMIT = 5  # counts above it are trusted


@dataclass(frozen=True)
class _Shares:
    """One order: shares (num_ngrams,) and the mass (num_histories,) that each history has left."""

    shares: np.ndarray
    free: np.ndarray


def smooth_counts(counts: NgramCounts, smoothing: str = "auto",
                  cutoffs: Sequence[int] = ()) -> tuple[NgramModel, str]:
    """Make a model of counts.

    Parameters
    ----------
    counts : NgramCounts
    smoothing : one of `SMOOTHINGS`
    cutoffs : sequence of int
        One an order; n-grams that occur no more often are left out of the model, and their mass
        goes to shorter histories. Discounts are estimated before, as in KenLM.

    Returns
    -------
    model : NgramModel
    smoothing : str
        What was done; never "auto".

    Raises
    ------
    UserError
        if `smoothing` is unknown.
    """
    if smoothing not in SMOOTHINGS:
        raise UserError(f"smoothing '{smoothing}' is unknown; choose one of "
                        f"{', '.join(SMOOTHINGS)}")
    adjusted = None
    if smoothing in ("auto", "kneser-ney"):
        adjusted = [_without_begin(counts, order, values)
                    for order, values in enumerate(_continuations(counts), 1)]
        exact = all(modified_discounts(values) is not None for values in adjusted)
        if smoothing == "auto":
            smoothing = "kneser-ney" if exact else "witten-bell"
    orders = []
    for order in range(1, counts.order + 1):
        histories = counts.histories(order)
        size = len(counts.keys[order - 2]) if order > 1 else 1
        if smoothing == "kneser-ney":
            orders.append(_kneser_ney(adjusted[order - 1], histories, size, order))
        else:
            values = _without_begin(counts, order, counts.counts[order - 1])
            method = _witten_bell if smoothing == "witten-bell" else _katz
            orders.append(method(values, histories, size, order))
    if any(cutoffs):
        counts, orders = _cut(counts, orders, cutoffs)
    return _compose(counts, orders, interpolated=smoothing != "katz"), smoothing


def modified_discounts(values: np.ndarray) -> tuple[float, float, float] | None:
    """Return the discounts of counts 1, 2, and 3 or more; None if they cannot be estimated.

    With t_k n-grams of count k and Y = t1 / (t1 + 2 t2), D_k = k - (k + 1) Y t_(k+1) / t_k.

    Parameters
    ----------
    values : integer array
        Counts of n-grams; zeros do not matter.

    >>> modified_discounts(np.array([1] * 8 + [2] * 4 + [3] * 3 + [4] * 2))
    (0.5, 0.875, 1.6666666666666667)
    """
    times = np.bincount(np.minimum(values, 5), minlength=6)[1:5].tolist()
    if not all(times):
        return None
    share = times[0] / (times[0] + 2 * times[1])
    discounts = [k - (k + 1) * share * times[k] / times[k - 1] for k in (1, 2, 3)]
    # Outside of these bounds a share would be negative, or nothing be left for other words.
    if not all(0 < discount <= k for k, discount in enumerate(discounts, 1)):
        return None
    return tuple(discounts)


def _without_begin(counts: NgramCounts, order: int, values: np.ndarray) -> np.ndarray:
    """<s> is given, never predicted: it must take no share of the unigrams."""
    if order == 1:
        values = np.array(values)
        values[counts.words.index(BEGIN)] = 0
    return values


def _continuations(counts: NgramCounts) -> list[np.ndarray]:
    """Return the counts that Kneser-Ney takes, order by order."""
    suffixes = counts.suffixes()
    begins = np.arange(len(counts.words)) == counts.words.index(BEGIN)
    values = []
    for order in range(1, counts.order + 1):
        own = np.asarray(counts.counts[order - 1])
        if order > 1:
            begins = begins[counts.histories(order)]
        if order < counts.order:
            kinds = np.bincount(suffixes[order], minlength=len(own))
            # What only follows words that were left out has no kind before it, and counts once.
            own = np.where(begins, own, np.maximum(kinds, np.minimum(own, 1)))
        values.append(own)
    return values


def _kneser_ney(values: np.ndarray, histories: np.ndarray, size: int, order: int) -> _Shares:
    discounts = modified_discounts(values)
    if discounts is None:
        discounts = _plain_discount(values)
        logger.warning("the counts of counts of the %d-grams do not allow the discounts of "
                       "modified Kneser-Ney; %s are taken from counts 1, 2, 3 and more. On so "
                       "small a text --smoothing witten-bell may be better", order,
                       " ".join(f"{discount:.3g}" for discount in discounts))
    taken = np.array([0.0, *discounts])[np.minimum(values, 3)]
    totals = np.bincount(histories, values, size)
    freed = np.bincount(histories, taken, size)
    return _Shares((values - taken) / _nonzero(totals)[histories], _share(freed, totals))


def _plain_discount(values: np.ndarray) -> tuple[float, float, float]:
    """Return one discount for all counts, as in the unmodified method, or the usual three."""
    ones, twos = np.count_nonzero(values == 1), np.count_nonzero(values == 2)
    return (ones / (ones + 2 * twos),) * 3 if ones and twos else DEFAULT_DISCOUNTS


def _witten_bell(values: np.ndarray, histories: np.ndarray, size: int, order: int) -> _Shares:
    kinds = np.bincount(histories, values > 0, size)
    totals = np.bincount(histories, values, size) + kinds
    return _Shares(values / _nonzero(totals)[histories], _share(kinds, totals))


def _katz(values: np.ndarray, histories: np.ndarray, size: int, order: int) -> _Shares:
    factors = turing_factors(values)
    if factors is None:
        logger.warning("the counts of counts of the %d-grams allow no discount of Good and Turing; "
                       "0.5 is taken from each count instead", order)
        left = np.maximum(values - 0.5, 0)
    else:
        left = values * factors[np.minimum(values, len(factors) - 1)]
    totals = np.bincount(histories, values, size).astype(float)
    freed = totals - np.bincount(histories, left, size)
    # A history after which all words are frequent would leave nothing for others: as in SRILM,
    # it is then taken to have been seen once more.
    full = (totals > 0) & (freed < 1e-9 * totals)
    freed, totals = np.where(full, 1.0, freed), totals + full
    return _Shares(left / _nonzero(totals)[histories], _share(freed, totals))


def turing_factors(values: np.ndarray) -> np.ndarray | None:
    """Return what Katz multiplies counts by, for counts 0, 1, ...; the last is for all beyond.

    Counts up to k = 5 are discounted, or up to a lower k where the counts of counts allow no
    more; None if they allow none.
    """
    times = np.bincount(np.minimum(values, _KATZ_LIMIT + 2),
                        minlength=_KATZ_LIMIT + 3).astype(float)
    for limit in range(_KATZ_LIMIT, 0, -1):
        if not times[1:limit + 2].all():
            continue
        ranks = np.arange(1, limit + 1)
        common = (limit + 1) * times[limit + 1] / times[1]
        turing = (ranks + 1) * times[ranks + 1] / (ranks * times[ranks])
        if common >= 1:
            continue
        factors = (turing - common) / (1 - common)
        if np.all((factors > 0) & (factors < 1)):
            return np.array([0.0, *factors, 1.0])
    return None


def _nonzero(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, 1)


def _share(part: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Return parts of totals; a history that nothing follows leaves all."""
    return np.where(totals > 0, part / _nonzero(totals), 1.0)


def _cut(counts: NgramCounts, orders: list[_Shares],
         cutoffs: Sequence[int]) -> tuple[NgramCounts, list[_Shares]]:
    """Drop rare n-grams; their shares become free, for their histories."""
    cut, kept_rows = [orders[0]], np.arange(len(counts.words))
    for order in range(2, counts.order + 1):
        keep = counts.counts[order - 1] > cutoffs[order - 1]
        one, histories = orders[order - 1], counts.histories(order)
        free = one.free + np.bincount(histories[~keep], one.shares[~keep], len(one.free))
        cut.append(_Shares(one.shares[keep], free[kept_rows]))
        kept_rows = np.flatnonzero(keep)
    return cut_counts(counts, cutoffs), cut


def _compose(counts: NgramCounts, orders: list[_Shares], interpolated: bool) -> NgramModel:
    """Put the orders together, from the unigrams up."""
    begin = counts.words.index(BEGIN)
    probs = [_unigrams(counts, orders[0], begin, interpolated)]
    backoffs = []
    suffixes = counts.suffixes()
    for order in range(2, counts.order + 1):
        one, histories = orders[order - 1], counts.histories(order)
        lower = probs[-1][suffixes[order - 1]]
        if interpolated:
            backoffs.append(one.free)
            probs.append(one.shares + one.free[histories] * lower)
        else:
            shares, weights = back_off(one.shares, one.free, histories, lower)
            backoffs.append(weights)
            probs.append(shares)
    with np.errstate(divide="ignore"):
        # So small that float32 and ARPA files have no logarithm for it: it cannot occur.
        logs = [np.maximum(np.log10(values), NEVER).astype(np.float32)
                for values in (*probs, *backoffs)]
    return NgramModel(counts.words, tuple(map(np.asarray, counts.keys)),
                      tuple(logs[:counts.order]), tuple(logs[counts.order:]))


def back_off(shares: np.ndarray, free: np.ndarray, histories: np.ndarray,
             lower: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and backoff weights with which each history sums to one.

    Parameters
    ----------
    shares : float64 array (num_ngrams,)
        Probabilities of n-grams after their histories.
    free : float64 array (num_histories,)
        What is left of the mass of each history.
    histories : integer array (num_ngrams,)
        Row of the history of each n-gram.
    lower : float64 array (num_ngrams,)
        P(w | h') of each n-gram h w.

    Returns
    -------
    shares : float64 array (num_ngrams,)
        As given, but where all words are listed after a history: there they sum to one.
    weights : float64 array (num_histories,)
    """
    unseen = 1 - np.bincount(histories, lower, len(free))
    # All words are listed: what is left has nowhere to go.
    full = unseen < 1e-7
    sums = np.bincount(histories, shares, len(free))
    scale = np.where(full & (sums > 0), 1 / _nonzero(sums), 1.0)
    return shares * scale[histories], np.where(full, 1.0, free / np.where(full, 1.0, unseen))


def _unigrams(counts: NgramCounts, one: _Shares, begin: int, interpolated: bool) -> np.ndarray:
    share, free = one.shares, float(one.free[0])
    predicted = np.arange(len(share)) != begin
    # Without interpolation, what is free belongs to words that the text lacks, if there are any.
    takers = predicted & (share == 0)
    if interpolated or not takers.any():
        takers = predicted
    probs = share + np.where(takers, free / np.count_nonzero(takers), 0.0)
    probs[begin] = 0.0
    return probs

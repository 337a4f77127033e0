"""Owns the pruning of n-gram models by relative entropy.

Stolcke, "Entropy-based pruning of backoff language models", DARPA Broadcast News Workshop, 1998:
an n-gram h w goes if without it, and with the backoff weight of h made anew, the perplexity of the
model itself grows by less than a threshold. N-grams that are the history of a kept one stay.
"""

import numpy as np

from hybridasr.errors import UserError
from hybridasr.lm.ngram import BEGIN, END, NEVER, NgramModel
from hybridasr.lm.smoothing import back_off


def prune_ngram(model: NgramModel, threshold: float) -> NgramModel:
    """Return a smaller model that says nearly the same.

    Parameters
    ----------
    model : NgramModel
    threshold : float
        Relative growth of the perplexity that one n-gram must be worth, e.g. 1e-8. With 0 only
        n-grams go that change nothing.

    Raises
    ------
    UserError
        if the threshold is negative or no number.
    """
    if not 0 <= threshold < np.inf:
        raise UserError(f"threshold {threshold:g}; give a number of 0 or more, e.g. 1e-8")
    logs = _history_log_probs(model)
    keep = [np.ones(count, bool) for count in model.num_ngrams]
    for order in range(model.order, 1, -1):
        leaf = np.ones(model.num_ngrams[order - 1], bool)
        if order < model.order:
            leaf[model.histories(order + 1)[keep[order]]] = False
        keep[order - 1] = ~leaf | (np.expm1(_entropies(model, order, logs)) > threshold)
    return normalize_backoffs(_select(model, keep))


def normalize_backoffs(model: NgramModel) -> NgramModel:
    """Return the model with the backoff weights with which each history sums to one."""
    probs = [np.array(values) for values in model.log10_probs]
    backoffs = [np.array(values) for values in model.log10_backoffs]
    renewed = NgramModel(model.words, model.keys, tuple(probs), tuple(backoffs))
    for order in range(2, model.order + 1):
        # Shorter histories are ready by now, so this is P(w | h') of the new model.
        lower = _lower_probs(renewed, order)
        histories, shares = model.histories(order), 10.0 ** probs[order - 1].astype(np.float64)
        free = 1 - np.bincount(histories, shares, model.num_ngrams[order - 2])
        shares, weights = back_off(shares, np.maximum(free, 0), histories, lower)
        for logs, values in ((probs[order - 1], shares), (backoffs[order - 2], weights)):
            with np.errstate(divide="ignore"):
                logs[:] = np.maximum(np.log10(values), NEVER)
    return renewed


def _lower_probs(model: NgramModel, order: int) -> np.ndarray:
    """Return P(w | h') of each n-gram h w of one length."""
    return 10.0 ** model.ngram_log10_probs(model.ngram_ids(order)[:, 1:])


def _history_log_probs(model: NgramModel) -> list[np.ndarray]:
    """Return the natural log of the probability of each n-gram as the begin of a text."""
    logs = [np.log(10) * model.log10_probs[0].astype(np.float64)]
    if BEGIN in model.ids:  # as often as sentences end
        logs[0][model.ids[BEGIN]] = logs[0][model.ids[END]]
    for order in range(2, model.order):
        own = np.log(10) * model.log10_probs[order - 1]
        logs.append(logs[-1][model.histories(order)] + own)
    return logs


def _entropies(model: NgramModel, order: int, logs: list[np.ndarray]) -> np.ndarray:
    """Return the relative entropy, in nats, that the loss of each n-gram of one length costs."""
    histories = model.histories(order)
    log_prob = np.log(10) * model.log10_probs[order - 1].astype(np.float64)
    log_backoff = np.log(10) * model.log10_backoffs[order - 2].astype(np.float64)[histories]
    prob, lower = np.exp(log_prob), _lower_probs(model, order)
    size = model.num_ngrams[order - 2]
    free = np.maximum(1 - np.bincount(histories, prob, size), 0)[histories]
    unseen = np.maximum(1 - np.bincount(histories, lower, size), 0)[histories]
    # The backoff weight without this n-gram: its mass is free, and its word unseen.
    with np.errstate(divide="ignore", invalid="ignore"):
        new_log_backoff = np.log(free + prob) - np.log(unseen + lower)
        change = (prob * (np.log(lower) + new_log_backoff - log_prob)
                  + free * (new_log_backoff - log_backoff))
    # What the shorter history holds impossible must stay.
    return np.where(lower > 0, -np.exp(logs[order - 2][histories]) * change, np.inf)


def _select(model: NgramModel, keep: list[np.ndarray]) -> NgramModel:
    """Return a model of some of the n-grams; with an n-gram its history must be kept."""
    keys, rows = [], np.zeros(1, np.int64)
    for order in range(1, model.order + 1):
        kept = np.flatnonzero(keep[order - 1])
        keys.append(rows[model.histories(order)[kept]] * len(model.words)
                    + model.last_words(order)[kept])
        rows = np.full(model.num_ngrams[order - 1], -1)
        rows[kept] = np.arange(len(kept))
    pairs = list(zip(model.log10_probs, keep, strict=True))
    backoffs = list(zip(model.log10_backoffs, keep[:-1], strict=True))
    return NgramModel(model.words, tuple(keys), tuple(values[kept] for values, kept in pairs),
                      tuple(values[kept] for values, kept in backoffs))

"""Owns the linear interpolation of n-gram models into one backoff model.

    P(w | h) = sum over the models of weight * P_model(w | h)

holds for every n-gram that one of the models lists; the backoff weights are made anew, as SRILM
does it. Weights come from held-out text by expectation maximisation: Jelinek and Mercer,
"Interpolated estimation of Markov source parameters from sparse data", 1980. A word that a model
lacks has probability 0 there, even if the model has <UNK>: only so the sum stays one.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from hybridasr.errors import NotEnoughData, UserError
from hybridasr.lm.ngram import NEVER, NgramModel, find_keys
from hybridasr.lm.perplexity import TextModel, TextTokens
from hybridasr.lm.prune_ngram import normalize_backoffs
from hybridasr.lm.token_store import WordIds

_MOST_ROUNDS, _PRECISION = 1000, 1e-7


def interpolate_ngrams(models: Sequence[NgramModel], weights: Sequence[float]) -> NgramModel:
    """Return the mixture of models as one model.

    Parameters
    ----------
    models : sequence of NgramModel
        Of any orders and vocabularies; the result has the longest order and all words.
    weights : sequence of float
        One a model, positive or 0; they are scaled to sum to one.

    Raises
    ------
    UserError
        if the weights do not fit.
    """
    shares = np.asarray(weights, float)
    if (len(shares) != len(models) or not len(models) or not np.isfinite(shares).all()
            or (shares < 0).any() or not shares.sum() > 0):
        raise UserError(f"weights {' '.join(f'{weight:g}' for weight in weights)} for "
                        f"{len(models)} models; give one each, none negative, not all 0")
    shares = shares / shares.sum()
    words = sorted(set().union(*(model.words for model in models)))
    numbers = {word: number for number, word in enumerate(words)}
    new_ids = [np.array([numbers[word] for word in model.words]) for model in models]
    old_ids = [np.array([model.ids.get(word, -1) for word in words]) for model in models]
    order = max(model.order for model in models)
    keys, probs, backoffs = [np.arange(len(words))], [], []
    for length in range(1, order + 1):
        if length > 1:
            parts = []
            for model, ids in zip(models, new_ids, strict=True):
                if length <= model.order:
                    ngrams = ids[model.ngram_ids(length)]
                    parts.append(_rows(keys, ngrams[:, :-1]) * len(words) + ngrams[:, -1])
            keys.append(np.unique(np.concatenate(parts)))
        listed = NgramModel(tuple(words), tuple(keys), (), ()).ngram_ids(length)
        mixed = np.zeros(len(listed))
        for model, ids, share in zip(models, old_ids, shares, strict=True):
            mixed += share * 10.0 ** model.ngram_log10_probs(ids[listed[:, -model.order:]])
        with np.errstate(divide="ignore"):
            probs.append(np.maximum(np.log10(mixed), NEVER).astype(np.float32))
        backoffs.append(np.zeros(len(listed), np.float32))
    return normalize_backoffs(NgramModel(tuple(words), tuple(keys), tuple(probs),
                                         tuple(backoffs[:-1])))


def estimate_weights(models: Sequence[TextModel], blocks: Iterable[np.ndarray],
                     ids: WordIds) -> tuple[np.ndarray, float]:
    """Find the weights with which the mixture gives a text the highest probability.

    Parameters
    ----------
    models : sequence of TextModel
    blocks : iterable of int32 arrays
        Tokens of the held-out text, as from `file_tokens`.
    ids : WordIds
        Of the tokens.

    Returns
    -------
    weights : float64 array (num_models,)
    perplexity : float
        Of the mixture on the text, without words that all models lack.

    Raises
    ------
    NotEnoughData
        if the text has no word that a model knows.
    """
    parts = []
    for block in blocks:
        columns = []
        for model in models:
            text = TextTokens.of_block(block, ids, model)
            scores = model.token_log10_probs(np.where(text.oovs, -1, text.tokens), text.begins)
            columns.append(10.0 ** scores[~text.begins])
        parts.append(np.stack(columns, axis=1))
    probs = np.concatenate(parts) if parts else np.empty((0, len(models)))
    probs = probs[probs.sum(axis=1) > 0]
    if not len(probs):
        raise NotEnoughData("the held-out text has no word that a model knows; give other text")
    weights = np.full(len(models), 1 / len(models))
    for _ in range(_MOST_ROUNDS):
        parts_of = probs * weights
        new = (parts_of / parts_of.sum(axis=1, keepdims=True)).mean(axis=0)
        change, weights = np.abs(new - weights).max(), new
        if change < _PRECISION:
            break
    return weights, float(np.exp(-np.log(probs @ weights).mean()))


def _rows(keys: list[np.ndarray], ngrams: np.ndarray) -> np.ndarray:
    """Return the rows of n-grams that are all listed."""
    rows = ngrams[:, 0]
    for place in range(1, ngrams.shape[1]):
        rows = find_keys(keys[place], rows * len(keys[0]) + ngrams[:, place])
    return rows

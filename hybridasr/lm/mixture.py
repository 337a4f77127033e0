"""Owns language models of several kinds as one that scores text, by their weighted sum.

    P(w | h) = sum over the models of weight * P_model(w | h)

Unlike `interpolate`, which makes one n-gram model of several, this asks each model for each word,
so that a model may be of any kind. A word that a model lacks has probability 0 there.
"""

from collections.abc import Sequence

import numpy as np

from hybridasr.lexicon.lexicon import UNKNOWN_WORD
from hybridasr.lm.ngram import BEGIN
from hybridasr.lm.perplexity import TextModel


class MixtureModel:
    """A `TextModel` of several.

    Parameters
    ----------
    models : sequence of TextModel
    weights : sequence of float
        One a model, none negative, their sum 1.
    """

    def __init__(self, models: Sequence[TextModel], weights: Sequence[float]):
        words = sorted(set().union(*(model.ids for model in models)))
        self.ids = {word: number for number, word in enumerate(words)}
        self.unknown = self.ids.get(UNKNOWN_WORD, -1)
        self._parts = [(model, weight, np.array([model.ids.get(word, -1) for word in [*words, ""]]))
                       for model, weight in zip(models, weights, strict=True)]

    def token_log10_probs(self, tokens: np.ndarray, begins: np.ndarray) -> np.ndarray:
        """See `TextModel.token_log10_probs`."""
        total = np.zeros(len(tokens))
        for model, weight, ids in self._parts:
            own = ids[tokens]  # -1, a word that all lack, is the last entry
            own[begins] = model.ids.get(BEGIN, -1)
            total += weight * 10.0 ** model.token_log10_probs(own, begins)
        with np.errstate(divide="ignore"):
            return np.where(begins, 0.0, np.log10(total))

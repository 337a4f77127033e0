"""Owns the search for the labels that a CTC network says: best path, and prefix beam search.

The best path takes the likeliest class of every frame. The likeliest labels may have another path:
the prefix beam search sums over the paths of each beginning, and may weigh it with an n-gram of
labels (Graves and Jaitly 2014; Hannun, Maas, Jurafsky and Ng 2014). It is plain Python: of a
trained network few labels are likely in a frame.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybridasr.ctc.ctc_loss import BLANK
from hybridasr.errors import UserError
from hybridasr.lm.ngram import BEGIN, END, NgramModel
from hybridasr.options import option

Labels = tuple[int, ...]
NEVER = -math.inf


@dataclass(frozen=True)
class PrefixOptions:
    """How the prefix beam search goes."""

    label_beam: int = option(0, "beginnings of label sequences that live in a frame; 0: the best "
                                "path alone")
    min_prob: float = option(1e-3, "labels that are less likely in a frame are passed over")
    lm_weight: float = option(0.5, "factor on the log probabilities of the n-gram of labels")
    label_bonus: float = option(0.0, "added to the score of a sequence for each label (nats)")

    def __post_init__(self):
        if self.label_beam < 0:
            raise UserError(f"--label-beam {self.label_beam}; give 0 or more, e.g. 16")
        if not 0 <= self.min_prob < 1:
            raise UserError(f"--min-prob {self.min_prob:g}; give a number from 0 to below 1")
        if not 0 <= self.lm_weight < math.inf or not math.isfinite(self.label_bonus):
            raise UserError(f"--lm-weight {self.lm_weight:g}, --label-bonus {self.label_bonus:g}; "
                            "give numbers, the weight from 0")


def greedy_path(log_probs: np.ndarray) -> Labels:
    """Return the labels of the likeliest path of log posteriors (num_frames, classes).

    >>> greedy_path(np.log([[.6, .4], [.2, .8], [.3, .7], [.9, .1], [.1, .9]]))
    (1, 1)
    """
    path = log_probs.argmax(axis=1)
    begins = np.concatenate([[True], path[1:] != path[:-1]])[:len(path)]
    return tuple(path[begins & (path != BLANK)].tolist())


class LabelNgram:
    """An n-gram model of labels: log probabilities of all labels after a history.

    Parameters
    ----------
    names : sequence of str
        Of the classes; the blank's, the first, is passed over.

    Raises
    ------
    UserError
        if the model has none of the labels.
    """

    def __init__(self, model: NgramModel, names: Sequence[str]):
        self._model = model
        # <UNK> must not stand for a label: those that the model lacks get its floor.
        self._ids = np.array([model.ids.get(name, -1) for name in names[1:]] + [model.ids[END]])
        if np.all(self._ids[:-1] < 0):
            raise UserError(f"the n-gram model has none of the labels ({names[1]} ...); make one "
                            "of texts in labels with 'hybridasr train-lm'")
        self._cache: dict[Labels, np.ndarray] = {}

    def log_probs(self, labels: Labels) -> np.ndarray:
        """Return ln P after these labels of each label from 1 on, and of the end: float64."""
        span = self._model.order - 1
        history = labels[len(labels) - span:] if len(labels) >= span else labels
        key = history if len(labels) >= span else (-1, *history)
        if key not in self._cache:
            begin = self._model.ids.get(BEGIN, -1)
            before = [begin] * (len(key) > len(history)) + [int(self._ids[one - 1])
                                                            for one in history]
            before = before[len(before) - span:] if span else []
            ngrams = np.array([[*before, one] for one in self._ids], np.int64)
            scores = self._model.ngram_log10_probs(ngrams) * math.log(10)
            self._cache[key] = np.maximum(scores, -30.0)
        return self._cache[key]


@dataclass
class _Beginning:
    """Log probability of a sequence's paths that end in a blank, in its last label; of its LM."""

    blank: float = NEVER
    label: float = NEVER
    lm: float = 0.0

    @property
    def total(self) -> float:
        return _add(self.blank, self.label)


def prefix_search(log_probs: np.ndarray, options: PrefixOptions, lm: LabelNgram | None = None
                  ) -> list[tuple[Labels, float]]:
    """Return the best sequences of labels with their scores, the best first.

    Parameters
    ----------
    log_probs : float (num_frames, classes)

    Returns
    -------
    list of (labels, score)
        A score is ln P(labels) + lm_weight ln P_lm(labels, end) + label_bonus per label.
    """
    beam = max(1, options.label_beam)
    least = math.log(options.min_prob) if options.min_prob > 0 else NEVER
    living = {(): _Beginning(blank=0.0)}

    def score(item: tuple[Labels, _Beginning]) -> float:
        return item[1].total + item[1].lm + options.label_bonus * len(item[0])

    for row in log_probs.tolist():
        likely = [label for label in range(1, len(row)) if row[label] > least]
        after: dict[Labels, _Beginning] = {}
        for labels, now in living.items():
            total, last = now.total, labels[-1] if labels else BLANK
            same = after.setdefault(labels, _Beginning(lm=now.lm))
            same.blank = _add(same.blank, total + row[BLANK])
            if last != BLANK:
                same.label = _add(same.label, now.label + row[last])
            for label in likely:
                # A repeated label is a new one only behind a blank.
                way = (now.blank if label == last else total) + row[label]
                if way == NEVER:
                    continue
                longer = (*labels, label)
                if longer not in after:
                    more = options.lm_weight * float(lm.log_probs(labels)[label - 1]) if lm else 0.0
                    after[longer] = _Beginning(lm=now.lm + more)
                after[longer].label = _add(after[longer].label, way)
        # Of equal scores the smaller labels, so that the result hangs on nothing else.
        best = sorted(after.items(), key=lambda item: (-score(item), item[0]))[:beam]
        living = dict(best)
    if lm:
        for labels, now in living.items():
            now.lm += options.lm_weight * float(lm.log_probs(labels)[-1])
    return sorted(((labels, score((labels, now))) for labels, now in living.items()),
                  key=lambda item: (-item[1], item[0]))


def _add(one: float, two: float) -> float:
    if one < two:
        one, two = two, one
    return one if two == NEVER else one + math.log1p(math.exp(two - one))

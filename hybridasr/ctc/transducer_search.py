"""Owns the search for the labels that a transducer writes: greedy, and with a beam.

The beam goes frame by frame: in a frame each beginning writes a few labels or none, and then the
blank takes it on. Ways to the same labels are summed (Graves 2012, without its prefix sums).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybridasr.ctc.ctc_loss import BLANK
from hybridasr.ctc.transducer import Transducer
from hybridasr.nnet.loss import log_softmax

Labels = tuple[int, ...]
MOST_LABELS = 3  # of a frame
FEWEST_NATS = 6.0  # a label this much less likely than the best class of its node is not tried


def greedy_labels(model: Transducer, hidden: np.ndarray) -> Labels:
    """Return the labels that are likeliest one by one.

    Parameters
    ----------
    hidden : float32 (time, encoder_dim)
        Of the encoder, all frames.
    """
    written: list[int] = []
    so_far, state = model.advance(BLANK, None)
    for frame in model.frames(hidden):
        for _ in range(MOST_LABELS):
            label = int(model.joint(frame, so_far).argmax())
            if label == BLANK:
                break
            written.append(label)
            so_far, state = model.advance(label, state)
    return tuple(written)


@dataclass
class _Beginning:
    """Log probability of the ways to some labels; what the network over labels makes of them."""

    score: float
    so_far: np.ndarray
    state: Any


def beam_labels(model: Transducer, hidden: np.ndarray, beam: int = 8
                ) -> list[tuple[Labels, float]]:
    """Return the best sequences of labels with their log probabilities, the best first."""
    living = {(): _Beginning(0.0, *model.advance(BLANK, None))}
    for frame in model.frames(hidden):
        done: dict[Labels, _Beginning] = {}
        writing = living
        for step in range(MOST_LABELS + 1):
            longer: dict[Labels, _Beginning] = {}
            # All beginnings of a step at once: one product.
            logits = model.joint(frame, np.stack([one.so_far for one in writing.values()]))
            for (labels, one), row in zip(writing.items(), log_softmax(logits), strict=True):
                _add(done, labels, one.score + float(row[BLANK]), one)
                if step < MOST_LABELS:
                    for label in np.flatnonzero(row > row.max() - FEWEST_NATS).tolist():
                        if label != BLANK:
                            _add(longer, (*labels, label), one.score + float(row[label]), one)
            writing = _best(longer, beam)
            if not writing:
                break
            # What cannot be among the best of the frame is not worth a step of the memory.
            worst = min(one.score for one in _best(done, beam).values()) if len(done) >= beam \
                else -math.inf
            writing = {labels: _Beginning(one.score, *model.advance(labels[-1], one.state))
                       for labels, one in writing.items() if one.score > worst}
            if not writing:
                break
        living = _best(done, beam)
    return [(labels, one.score) for labels, one in living.items()]


def _add(beginnings: dict[Labels, _Beginning], labels: Labels, score: float, one: _Beginning
         ) -> None:
    """Add a way to some labels; equal labels have equal states, whichever way led there."""
    other = beginnings.get(labels)
    total = score if other is None else float(np.logaddexp(other.score, score))
    beginnings[labels] = _Beginning(total, one.so_far, one.state)


def _best(beginnings: dict[Labels, _Beginning], beam: int) -> dict[Labels, _Beginning]:
    ranked = sorted(beginnings.items(), key=lambda item: (-item[1].score, item[0]))
    return dict(ranked[:beam])

"""Best path and prefix beam search against the enumeration of all paths."""

import itertools
import math

import numpy as np
import pytest

from hybridasr.ctc.label_search import LabelNgram, PrefixOptions, greedy_path, prefix_search
from hybridasr.errors import UserError
from hybridasr.lm.estimate import estimate_ngram

ALL = PrefixOptions(label_beam=10**6, min_prob=0.0)
NAMES = ["<blank>", "d", "t"]


def said(path):
    return tuple(key for key, _ in itertools.groupby(path) if key != 0)


def log_posteriors(rng, frames=5, classes=3, sharpness=1.0):
    logits = sharpness * rng.normal(size=(frames, classes))
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def path_sums(log_probs):
    sums = {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        score = sum(log_probs[t, k] for t, k in enumerate(path))
        sums[said(path)] = np.logaddexp(sums.get(said(path), -np.inf), score)
    return sums


def test_without_pruning_every_sequence_has_its_probability():
    log_probs = log_posteriors(np.random.default_rng(1))
    sums, found = path_sums(log_probs), dict(prefix_search(log_probs, ALL))
    assert set(found) == set(sums)
    for labels, score in found.items():
        assert score == pytest.approx(sums[labels], abs=1e-9)


def test_the_likeliest_labels_are_not_always_those_of_the_best_path():
    log_probs = np.log(np.array([[0.55, 0.45], [0.55, 0.45]]))
    assert greedy_path(log_probs) == ()
    assert prefix_search(log_probs, PrefixOptions(label_beam=4))[0][0] == (1,)


def test_a_narrow_beam_of_one_frame_at_a_time_finds_a_clear_sequence():
    log_probs = log_posteriors(np.random.default_rng(2), 40, 6, sharpness=8.0)
    best = prefix_search(log_probs, PrefixOptions(label_beam=8))[0]
    wide = prefix_search(log_probs, PrefixOptions(label_beam=200, min_prob=1e-6))[0]
    assert best[0] == wide[0]
    assert best[1] <= wide[1] + 1e-9


def test_an_ngram_is_weighed_as_its_own_probabilities_say():
    model = estimate_ngram([["d", "t"], ["d", "t", "d"], ["t"], ["d", "d"]], order=2,
                           smoothing="witten-bell")
    lm, log_probs = LabelNgram(model, NAMES), log_posteriors(np.random.default_rng(3))
    found = dict(prefix_search(log_probs, PrefixOptions(label_beam=10**6, min_prob=0.0,
                                                        lm_weight=0.7, label_bonus=0.3), lm))
    for labels, total in path_sums(log_probs).items():
        words = ["<s>", *(NAMES[label] for label in labels), "</s>"]
        ids = model.word_ids(words)
        lm_score = sum(model.ngram_log10_probs(ids[None, place - 1:place + 1])[0]
                       for place in range(1, len(ids))) * math.log(10)
        assert found[labels] == pytest.approx(total + 0.7 * lm_score + 0.3 * len(labels), abs=1e-5)


def test_an_ngram_turns_the_answer():
    log_probs = np.log(np.array([[0.1, 0.46, 0.44]]))
    assert prefix_search(log_probs, PrefixOptions(label_beam=4))[0][0] == (1,)
    lm = LabelNgram(estimate_ngram([["t"]] * 9 + [["d"]], order=1, smoothing="witten-bell"), NAMES)
    assert prefix_search(log_probs, PrefixOptions(label_beam=4), lm)[0][0] == (2,)


def test_an_ngram_of_other_labels_is_refused():
    model = estimate_ngram([["x", "y"]], order=1, smoothing="witten-bell")
    with pytest.raises(UserError, match="none of the labels"):
        LabelNgram(model, NAMES)


def test_no_frames_say_nothing():
    empty = np.zeros((0, 3))
    assert greedy_path(empty) == ()
    assert prefix_search(empty, ALL)[0][0] == ()


@pytest.mark.parametrize("values", [{"label_beam": -1}, {"min_prob": 1.0}, {"lm_weight": -1.0}])
def test_options_out_of_range_are_refused(values):
    with pytest.raises(UserError, match="give"):
        PrefixOptions(**values)

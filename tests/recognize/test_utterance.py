"""Frames that wait for the network count as silence where they are as quiet as the silence."""

from types import SimpleNamespace

import numpy as np
import pytest

from hybridasr.recognize.utterance import LEAST_SILENCE, SpokenUtterance


def pending(levels, decoded, silence):
    """Silence at the end of what is decoded, and how much of the rest goes on with it."""
    utterance = SpokenUtterance.__new__(SpokenUtterance)
    utterance._levels = np.split(np.asarray(levels, float), [7, 20, 21])
    utterance._pass = SimpleNamespace(frames=decoded)
    return utterance._pending_silence(silence)


WORD, QUIET = [9.0] * 30, [1.0, 1.3] * 20


@pytest.mark.parametrize(("levels", "count"), [
    (WORD + QUIET, 20),  # as quiet
    (WORD + QUIET[:25] + [1.9] + QUIET[26:], 5),  # up to the first that is louder
    (WORD + [8.0] * 5 + QUIET[5:], 20),  # a word that dies away makes nothing quiet
    (WORD + QUIET[:20] + [8.0] * 20, 0)])
def test_as_quiet_as_the_silence_before(levels, count):
    assert pending(levels, 50, 20) == count


def test_too_little_silence_says_nothing():
    assert pending(WORD + QUIET, 50, LEAST_SILENCE - 1) == 0
    assert pending(WORD + QUIET, 70, 40) == 0  # nothing waits

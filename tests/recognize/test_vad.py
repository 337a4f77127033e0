"""Voice activity: probabilities to segments, against segments found by eye."""

import numpy as np
import pytest

from hybridasr.errors import UserError
from hybridasr.recognize.vad import Speech, VadOptions, speech_segments

PLAIN = VadOptions(smoothing=0, min_speech=0, min_silence=0, padding=0)


def frames(text):
    """Probabilities from a drawing: # speech, . silence, + in between."""
    return np.array([{"#": 1.0, ".": 0.0, "+": 0.4}[c] for c in text])


def spans(text, options):
    return [(round(s.start / 0.01), round(s.end / 0.01))
            for s in speech_segments(frames(text), 0.01, options)]


def test_segments_of_a_drawing():
    assert spans("..###..##.", PLAIN) == [(2, 5), (7, 9)]
    assert spans("....", PLAIN) == []
    assert spans("###", PLAIN) == [(0, 3)]
    assert spans("", PLAIN) == []
    # In between goes on what was before.
    assert spans("++##++..++", PLAIN) == [(2, 6)]


def test_short_pauses_are_filled_and_short_speech_dropped():
    options = VadOptions(smoothing=0, min_speech=0.03, min_silence=0.03, padding=0)
    assert spans("..##..##....#.....####", options) == [(2, 8), (18, 22)]


def test_padding_stays_inside_and_apart():
    options = VadOptions(smoothing=0, min_speech=0, min_silence=0.01, padding=0.03)
    assert spans(".##...##.", options) == [(0, 6), (6, 9)]


def test_smoothing_outvotes_a_single_frame():
    options = VadOptions(smoothing=0.03, min_speech=0, min_silence=0, padding=0, offset=0.5)
    assert spans("....#....####.####", options) == [(9, 18)]


def test_probability_is_the_average():
    assert speech_segments(np.array([0.0, 0.6, 0.8, 0.0]), 0.01, PLAIN) == [
        Speech(0.01, 0.03, pytest.approx(0.7))]


def test_options_that_cannot_be():
    with pytest.raises(UserError, match="offset at most the onset"):
        VadOptions(onset=0.3)
    with pytest.raises(UserError, match="padding is -1"):
        VadOptions(padding=-1)

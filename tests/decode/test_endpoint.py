"""The rules of the end of speech: Kaldi's table, one by one, and the modes."""

import numpy as np
import pytest

from hybridasr.decode.endpoint import EndpointOptions, EndpointRule, SpeechRule
from hybridasr.decode.search import Ending
from hybridasr.errors import UserError

SHIFT = 0.01


def ended(frames, silence, relative=0.0, quiet=0, options=None):
    options = options or EndpointOptions()
    return options.rule(Ending(frames, silence, 7.0, 7.0 + relative), quiet, SHIFT)


@pytest.mark.parametrize(("frames", "silence", "relative", "rule"), [
    (499, 499, 0.0, None), (500, 500, 0.0, "rule1"), (500, 500, np.inf, "rule1"),
    (149, 49, 0.0, None), (150, 50, 2.0, "rule2"), (150, 50, 2.1, None),
    (50, 50, 0.0, None),  # nothing but silence
    (200, 100, 8.0, "rule3"), (200, 100, 8.1, None), (299, 199, np.inf, None),
    (300, 200, np.inf, "rule4"), (1999, 0, np.inf, None), (2000, 0, np.inf, "rule5"),
    (0, 0, np.inf, None)])
def test_kaldis_rules(frames, silence, relative, rule):
    assert ended(frames, silence, relative) == rule


def test_the_rule_of_the_acoustic_model():
    assert ended(200, 10, np.inf, 69) is None
    assert ended(200, 10, np.inf, 70) == "speech"
    assert ended(200, 200, np.inf, 70) is None  # nothing was said
    assert ended(70, 10, np.inf, 70) is None
    off = EndpointOptions(speech=SpeechRule(0.0))
    assert ended(200, 10, np.inf, 190, off) is None


def test_a_dead_search_ends_by_its_length_alone():
    ending = Ending(300, 0, np.inf, np.inf)
    assert ending.relative_cost == np.inf
    assert EndpointOptions().rule(ending, 0, SHIFT) is None


def test_modes():
    assert ended(138, 38, options=EndpointOptions.of_mode("short")) == "rule2"
    assert ended(150, 50, options=EndpointOptions.of_mode("long")) is None
    assert EndpointOptions.of_mode("default") == EndpointOptions()
    with pytest.raises(UserError, match="mode 'quick'; give one of short, default, long"):
        EndpointOptions.of_mode("quick")


def test_values_out_of_range_are_refused():
    with pytest.raises(UserError, match="min-trailing-silence is -1"):
        EndpointRule(True, -1.0)
    with pytest.raises(UserError, match="max-relative-cost is nan"):
        EndpointRule(max_relative_cost=np.nan)
    with pytest.raises(UserError, match="speech rule of"):
        SpeechRule(max_probability=2.0)

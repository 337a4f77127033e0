"""The options of the end of speech: Kaldi's names, and what they make."""

import argparse

import pytest

from hybridasr.cli.endpoint_options import add_endpoint, endpoint_from
from hybridasr.decode.endpoint import EndpointOptions


def parsed(*words):
    parser = argparse.ArgumentParser()
    add_endpoint(parser)
    return endpoint_from(parser.parse_args(words))


def test_names_and_defaults_are_kaldis():
    assert parsed() is None
    assert parsed("--endpoint", "default") == EndpointOptions()
    assert parsed("--endpoint", "long") == EndpointOptions.of_mode("long")
    rules = parsed("--endpoint.rule2.min-trailing-silence", "0.8",
                   "--endpoint.rule5.min-utterance-length=30",
                   "--endpoint.rule1.must-contain-nonsilence", "true",
                   "--endpoint.speech.max-probability", "0.3")
    assert rules.rule2.min_trailing_silence == 0.8
    assert rules.rule2.max_relative_cost == EndpointOptions().rule2.max_relative_cost
    assert rules.rule5.min_utterance_length == 30
    assert rules.rule1.must_contain_nonsilence
    assert rules.speech.max_probability == 0.3


def test_a_rule_that_is_none_is_wrong_usage():
    with pytest.raises(SystemExit):
        parsed("--endpoint.rule6.min-trailing-silence", "1")

"""Options that change nothing in a call were taken without a word."""

import argparse

import pytest

from hybridasr.errors import UserError
from hybridasr.features.frames import FeatureOptions
from hybridasr.features.pipeline import PipelineOptions
from hybridasr.model.adaptation import AdaptOptions
from hybridasr.options import add_options, from_args
from hybridasr.train.nnet_options import DnnOptions


def parsed(options_class, *words):
    parser = argparse.ArgumentParser()
    add_options(parser, options_class)
    return parser.parse_args(words)


@pytest.mark.parametrize(("options_class", "words", "line"), [
    (DnnOptions, ["--momentum", "0.5"], "--momentum has no effect with --optimizer adam"),
    (DnnOptions, ["--schedule", "new-bob", "--final-learning-rate", "1e-4"],
     "--final-learning-rate has no effect with --schedule new-bob; leave it out, or give "
     "--schedule exponential or cosine"),
    (DnnOptions, ["--temperature", "3"], "--temperature has no effect without --teacher"),
    (DnnOptions, ["--max-freq", "3"], "--max-freq has no effect with --freq-masks 0"),
    (PipelineOptions, ["--cmvn-window", "300"], "--cmvn-window has no effect with --cmvn speaker"),
    (FeatureOptions, ["--kind", "fbank", "--num-ceps", "20"],
     "--num-ceps has no effect with --kind fbank"),
    (AdaptOptions, ["--nnet-epochs", "3"], "--nnet-epochs has no effect with --nnet-passes 0"),
])
def test_it_is_named(options_class, words, line):
    with pytest.raises(UserError, match=line):
        from_args(options_class, parsed(options_class, *words))

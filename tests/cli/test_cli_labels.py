"""The verbs of networks that write labels, as a user runs them."""

import json
import re

import pytest
from test_cli import error_of, hybridasr, world  # noqa: F401 (world is a fixture)

NETWORK = "splice offsets=-4:4\naffine dim=48\nbatchnorm\nrelu\noutput\n"
QUICK = ["--num-epochs", 2, "--minibatch-size", 1024, "--held-out", 0.3]


@pytest.fixture(scope="module")
def ctc(world, tmp_path_factory):  # noqa: F811
    exp = tmp_path_factory.mktemp("exp")
    (exp / "nnet.conf").write_text(NETWORK)
    run = hybridasr("train-ctc", *QUICK, "--network", exp / "nnet.conf", world / "train",
                    world / "lang", exp / "ctc")
    assert re.search(r"\d labels, \d+ parameters, label errors \d", run.stderr)
    return exp / "ctc"


def test_labels_and_graphs(world, ctc, tmp_path):  # noqa: F811
    run = hybridasr("decode-labels", "--label-beam", 4, ctc, world / "test", tmp_path / "labels")
    assert re.fullmatch(r"%LER \d+\.\d\d \[ \d+ / \d+, \d+ ins, \d+ del, \d+ sub \]\n", run.stdout)
    summary = json.loads((tmp_path / "labels" / "summary.json").read_text())
    assert run.stdout.startswith(f"%LER {summary['ler']:.2f} ")
    hybridasr("mkgraph", "--commands", world / "commands.txt", ctc)
    (row,) = json.loads(hybridasr("evaluate", ctc, world / "test").stdout)
    assert row["system"] == "ctc"
    assert row["utterances"] == summary["utterances"]


def test_transducer(world, ctc, tmp_path):  # noqa: F811
    run = hybridasr("train-transducer", *QUICK, "--cell", 8, "--joint", 8, world / "train", ctc,
                    tmp_path / "transducer")
    assert "nats a frame, label errors of those held out" in run.stderr
    run = hybridasr("decode-labels", tmp_path / "transducer", world / "test", tmp_path / "labels")
    assert run.stdout.startswith("%LER ")


def test_what_is_refused(world, ctc, tmp_path):  # noqa: F811
    mono, test = world / "exp" / "mono", world / "test"
    assert "no model that writes labels" in error_of("decode-labels", mono, test, tmp_path / "x")
    assert "is no model of train-ctc" in error_of("train-transducer", world / "train", mono,
                                                  tmp_path / "x")
    assert "written over" in error_of("train-transducer", world / "train", ctc, ctc)
    assert "whole utterances" in error_of("train-ctc", "--chunk-width", 8, world / "train",
                                          world / "lang", tmp_path / "x")
    assert "--arpa" in error_of("decode-labels", "--arpa", "x.arpa", ctc, test, tmp_path / "x")

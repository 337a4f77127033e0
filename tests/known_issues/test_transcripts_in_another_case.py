"""Transcripts that differ from a command by case only counted as outside words without a word."""

import logging
from dataclasses import replace

from command_world import COMMANDS

from hybridasr.batch.spot_set import CommandList
from hybridasr.corpus.command_list import make_commands
from hybridasr.evaluation.spotting import evaluate_commands
from hybridasr.parallel import SerialExecutor


def test_they_are_named(spoken_world, tmp_path, caplog):
    utterance = next(u for u in spoken_world.test.utterances.values()
                     if " ".join(u.words) in COMMANDS)
    said = " ".join(utterance.words)
    shouted = replace(utterance, words=tuple(word.upper() for word in utterance.words))
    data = replace(spoken_world.test, utterances={utterance.utterance: shouted})
    with caplog.at_level(logging.WARNING):
        evaluate_commands(spoken_world.mono, [data], CommandList(tuple(make_commands(COMMANDS))),
                          tmp_path / "out", SerialExecutor())
    assert f"'{said.upper()}' ('{said}'); write them as the list does" in caplog.text

"""Options of rejection had no effect without a command list, and nobody said so."""

import numpy as np
import pytest
import soundfile
from command_world import RATE, speak

from hybridasr.cli import main
from hybridasr.confidence.command_grammar import RejectOptions
from hybridasr.errors import UserError
from hybridasr.recognize.recognizer import load


@pytest.mark.parametrize(("reject", "name"), [
    ({"threshold": 0.5}, "threshold"), ({"threshold": 0.0}, "threshold"),
    ({"filler_penalty": 1.0}, "filler-penalty"), ({"near_fillers": 0}, "near-fillers"),
    ({"reject_beam": 3.0}, "reject-beam")])
def test_load_refuses_by_name(spoken_world, reject, name):
    with pytest.raises(UserError, match=f"{name} .*no commands.*--commands"):
        load(spoken_world.mono, reject=RejectOptions(**reject))


def test_load_refuses_fillers(spoken_world):
    with pytest.raises(UserError, match="fillers .*no commands"):
        load(spoken_world.mono, fillers=["ta1da1"])


def test_a_graph_beside_commands_is_refused(spoken_world, tmp_path):
    with pytest.raises(UserError, match="graph has no effect with commands"):
        load(spoken_world.mono, graph=tmp_path, commands=["da1ti1"])


@pytest.mark.parametrize("verb", ["recognize", "evaluate"])
def test_verbs_refuse_by_name(spoken_world, tmp_path, capsys, verb):
    target = spoken_world.test.path
    if verb == "recognize":
        target = tmp_path / "said.wav"
        soundfile.write(target, speak("bu1la1", np.random.default_rng(3)), RATE)
    assert main([verb, "--threshold", "0.5", str(spoken_world.mono), str(target)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "threshold" in line
    assert "--commands" in line

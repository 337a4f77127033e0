"""A network that does not stream: recordings are recognised, a stream without ends is refused."""

from pathlib import Path

import numpy as np
import pytest
from command_world import COMMANDS, RATE, make_network, speak

from hybridasr.cli import main
from hybridasr.decode.search import SearchOptions
from hybridasr.deploy.pack import PackOptions, pack_model
from hybridasr.errors import UserError
from hybridasr.model.directory import load_model
from hybridasr.recognize.recognizer import load
from hybridasr.wake.first_stage import FirstStage

LAYERS = "splice offsets=-1:1\nbidirectional unit=gru cell=16 warmup=6\nrelu\noutput\n"


@pytest.fixture(scope="module")
def model(spoken_world, tmp_path_factory) -> Path:
    return make_network(spoken_world, tmp_path_factory.mktemp("whole") / "dnn", LAYERS, 8)


def test_a_recording_is_recognised_whatever_the_pieces(model):
    recognizer = load(model, SearchOptions(acoustic_scale=0.1), commands=COMMANDS)
    for number, text in enumerate(COMMANDS):
        samples = speak(text, np.random.default_rng(number))
        expected = recognizer.recognize(samples, RATE)
        assert expected["text"] == text
        session = recognizer.session(endpoint=None)
        events = [event for piece in np.array_split(samples, 30) for event in session.accept(piece)]
        assert [*events, *session.finish()] == [expected]


def test_a_packed_one_as_well(model, tmp_path):
    (tmp_path / "commands.txt").write_text("\n".join(COMMANDS) + "\n")
    options = PackOptions(int8=True, commands=tmp_path / "commands.txt")
    pack_model(model, tmp_path / "small.hyb", options)
    recognizer = load(tmp_path / "small.hyb", SearchOptions(acoustic_scale=0.1), commands=COMMANDS)
    samples = speak(COMMANDS[0], np.random.default_rng(0))
    assert recognizer.recognize(samples, RATE)["text"] == COMMANDS[0]


def test_who_must_tell_the_end_of_an_utterance_refuses_it(model):
    recognizer = load(model, commands=COMMANDS)
    with pytest.raises(UserError, match="hears an utterance as a whole .* give recordings of one"):
        recognizer.session()
    with pytest.raises(UserError, match="train the first stage with one that streams"):
        FirstStage.of(load_model(model), [[["b", "u1"]]], -1.0)


def test_a_server_says_so_before_it_listens(model, tmp_path, capsys):
    pytest.importorskip("aiohttp")
    pytest.importorskip("wyoming")
    (tmp_path / "commands.txt").write_text("\n".join(COMMANDS) + "\n")
    assert main(["serve", "--port", "0", "--commands", str(tmp_path / "commands.txt"),
                 str(model)]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert str(model) in error
    assert "serve a model whose network streams" in error

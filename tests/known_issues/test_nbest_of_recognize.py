"""`recognize --nbest N` is in the design, and was not there."""

import json

import numpy as np
import pytest
import soundfile
from command_world import COMMANDS, RATE, speak

from hybridasr.cli import main
from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.graph.mkgraph import make_graph
from hybridasr.recognize.recognizer import load

pytest.importorskip("pynini")

NEAR = SearchOptions(acoustic_scale=0.005)
WORDS = ["da1", "ti1", "ta1", "di1", "bu1", "la1"]


@pytest.fixture(scope="module")
def graph(spoken_world, tmp_path_factory):
    from hybridasr.model.directory import load_model

    model = load_model(spoken_world.mono)
    path = tmp_path_factory.mktemp("loop")
    make_graph(model.lang, model.transitions, model.tree, path, "loop", [(w,) for w in WORDS])
    return path


def test_other_words_of_a_graph(spoken_world, graph):
    recognizer = load(spoken_world.mono, NEAR, graph)
    samples = speak("da1ti1", np.random.default_rng(4))
    plain = recognizer.recognize(samples, RATE)
    assert plain["alternatives"] == []
    several = recognizer.recognize(samples, RATE, nbest=4)
    # With alternatives there is a lattice, which says how sure each word is.
    certain = [word.pop("conf") for word in several["result"]]
    assert all(0 < conf <= 1 for conf in [*certain, several["confidence"]])
    unsure = [{**word, "conf": None} for word in several["result"]]
    assert {**several, "result": unsure, "confidence": None, "alternatives": []} == plain
    texts = [other["text"] for other in several["alternatives"]]
    assert len(texts) == len({plain["text"], *texts}) - 1 == 4
    shares = [several["confidence"], *(other["confidence"] for other in several["alternatives"])]
    assert sum(shares) <= 1 + 1e-3
    assert all(set(text.split()) <= set(WORDS) for text in texts)
    fewer = recognizer.recognize(samples, RATE, nbest=2)["alternatives"]
    assert fewer == several["alternatives"][:2]
    assert recognizer.recognize(samples, RATE, nbest=0) == plain
    with pytest.raises(UserError, match="nbest is -1; give 0 or more"):
        recognizer.recognize(samples, RATE, nbest=-1)


def test_other_commands_are_limited(spoken_world):
    # So small a scale that several come near.
    recognizer = load(spoken_world.mono, SearchOptions(acoustic_scale=0.001),
                      commands=[*COMMANDS, "da1di1", "ta1ti1"])
    samples = speak("da1ti1", np.random.default_rng(4))
    everything = recognizer.recognize(samples, RATE)["alternatives"]
    assert len(everything) >= 2
    for count in (0, 1, 2, 99):
        assert recognizer.recognize(samples, RATE, nbest=count)["alternatives"] == (
            everything[:count])


def test_the_verb(spoken_world, graph, tmp_path, capsys):
    path = tmp_path / "said.wav"
    soundfile.write(path, speak("da1ti1", np.random.default_rng(4)), RATE)
    words = ["recognize", "--nbest", "3", "--acoustic-scale", "0.005", "--graph", str(graph),
             str(spoken_world.mono), str(path)]
    assert main(words) == 0
    assert len(json.loads(capsys.readouterr().out)["alternatives"]) == 3
    words[2] = "-1"
    assert main(words) == 1
    assert "nbest is -1; give 0 or more" in capsys.readouterr().err

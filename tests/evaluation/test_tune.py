"""The choice of the acoustic scale: which one wins, where it is kept, and refusals."""

import json
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from hybridasr.corpus.datadir import DataDir, Utterance
from hybridasr.errors import UserError
from hybridasr.evaluation import tune
from hybridasr.parallel import SerialExecutor


@dataclass
class FakeScores:
    wer: float

    def figures(self):
        return {"wer": self.wer}


@pytest.fixture(autouse=True)
def model_of(monkeypatch):
    """The model is not looked at but for its frames."""
    found = SimpleNamespace(subsampling=1, transitions=SimpleNamespace(
        topology=SimpleNamespace(is_chain=False)))
    monkeypatch.setattr(tune, "load_model", lambda _: found)
    return found


def data(tmp_path, words=("yes",)):
    return DataDir(tmp_path / "data", {name: Utterance(name, "s", words, name, "x.wav")
                                       for name in ("u1", "u2", "u3")}, {})


@pytest.mark.parametrize(("rates", "best"), [
    ([9, 4, 4, 4, 7], 3),  # of equal ones the largest
    ([9, 9, 9, 9, 8], 4),
    ([1, 9, 9, 9, 2], 0),
])
def test_fewest_errors_win(tmp_path, monkeypatch, rates, best):
    by_scale = dict(zip(tune.SCALES, rates, strict=True))
    asked = []

    def decode(model, graph, found, destination, options, pool, known):
        asked.append((options.acoustic_scale, destination))

    monkeypatch.setattr(tune, "decode_set", decode)
    monkeypatch.setattr(tune, "score_set", lambda *_: FakeScores(by_scale[asked[-1][0]]))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text('{"format": 1, "kind": "nnet"}')
    found, seen = tune.tune_scale(tmp_path / "model", tmp_path / "graph", data(tmp_path),
                                  SerialExecutor())
    assert found == (tune.SCALES[best], None)
    assert seen == {(scale, None): rate for scale, rate in by_scale.items()}
    assert len({destination for _, destination in asked}) == len(tune.SCALES)
    assert json.loads((tmp_path / "model" / "model.json").read_text()) == {
        "format": 1, "kind": "nnet", "acoustic_scale": found[0]}


def test_scores_of_several_frames_weigh_more(tmp_path, monkeypatch, model_of):
    model_of.subsampling, asked = 3, []
    monkeypatch.setattr(tune, "decode_set", lambda *args, known: asked.append(
        args[4].acoustic_scale))
    monkeypatch.setattr(tune, "score_set", lambda *_: FakeScores(abs(asked[-1] - 0.9)))
    (tmp_path / "model.json").write_text('{"format": 1}')
    best, _ = tune.tune_scale(tmp_path, tmp_path / "graph", data(tmp_path), SerialExecutor())
    assert best == (1.0, None)
    assert min(asked) == pytest.approx(3 * min(tune.SCALES))
    # A network that was trained on sequences has learned its scale, which may be above 1.
    model_of.transitions.topology.is_chain = True
    asked.clear()
    tune.tune_scale(tmp_path, tmp_path / "graph", data(tmp_path), SerialExecutor())
    assert tuple(asked) == tune.CHAIN_SCALES
    assert min(asked) < 1 < max(asked)


def test_scale_and_penalty_together(tmp_path, monkeypatch):
    by_pair = {(scale, penalty): 5.0 for scale in tune.SCALES for penalty in (0.0, -0.5, 1.0)}
    by_pair[tune.SCALES[1], 1.0] = by_pair[tune.SCALES[2], -0.5] = 2.0
    asked = []
    monkeypatch.setattr(tune, "decode_set", lambda *args, known: asked.append(
        ((args[4].acoustic_scale, args[4].word_ins_penalty), args[3])))
    monkeypatch.setattr(tune, "score_set", lambda *_: FakeScores(by_pair[asked[-1][0]]))
    (tmp_path / "model.json").write_text('{"format": 1}')
    best, rates = tune.tune_scale(tmp_path, tmp_path / "graph", data(tmp_path), SerialExecutor(),
                                  penalties=(0.0, -0.5, 1.0))
    # Of equal ones the penalty nearest to none.
    assert (best, rates) == ((tune.SCALES[2], -0.5), by_pair)
    assert len({destination for _, destination in asked}) == len(by_pair)
    assert json.loads((tmp_path / "model.json").read_text()) == {
        "format": 1, "acoustic_scale": tune.SCALES[2], "word_ins_penalty": -0.5}


def test_held_out_are_those_the_training_names(tmp_path):
    (tmp_path / "held_out").write_text("u3\nu1\nelsewhere\n")
    assert list(tune.held_out(tmp_path, data(tmp_path)).utterances) == ["u3", "u1"]
    (tmp_path / "held_out").write_text("")
    with pytest.raises(UserError, match="held_out: names no utterance.*--held-out"):
        tune.held_out(tmp_path, data(tmp_path))
    with pytest.raises(UserError, match="held_out: names no utterance"):
        tune.held_out(tmp_path / "gone", data(tmp_path))


def test_nothing_to_score(tmp_path):
    with pytest.raises(UserError, match="no words to score"):
        tune.tune_scale(tmp_path, tmp_path, data(tmp_path, ()), SerialExecutor())


def test_a_calibration_to_another_scale_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tune, "decode_set", lambda *_, known: None)
    monkeypatch.setattr(tune, "score_set", lambda *_: FakeScores(3.0))  # the largest scale wins
    files = [tmp_path / "confidence.json", tmp_path / "confusions.json"]
    for before, stays in ((max(tune.SCALES), True), (tune.DEFAULT_SCALE, False)):
        (tmp_path / "model.json").write_text(json.dumps({"format": 1, "acoustic_scale": before}))
        for path in files:
            path.write_text("{}")
        tune.tune_scale(tmp_path, tmp_path / "graph", data(tmp_path), SerialExecutor())
        assert [path.exists() for path in files] == [stays, stays]

"""A changed array of a model directory crashed the process, hung it, or gave a wrong word."""

import json
import shutil

import numpy as np
import pytest

from hybridasr.errors import DamagedFile, UserError
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.model.directory import load_model


@pytest.fixture
def graph(tmp_path):
    """A graph of three states with an epsilon cycle 1 -> 2 -> 1, and where it is saved."""
    graph = DecodingGraph.from_arcs(0, [0, 1, 2, 2], [1, 0, 0, 2], [1, 0, 0, 2],
                                    [0.5, -1.0, 1.5, 0.1], [1, 2, 1, 0], [np.inf, np.inf, 0.0])
    graph.save(tmp_path / "graph.npz")
    return tmp_path / "graph.npz"


def change(path, **changes):
    """Save the arrays again with some of them changed; None leaves one out."""
    with np.load(path) as bundle:
        arrays = {name: bundle[name].copy() for name in bundle.files}
    for name, new in changes.items():
        arrays[name] = new(arrays[name]) if callable(new) else new
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


def put(place, value):
    def changed(array):
        array[place] = value
        return array
    return changed


def test_a_whole_graph_is_read(graph):
    loaded = DecodingGraph.load(graph)
    assert (loaded.start, loaded.num_states, loaded.num_arcs) == (0, 3, 4)
    assert loaded.final[0] == np.inf


@pytest.mark.parametrize(("name", "new", "words"), [
    ("nextstate", put(3, -50000000), "'nextstate' has the value -50000000"),
    ("nextstate", put(3, 3), "'nextstate' has the value 3"),
    ("start", np.array(10**9), "'start' has the value 1000000000"),
    ("start", np.array(-1), "'start' has the value -1"),
    ("start", np.array([0]), r"'start' is \(1,\)"),
    ("arc_offsets", put(2, 10**9), "do not share out"),
    ("arc_offsets", put(1, 3), "do not share out"),
    ("eps_offsets", put(2, 10**9), "do not share out"),
    ("eps_offsets", put(0, 0), "stands among the wrong arcs"),
    ("ilabel", put(0, -5), "'ilabel' has the value -5"),
    ("olabel", put(0, -5), "'olabel' has the value -5"),
    ("ilabel", lambda array: array.astype(np.float32), "'ilabel' is of float32"),
    ("weight", put(0, np.nan), "'weight' has values that are not finite"),
    ("weight", put(0, -np.inf), "'weight' has values that are not finite"),
    ("final", put(0, np.nan), "'final' has values that are not finite"),
    ("final", put(0, -np.inf), "'final' has values that are not finite"),
    ("final", lambda array: array[:0], "'start' has the value 0"),
    ("final", lambda array: array.astype("U8"), "'final' is of <U8"),
    ("weight", put(1, -2.0), "fall for ever on a cycle of epsilon arcs"),
    ("weight", None, "'weight' is missing")])
def test_a_changed_graph_is_refused(graph, name, new, words):
    change(graph, **{name: new})
    with pytest.raises(DamagedFile, match=words):
        DecodingGraph.load(graph)


@pytest.mark.parametrize(("file", "name", "new", "words"), [
    ("gmm.npz", "offsets", put(3, 10**8), "'offsets' does not ascend"),
    ("gmm.npz", "offsets", put(3, 0), "'offsets' does not ascend"),
    ("gmm.npz", "weights", put(0, np.nan), "'weights' has values that are not finite"),
    ("gmm.npz", "variances", put(0, 0.0), "'variances' has the value 0.0"),
    ("gmm.npz", "means", lambda array: array[:, :-1], "'means' is"),
    ("gmm.npz", "transition_tuples", put((0, 2), 100000), "has pdf 100000"),
    ("gmm.npz", "transition_tuples", put((0, 0), 100000), "of phone 100000"),
    ("gmm.npz", "transition_tuples", put((0, 1), 9), "state 9 of phone"),
    ("gmm.npz", "transition_log_probs", lambda array: array[:-1], "'transition_log_probs' is"),
    ("gmm.npz", "transition_log_probs", put(2, np.inf), "not finite"),
    ("gmm.npz", "cmvn", lambda array: array[:, :-1], "'cmvn' is"),
    ("gmm.npz", "cmvn", put((0, -1), 0.0), "'cmvn' is of 0 frames"),
    ("gmm.npz", "durations", put((1, 1), 0.0), "a deviation that is not above 0"),
    ("gmm.npz", "means", None, "'means' is missing")])
def test_a_changed_model_is_refused(spoken_world, tmp_path, file, name, new, words):
    model = tmp_path / "model"
    shutil.copytree(spoken_world.mono, model)
    change(model / file, **{name: new})
    with pytest.raises(DamagedFile, match=words):
        load_model(model)




@pytest.mark.parametrize(("new", "words"), [
    (lambda values: {**values, "kind": []}, "entry 'kind'"),
    (lambda values: {**values, "kind": "xgb"}, "'xgb' is none of"),
    (lambda values: {**values, "topology": 3}, "entry 'topology'"),
    (lambda values: {**values, "topology": values["topology"].replace("> 1 0.25", "> 9 0.25")},
     "model.json"),
    (lambda values: {**values, "features": None}, "entry 'features'"),
    (lambda values: {**values, "acoustic_scale": -1}, "acoustic_scale is -1"),
    (lambda values: {**values, "acoustic_scale": 2**31}, "acoustic_scale is 2147483648"),
    (lambda values: {**values, "tree": {**values["tree"], "num_pdfs": 2}}, "a pdf is"),
    (lambda values: {**values, "tree": {**values["tree"], "root": ["split", 0, 7, 1, 1]}},
     "model.json"),
    (lambda values: {**values, "tree": {**values["tree"],
                                        "root": ["split", 0, [2**31 - 2], 0, 1]}}, "model.json"),
    (lambda values: {name: value for name, value in values.items() if name != "tree"},
     "entry 'tree' is missing"),
    (lambda values: [values], "not the description of a model"),
    (lambda values: {**values, "format": 99}, "model format 99")])
def test_a_changed_description_is_refused(spoken_world, tmp_path, new, words):
    model = tmp_path / "model"
    shutil.copytree(spoken_world.mono, model)
    values = json.loads((model / "model.json").read_text(encoding="utf-8"))
    (model / "model.json").write_text(json.dumps(new(values)), encoding="utf-8")
    with pytest.raises(UserError, match=words):
        load_model(model)


def test_a_deeply_nested_description_is_refused(spoken_world, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(spoken_world.mono, model)
    text = (model / "model.json").read_text(encoding="utf-8")
    (model / "model.json").write_text(text.replace('"info": {', '"info": {"a": ' + "[" * 100000
                                                   + "]" * 100000 + ","), encoding="utf-8")
    with pytest.raises(DamagedFile, match="model.json"):
        load_model(model)

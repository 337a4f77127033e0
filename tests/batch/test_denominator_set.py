"""Denominator lattices of a small training set."""

import json

import numpy as np
import pytest
from command_world import make_network

from hybridasr.batch.denominator_set import DenlatOptions, make_denlats
from hybridasr.batch.driver import SetBlocks
from hybridasr.decode.search import search
from hybridasr.errors import UserError
from hybridasr.features.normalization import set_normalization
from hybridasr.model.directory import load_model
from hybridasr.parallel import SerialExecutor, executor
from hybridasr.recognize.graph_grammar import read_graph
from hybridasr.sequence.criteria import Reading, Units
from hybridasr.sequence.lattice_set import read_lattice_set
from hybridasr.storage import write_json

OPTIONS = DenlatOptions(beam=10.0, lattice_beam=5.0)
STATES = DenlatOptions(beam=10.0, lattice_beam=5.0, determinize=False)


@pytest.fixture(scope="module")
def network(spoken_world, tmp_path_factory):
    return make_network(spoken_world, tmp_path_factory.mktemp("denlats") / "dnn", epochs=3)


@pytest.fixture(scope="module")
def made(spoken_world, network):
    destination = network.parent / "denlats"
    line = make_denlats(spoken_world.train, spoken_world.lang, network, destination,
                        SerialExecutor(), OPTIONS)
    assert "failed 0" in line
    return destination


def scored(data, model):
    """Yield (utterance, log likelihoods) as the lattices were made from."""
    normalization = set_normalization(data, model.features, model.pipeline, model.cmvn, "drawn", 0)
    for block in SetBlocks.of(data, normalization, False):
        for name, feats in block.load():
            yield name, model.nnet.loglikes(feats)


@pytest.mark.parametrize("determinize", [True, False])
def test_best_paths_are_those_of_the_search(spoken_world, network, made, tmp_path, determinize):
    if not determinize:
        make_denlats(spoken_world.train, spoken_world.lang, network, tmp_path, SerialExecutor(),
                     STATES)
        # All paths of a sequence of words are more than the best of them.
        assert read_lattice_set(tmp_path).num_arcs > read_lattice_set(made).num_arcs
        made = tmp_path
    model, lattices = load_model(network), read_lattice_set(made)
    grammar, units = read_graph(made / "graph", model, network), Units.of(
        model.transitions, model.lang.silence_phones)
    assert lattices.num_tids == model.transitions.num_tids
    count = 0
    for name, loglikes in scored(spoken_world.train, model):
        lattice = lattices.lattice(name)
        reading = Reading.of(lattice, units)
        assert reading.num_frames == len(loglikes)
        # The plain way: the best path, state by state.
        costs = np.where(reading.pdf >= 0, -lattices.acoustic_scale
                         * loglikes[reading.frame - (reading.pdf < 0), reading.pdf], 0.0)
        best = np.full(lattice.num_states, np.inf)
        best[0] = 0.0
        for arc, cost in enumerate(lattice.cost + costs):
            best[lattice.target[arc]] = min(best[lattice.target[arc]],
                                            best[lattice.source[arc]] + cost)
        path = search(grammar.graph, grammar.arc_pdfs, loglikes, OPTIONS.search(
            model.acoustic_scale))
        assert best[-1] == pytest.approx(path.total_cost, rel=1e-5, abs=1e-3)
        count += 1
    assert count == len(lattices.places) == len(spoken_world.train)


def test_jobs_change_nothing_and_finished_blocks_are_kept(spoken_world, network, made, tmp_path,
                                                          monkeypatch):
    with executor(2) as pool:
        make_denlats(spoken_world.train, spoken_world.lang, network, tmp_path, pool, OPTIONS)
    for path in sorted(made.glob("lat.*.npz")):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
    record = json.loads((tmp_path / "denlats.json").read_text())

    def refuse(*args):
        raise AssertionError("decoded again")

    monkeypatch.setattr("hybridasr.batch.denominator_set.decode_lattice", refuse)
    make_denlats(spoken_world.train, spoken_world.lang, network, tmp_path, SerialExecutor(),
                 OPTIONS)
    assert json.loads((tmp_path / "denlats.json").read_text()) == record
    with pytest.raises(AssertionError, match="decoded again"):
        make_denlats(spoken_world.train, spoken_world.lang, network, tmp_path, SerialExecutor(),
                     DenlatOptions(beam=9.0, lattice_beam=5.0))


def test_a_model_without_network_is_refused(spoken_world, tmp_path):
    with pytest.raises(UserError, match="is no network"):
        make_denlats(spoken_world.train, spoken_world.lang, spoken_world.mono, tmp_path,
                     SerialExecutor())


@pytest.mark.parametrize(("record", "words"), [
    (None, "make-denlats"), ([], "does not say"), ({"acoustic_scale": -1.0}, "does not say"),
    ({"acoustic_scale": 0.1, "num_tids": 10, "blocks": 1}, "no such file")])
def test_unfinished_directories_are_refused(tmp_path, record, words):
    if record is not None:
        write_json(tmp_path / "denlats.json", record)
    with pytest.raises(UserError, match=words):
        read_lattice_set(tmp_path)

"""Networks by lattice-free MMI: training, decoding, aligning, the head that is dropped."""

import json
from dataclasses import replace

import numpy as np
import pytest
from small_world import FEATURES, PIPELINE, build_graph

from hybridasr.batch.align_set import align_set
from hybridasr.batch.decode_set import decode_set
from hybridasr.batch.denominator_set import DenlatOptions, make_denlats
from hybridasr.decode.search import SearchOptions
from hybridasr.decode.words import phone_segments
from hybridasr.errors import UserError
from hybridasr.features.archives import read_ark, read_scp
from hybridasr.model.directory import load_model
from hybridasr.nnet.network_text import read_network
from hybridasr.options import build_options
from hybridasr.parallel import SerialExecutor, executor
from hybridasr.train.chain import train_chain, without_head
from hybridasr.train.chain_options import ChainOptions
from hybridasr.train.history import read_history
from hybridasr.train.mono import MonoOptions, train_mono
from hybridasr.train.sequence_options import SmbrOptions
from hybridasr.train.sequence_trainer import SequencePlaces, train_sequence

SMALL = "splice offsets=-3:3 stride=3\naffine dim=32\nbatchnorm\nrelu\noutput\n"


@pytest.fixture(scope="module")
def mono(world, tmp_path_factory):
    root = tmp_path_factory.mktemp("chain")
    with executor(1) as pool:
        train_mono(world[0], world[2], FEATURES, PIPELINE, root / "mono", pool,
                   build_options(MonoOptions, num_iters=10, max_iter_inc=6, totgauss=40))
    (root / "nnet.conf").write_text(SMALL)
    return root


def train(world, mono, path, **options):
    chosen = build_options(ChainOptions, **{
        "network": str(mono / "nnet.conf"), "num_epochs": 12, "minibatch_size": 240,
        "chunk_width": 30, "initial_learning_rate": 0.01, "final_learning_rate": 0.002,
        "numleaves": 40, **options})
    with executor(1) as pool:
        return train_chain(world[0], world[2], mono / "mono", path, pool, chosen)


@pytest.fixture(scope="module")
def trained(world, mono):
    return train(world, mono, mono / "chain"), mono / "chain"


def errors(directory, data):
    loaded = load_model(directory)
    build_graph(loaded, directory / "graph", "loop")
    with executor(1) as pool:
        decode_set(directory, directory / "graph", data, directory / "decode", SearchOptions(),
                   pool)
    texts = (line.split() for line in (directory / "decode" / "text").read_text().splitlines())
    return sum(tuple(words) != data.utterances[name].words for name, *words in texts)


def test_decodes_what_it_never_heard_with_scores_as_they_are(world, trained):
    model, directory = trained
    assert model.info["loss"] < 0.3
    assert errors(directory, world[1]) <= 1
    values = json.loads((directory / "model.json").read_text())
    assert values["acoustic_scale"] == 1.0
    graph = json.loads((directory / "graph" / "graph.json").read_text())
    assert graph["options"] == {"transition_scale": 1.0, "self_loop_scale": 1.0}
    assert not load_model(directory).nnet.log_priors.any()


def test_monophones_do_too(world, mono):
    model = train(world, mono, mono / "flat", context_width=1)
    assert model.tree.context_width == 1
    assert errors(mono / "flat", world[1]) <= 1


def test_one_path_costs_what_another_does(trained):
    model = trained[0]
    costs = model.transitions.scaled_costs(1.0, 1.0)
    np.testing.assert_allclose(costs[1:], np.log(2.0), rtol=1e-6)


def test_alignments_are_of_the_right_phones_near_the_earlier_ones(world, mono, trained):
    with executor(1) as pool:
        align_set(world[0], world[2], trained[1], mono / "ali", pool)
    model, earlier = load_model(trained[1]), load_model(mono / "mono")
    ours, theirs = (dict(read_ark(path / "ali.ark")) for path in (mono / "ali", mono / "mono"))
    assert set(ours) == set(theirs)
    apart = []
    for name, ids in ours.items():
        segments = phone_segments(ids, model.transitions)
        others = phone_segments(theirs[name], earlier.transitions)
        speech = [[s for s in part if s.label != world[2].optional_silence]
                  for part in (segments, others)]
        assert [s.label for s in speech[0]] == [s.label for s in speech[1]]
        apart += [abs(3 * a.begin - b.begin) for a, b in zip(*speech, strict=True)]
    assert np.mean(apart) < 4


def test_the_head_is_cut_off(world, trained):
    network = read_network(SMALL, 4, 6, seed=3)
    cut = without_head(network, 2)
    x = np.random.default_rng(1).normal(size=(2, 20, 4)).astype(np.float32)
    np.testing.assert_allclose(cut.forward(x)[0], network.forward(x)[0][..., :2], rtol=0,
                               atol=1e-5)
    model = load_model(trained[1])
    feats = read_scp(world[1].path / "feats.scp")[next(iter(world[1].utterances))]
    scores = model.nnet.loglikes(feats)
    assert scores.shape == (-(-len(feats) // 3), model.tree.num_pdfs)


def test_same_seed_same_network(world, mono, trained):
    again = train(world, mono, mono / "again")
    for name, array in again.nnet.network.to_arrays().items():
        np.testing.assert_array_equal(array, trained[0].nnet.network.to_arrays()[name])


def test_what_cannot_be_trained_is_refused(world, mono):
    with pytest.raises(UserError, match="context-width is 3"):
        ChainOptions(context_width=3)
    with pytest.raises(UserError, match="leaky-hmm-coefficient"):
        ChainOptions(leaky_hmm_coefficient=0.0)
    with pytest.raises(UserError, match="diverged"):
        train(world, mono, mono / "steep", initial_learning_rate=1e30, max_norm=0.0)


def test_options_of_another_kind_do_not_slip_in():
    assert ChainOptions() == replace(ChainOptions(), lm=ChainOptions().lm)
    assert not hasattr(ChainOptions(), "realign")


def test_goes_on_with_lattices(world, mono, trained, tmp_path):
    data, lang, source = world[0], world[2], trained[1]
    pool = SerialExecutor()
    align_set(data, lang, source, tmp_path / "ali", pool)
    make_denlats(data, lang, source, tmp_path / "denlats", pool,
                 DenlatOptions(beam=14.0, lattice_beam=8.0))
    model = train_sequence(
        data, lang, SequencePlaces(source, tmp_path / "ali", tmp_path / "denlats"),
        tmp_path / "smbr", pool, build_options(SmbrOptions, learning_rate=1e-3,
                                               num_epochs=3, minibatch_size=240))
    losses = [row["loss"] for row in read_history(tmp_path / "smbr")]
    assert losses[-1] < losses[0]
    assert (model.acoustic_scale, model.subsampling) == (1.0, 3)
    # By default the cross-entropy of the frames has no share here; networks of frames have it.
    assert SmbrOptions().asked(1.0, chain=True).smoothing == 0
    assert SmbrOptions().asked(1.0, chain=False).smoothing == 0.1
    assert errors(tmp_path / "smbr", world[1]) <= errors(source, world[1])

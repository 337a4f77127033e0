"""Models and trees written for Kaldi: equal once read back; Kaldi's own come out as they were."""

import gzip

import numpy as np
import pytest
from command_world import make_adaptive

from hybridasr.cli import main
from hybridasr.features.archives import read_ark
from hybridasr.kaldi.export import export_kaldi
from hybridasr.kaldi.model_text import kaldi_model_text, read_model
from hybridasr.kaldi.tree_text import kaldi_tree_text, read_tree
from hybridasr.model.directory import load_model


def assert_equal_models(transitions, gmm, others, other_gmm):
    assert transitions.tuples.tolist() == others.tuples.tolist()
    assert transitions.first_tid.tolist() == others.first_tid.tolist()
    assert transitions.tid_pdf.tolist() == others.tid_pdf.tolist()
    assert transitions.tid_next.tolist() == others.tid_next.tolist()
    assert np.array_equal(transitions.log_probs, others.log_probs)
    assert np.array_equal(gmm.offsets, other_gmm.offsets)
    for name in ("weights", "means", "variances"):
        np.testing.assert_allclose(getattr(gmm, name), getattr(other_gmm, name), rtol=1e-10,
                                   atol=1e-12)


@pytest.fixture(scope="module")
def adapted(spoken_world, tmp_path_factory):
    """A speaker-adaptive system of triphones: the richest kind of model."""
    return make_adaptive(spoken_world, tmp_path_factory.mktemp("sat"))


def test_written_and_read_models_are_equal(adapted, tmp_path, capsys):
    assert main(["export-kaldi", str(adapted), str(tmp_path / "kaldi")]) == 0
    model, out = load_model(adapted), tmp_path / "kaldi"
    assert_equal_models(model.transitions, model.gmm, *read_model(out / "final.mdl"))
    assert_equal_models(model.transitions, model.adaptation.gmm, *read_model(out / "final.alimdl"))
    assert read_tree(out / "tree") == model.tree
    assert (out / "phones.txt").read_text() == (adapted / "lang" / "phones.txt").read_text()
    rows = {row[0]: list(map(int, row[1:])) for row in map(
        str.split, gzip.decompress((out / "ali.1.gz").read_bytes()).decode().splitlines())}
    assert rows == {name: ids.tolist() for name, ids in read_ark(adapted / "ali.ark")}
    # The ids mean the same in the model that was read back: phone, state and pdf of every frame.
    back = read_model(out / "final.mdl")[0]
    for name, ids in rows.items():
        assert [tuple(back.tuples[back.tid_state[i] - 1]) for i in ids] == [
            tuple(model.transitions.tuples[model.transitions.tid_state[i] - 1]) for i in ids], name
    assert main(["export-kaldi", str(adapted), str(adapted)]) == 1
    assert "is the model itself" in capsys.readouterr().err


def test_an_interrupted_export_has_no_model(spoken_world, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    export_kaldi(spoken_world.mono, tmp_path / "kaldi")
    monkeypatch.setattr("hybridasr.kaldi.export._write_alignments", stop)
    with pytest.raises(KeyboardInterrupt):
        export_kaldi(spoken_world.mono, tmp_path / "kaldi")
    assert not (tmp_path / "kaldi" / "final.mdl").exists()


def test_monophones_have_neither_transform_nor_second_model(spoken_world, tmp_path):
    assert main(["export-kaldi", str(spoken_world.mono), str(tmp_path / "kaldi")]) == 0
    assert not (tmp_path / "kaldi" / "final.alimdl").exists()
    assert not (tmp_path / "kaldi" / "final.mat").exists()
    assert "--delta-order=1" in (tmp_path / "kaldi" / "delta_opts").read_text()
    model = load_model(spoken_world.mono)
    assert_equal_models(model.transitions, model.gmm, *read_model(tmp_path / "kaldi" / "final.mdl"))
    assert read_tree(tmp_path / "kaldi" / "tree") == model.tree


@pytest.mark.realdata
@pytest.mark.parametrize("system", ["kaldi_tri1_dsp20", "kaldi_tri1_words_zh"])
def test_kaldis_own_files_come_out_as_they_were(ref_root, system):
    """Token by token: the same tags in the same order, numbers to the digits that Kaldi writes."""
    folder = ref_root / system
    tree = (folder / "tree.txt").read_text()
    assert kaldi_tree_text(read_tree(folder / "tree.txt")).split() == tree.split()
    theirs = gzip.decompress((folder / "final.mdl.txt.gz").read_bytes()).decode().split()
    ours = kaldi_model_text(*read_model(folder / "final.mdl.txt.gz")).split()
    assert len(ours) == len(theirs)
    tags = [(one, other) for one, other in zip(ours, theirs, strict=True) if one != other]
    numbers = np.array(tags, np.float64)  # fails on a tag that differs
    # Kaldi's constants are sums in another order; everything else has its six or seven digits.
    np.testing.assert_allclose(numbers[:, 0], numbers[:, 1], rtol=2e-5, atol=1e-5)

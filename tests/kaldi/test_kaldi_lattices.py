"""Kaldi's decoding results and lattices, reproduced from its models and graphs."""

import numpy as np
import pytest

from hybridasr.decode.latgen import LatticeOptions, decode_lattice
from hybridasr.decode.search import SearchOptions
from hybridasr.features.archives import read_ark
from hybridasr.graph.openfst import read_fst
from hybridasr.kaldi.model_text import read_model
from hybridasr.lattice.lattice_text import read_lattices, write_lattices
from hybridasr.lattice.paths import n_best
from hybridasr.lexicon.lang_files import read_symbols

pytestmark = pytest.mark.realdata

SCALE = 0.083333
# Words that differ from Kaldi's only where another word of the same sound costs the same.
SYSTEMS = {"kaldi_tri1_dsp20": (24, 0), "kaldi_tri1_words_zh": (60, 8)}


@pytest.fixture(scope="module", params=SYSTEMS)
def decoded(request, ref_root):
    """(name, folder, words, utterance -> (path, lattice))."""
    folder = ref_root / request.param
    graph = read_fst(folder / "HCLG.fst")
    transitions, gmm = read_model(folder / "final.mdl.txt.gz")
    scorer, pdfs = gmm.scorer(), transitions.tid_pdf[graph.ilabel]
    options = SearchOptions(beam=13.0, max_active=7000, acoustic_scale=SCALE)
    found = {key: decode_lattice(graph, pdfs, scorer.loglikes(feats), options, LatticeOptions(6.0))
             for key, feats in read_ark(folder / "feats.ark")}
    return request.param, folder, read_symbols(folder / "words.txt"), found


def test_words_and_costs_are_kaldis(decoded):
    name, folder, words, found = decoded
    lines = (folder / "decode.tsv").read_text(encoding="utf-8").splitlines()[1:]
    others = 0
    for line in lines:
        key, _, graph_cost, acoustic_cost, total_cost, text = line.split("\t")
        path, lattice = found[key]
        ids = tuple(words[word] for word in text.split())
        assert path.complete
        assert path.total_cost == pytest.approx(float(total_cost), rel=1e-3)
        same = next(other for other in n_best(lattice, 100, SCALE) if other.words == ids)
        # A homophone of the same cost may win: Kaldi's choice is one of rounding.
        assert same.total_cost(SCALE) == pytest.approx(path.total_cost, abs=2e-3)
        assert same.graph_cost == pytest.approx(float(graph_cost), rel=1e-3)
        assert SCALE * same.acoustic_cost == pytest.approx(float(acoustic_cost), rel=1e-3)
        others += tuple(path.words) != ids
    count, tied = SYSTEMS[name]
    assert len(lines) == len(found) == count
    assert others <= tied


def test_transition_ids_are_kaldis(decoded):
    _, folder, words, found = decoded
    frames = same = 0
    texts = {line.split("\t")[0]: line.split("\t")[5].split() for line in
             (folder / "decode.tsv").read_text(encoding="utf-8").splitlines()[1:]}
    for line in (folder / "decode_alignment.txt").read_text().splitlines():
        key, *tids = line.split()
        ids = tuple(words[word] for word in texts[key])
        path = next(other for other in n_best(found[key][1], 100, SCALE) if other.words == ids)
        same += (path.transition_ids == np.array(tids, int)).sum()
        frames += len(tids)
    assert same >= 0.999 * frames


def test_lattices_are_kaldis(decoded, tmp_path):
    """The same sequences of words with the same scores and transition-ids, also once written."""
    _, folder, words, found = decoded
    expected = dict(read_lattices(folder / "lattices_first3.txt", words.values()))
    assert len(expected) == 3
    write_lattices(tmp_path / "lat", [(key, found[key][1]) for key in expected])
    for key, lattice in read_lattices(tmp_path / "lat", words.values()):
        mine, theirs = ({path.words: path for path in n_best(item, 1000, SCALE)}
                        for item in (lattice, expected[key]))
        assert set(mine) == set(theirs)
        for sequence, path in theirs.items():
            assert mine[sequence].graph_cost == pytest.approx(path.graph_cost, rel=1e-3)
            assert mine[sequence].acoustic_cost == pytest.approx(path.acoustic_cost, rel=1e-3)
            np.testing.assert_array_equal(mine[sequence].transition_ids, path.transition_ids)

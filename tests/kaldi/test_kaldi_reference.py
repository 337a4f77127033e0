"""Kaldi's own models, graphs and alignments, read and reproduced."""

import gzip
import re

import numpy as np
import pynini
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from hybridasr.decode.align import AlignmentGraph, AlignOptions, align
from hybridasr.decode.words import phone_segments, word_segments
from hybridasr.features.archives import read_ark
from hybridasr.graph.training import TrainingGraphs, arc_costs
from hybridasr.kaldi.lang_text import read_kaldi_lang
from hybridasr.kaldi.model_text import read_model
from hybridasr.kaldi.tree_text import read_tree

pytestmark = pytest.mark.realdata

# Pdfs, Gaussians, frames and the log likelihood a frame that gmm-align-compiled reported.
SYSTEMS = {"kaldi_tri1_dsp20": (280, 3007, 4872, -93.477),
           "kaldi_tri1_words_zh": (832, 8021, 7370, -87.786)}


@pytest.fixture(scope="module", params=SYSTEMS)
def system(request, ref_root):
    """(name, folder, transitions, gmm, tree, lang)."""
    folder = ref_root / request.param
    return (request.param, folder, *read_model(folder / "final.mdl.txt.gz"),
            read_tree(folder / "tree.txt"), read_kaldi_lang(folder))


def test_sizes(system):
    name, _, transitions, gmm, tree, _ = system
    num_pdfs, num_gaussians = SYSTEMS[name][:2]
    assert (gmm.num_pdfs, gmm.num_gaussians) == (num_pdfs, num_gaussians)
    assert transitions.num_pdfs == tree.num_pdfs == num_pdfs
    assert (tree.context_width, tree.central_position) == (3, 1)
    np.testing.assert_allclose(np.add.reduceat(gmm.weights, gmm.offsets[:-1]), 1.0, rtol=0,
                               atol=1e-4)


def test_log_likelihoods_by_the_definition(system):
    """Means and variances out of the text by hand, densities by scipy."""
    _, folder, _, gmm, _, _ = system
    with gzip.open(folder / "final.mdl.txt.gz", "rt") as file:
        bodies = re.findall(r"<DiagGMM>(.*?)</DiagGMM>", file.read(), re.DOTALL)
    frames = next(iter(read_ark(folder / "feats.ark")))[1][::40]
    chosen = np.array([0, 7, len(bodies) - 1])
    found = gmm.scorer().loglikes(frames, chosen)
    for column, pdf in enumerate(chosen):
        numbers = {token: np.array(body.split(), float) for token, body in re.findall(
            r"<(\w+)>\s*\[([^]]*)\]", bodies[pdf])}
        size = len(numbers["WEIGHTS"])
        variances = 1 / numbers["INV_VARS"].reshape(size, -1)
        means = numbers["MEANS_INVVARS"].reshape(size, -1) * variances
        densities = norm.logpdf(frames[:, None], means, np.sqrt(variances)).sum(axis=2)
        np.testing.assert_allclose(found[:, column],
                                   logsumexp(densities + np.log(numbers["WEIGHTS"]), axis=1),
                                   rtol=1e-5, atol=1e-3)


def test_the_tree_gives_the_pdfs_of_kaldis_alignments(system):
    """The phones and states along Kaldi's alignments have, in their context, the tree's pdf."""
    _, folder, transitions, _, tree, _ = system
    for line in (folder / "forced_alignment.txt").read_text().splitlines():
        tids = np.array(line.split()[1:], int)
        segments = phone_segments(tids, transitions)
        phones = [0, *(segment.label for segment in segments), 0]
        for place, segment in enumerate(segments):
            window = tuple(phones[place:place + 3])
            states = transitions.topology.for_phone(segment.label).states
            for tid in np.unique(tids[segment.begin:segment.end]):
                pdf_class = states[transitions.tid_hmm_state[tid]].pdf_class
                assert tree.pdf(window, pdf_class) == transitions.tid_pdf[tid]


def test_lexicon_out_of_l(system):
    """Every word of the transcripts composed with L: the same phones with the same costs."""
    _, folder, _, _, _, lang = system
    lexicon = pynini.Fst.read(str(folder / "L.fst"))
    for line in (folder / "text").read_text(encoding="utf-8").splitlines():
        word = lang.words[line.split()[1]]
        said = pynini.Fst()
        said.add_states(2)
        said.set_start(0).set_final(1)
        said.add_arc(0, pynini.Arc(word, word, 0, 1))
        ways = pynini.compose(lexicon, said).paths()
        expected = {}
        while not ways.done():
            expected[tuple(filter(None, ways.ilabels()))] = float(ways.weight())
            ways.next()
        silence = ((), 1 - lang.sil_prob), ((lang.optional_silence,), lang.sil_prob)
        found = {(*before, *phones, *after): -np.log(p * q * r) for before, p in silence
                 for q, phones in lang.pronunciations[word] for after, r in silence}
        assert found == pytest.approx(expected, rel=1e-5)
    assert (lang.sil_prob, lang.phone_name(lang.optional_silence)) == (0.5, "SIL")
    assert lang.silence_phones == [lang.optional_silence]
    assert sorted([0, *lang.nonsilence_phones, *lang.silence_phones, *lang.disambig_phones]) \
        == list(range(len(lang.phones)))
    # Every word that can be said is there: all but <eps>, #0, <s> and </s>.
    assert len(lang.pronunciations) == len(lang.words) - 4


def test_alignments_are_kaldis(system):
    """Kaldi divides the whole cost of the path, graph included, by the acoustic scale."""
    name, folder, transitions, gmm, tree, lang = system
    expected_frames, expected_loglike = SYSTEMS[name][2:]
    options = AlignOptions(beam=10.0, retry_beam=40.0, acoustic_scale=0.1)
    reference = {fields[0]: np.array(fields[1:], int) for fields in map(
        str.split, (folder / "forced_alignment.txt").read_text().splitlines())}
    feats = dict(read_ark(folder / "feats.ark"))
    graphs = TrainingGraphs(lang, transitions, tree)
    costs, scorer = transitions.scaled_costs(1.0, 0.1), gmm.scorer()
    total, same, frames = 0.0, 0, 0
    for line in (folder / "text").read_text(encoding="utf-8").splitlines():
        key, *words = line.split()
        ids = [lang.words[word] for word in words]
        item = AlignmentGraph.of(graphs.build(tuple(ids)), transitions)
        path, retried = align(item, arc_costs(item.graph, costs),
                              scorer.loglikes(feats[key], item.pdfs), options)
        assert path is not None
        assert not retried
        assert path.words.tolist() == ids
        segments = word_segments(phone_segments(path.transition_ids, transitions), ids, lang)
        assert [segment.label for segment in segments] == ids
        same += (path.transition_ids == reference[key]).sum()
        frames += len(feats[key])
        total -= path.total_cost / options.acoustic_scale
    assert frames == expected_frames
    assert total / frames == pytest.approx(expected_loglike, abs=1e-3)
    # Kaldi adds in another order: a tie may fall otherwise on another processor.
    assert same >= 0.999 * frames

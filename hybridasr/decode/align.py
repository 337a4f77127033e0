"""Owns alignment of one utterance to its training graph: equal (flat start) and Viterbi.

An alignment is one transition-id a frame (int32, num_frames). Viterbi alignment is the decoder's
own search on the utterance's graph, with a beam and, if that fails, a retry beam.
"""

from dataclasses import dataclass

import numpy as np

from hybridasr.decode.search import BestPath, SearchOptions, search
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.graph.self_loops import GraphOptions, natural_scales
from hybridasr.hmm.topology import Topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import Lang
from hybridasr.options import nested, option
from hybridasr.tree.tree import ContextTree


@dataclass(frozen=True)
class AlignOptions:
    """Scales and beams of alignment, with Kaldi's names and defaults."""

    beam: float = option(10.0, "pruning beam of the alignment")
    retry_beam: float = option(40.0, "beam of the second try where the first reaches no end")
    acoustic_scale: float = option(0.1, "factor on the acoustic log likelihoods of a frame; the "
                                   "score of a network with a stride counts for all its frames")
    scales: GraphOptions = nested(GraphOptions)
    boost_silence: float = option(1.0, "factor on silence likelihoods while aligning")


def natural_options(topology: Topology, subsampling: int) -> AlignOptions:
    """Return the options that suit a model's topology where none are given.

    The defaults; of lattice-free MMI, the scales that it was trained with: each score, which stands
    for `subsampling` frames, counts as it is.
    """
    if not topology.is_chain:
        return AlignOptions()
    return AlignOptions(acoustic_scale=1.0 / subsampling, scales=natural_scales(topology))


@dataclass(frozen=True)
class AlignmentGraph:
    """A training graph with the pdfs that it uses, so that only they are scored.

    `pdfs` is int32 (num_used,); `columns` int32 (num_arcs,) indexes it, -1 on epsilon arcs.
    """

    graph: DecodingGraph
    pdfs: np.ndarray
    columns: np.ndarray

    @classmethod
    def of(cls, graph: DecodingGraph, transitions: TransitionModel) -> "AlignmentGraph":
        """Find the pdfs in use."""
        arc_pdfs = transitions.tid_pdf[graph.ilabel]
        pdfs, columns = np.unique(arc_pdfs, return_inverse=True)
        epsilon = int(len(pdfs) > 0 and pdfs[0] < 0)
        return cls(graph, pdfs[epsilon:].astype(np.int32), (columns - epsilon).astype(np.int32))


def align(graph: AlignmentGraph, costs: np.ndarray, loglikes: np.ndarray,
          options: AlignOptions) -> tuple[BestPath | None, bool]:
    """Align one utterance.

    Parameters
    ----------
    costs : float32 (num_arcs,)
        The arcs' costs, transitions included (`graph.training.arc_costs`).
    loglikes : float32 (num_frames, len(graph.pdfs))

    Returns
    -------
    (path or None if neither beam reaches the end, whether the retry beam was needed)
    """
    retried = False
    for beam in (options.beam, options.retry_beam):
        pruning = SearchOptions(beam=beam, max_active=1 << 30, min_active=20,
                                acoustic_scale=options.acoustic_scale)
        # A training graph is one transcript: wide bounds cost little, and lose no alignment.
        path = search(graph.graph, graph.columns, loglikes, pruning, costs)
        if path is not None and path.complete:
            return path, retried
        retried = True
    return None, True


def equal_alignment(words: tuple[int, ...], lang: Lang, transitions: TransitionModel,
                    tree: ContextTree, num_frames: int, rng: np.random.Generator,
                    speech: tuple[int, int] | None = None) -> np.ndarray | None:
    """Spread the frames evenly over the states of a transcript, for a flat start.

    Pronunciations and optional silences are drawn at random with their probabilities; where the
    frames do not suffice, silences are left out. As Kaldi's align-equal-compiled.

    Parameters
    ----------
    speech : (int, int), optional
        First and last + 1 frame of what is said, where that is known: the frames before and after
        are silence, no more is drawn there.

    Returns
    -------
    int32 (num_frames,) transition-ids; None if there are fewer frames than states.
    """
    begin, end = speech if speech and words else (0, num_frames)
    pause = _forward_path([lang.optional_silence], transitions, tree)
    # Silence has states to pass, and a lexicon may have none.
    before, after = (count >= len(pause) and lang.sil_prob > 0
                     for count in (begin, num_frames - end))
    phones: list[int] = []
    silences = rng.random(len(words) + 1) < lang.sil_prob
    for place, word in enumerate(words):
        choices = lang.pronunciations[word]
        shares = np.array([probability for probability, _ in choices])
        chosen = choices[rng.choice(len(choices), p=shares / shares.sum())][1]
        phones += [lang.optional_silence] * bool(silences[place] and not (before and place == 0))
        phones += chosen
    phones += [lang.optional_silence] * bool(silences[-1] and not after)
    edges = [0, begin if before else 0, end if after else num_frames, num_frames]
    said = _spread(_forward_path(phones, transitions, tree), edges[2] - edges[1])
    if said is None:
        # Silence is optional, speech is not.
        spoken = [phone for phone in phones if phone != lang.optional_silence]
        edges = [0, 0, num_frames, num_frames]
        said = _spread(_forward_path(spoken, transitions, tree), num_frames)
    if said is None:
        return None
    parts = [_spread(pause, edges[1]), said, _spread(pause, num_frames - edges[2])]
    return np.concatenate([part for part in parts if part is not None])


def _spread(steps: list[tuple[int, int]], num_frames: int) -> np.ndarray | None:
    """Return transition-ids, int32 (num_frames,), of steps that take equally long, or None."""
    if not steps or len(steps) > num_frames:
        return None
    # Whole frames, the remainder spread: lengths differ by one at most.
    edges = np.arange(len(steps) + 1) * num_frames // len(steps)
    alignment = np.empty(num_frames, np.int32)
    for (forward, loop), begin, end in zip(steps, edges[:-1], edges[1:], strict=True):
        alignment[begin:end] = loop
        alignment[begin] = forward  # self-loops come after the forward transition
    return alignment


def _forward_path(phones: list[int], transitions: TransitionModel,
                  tree: ContextTree) -> list[tuple[int, int]]:
    """Return (forward transition-id, self-loop id) through every state of the phones in turn."""
    steps = []
    for phone in phones:
        states = transitions.topology.for_phone(phone).states
        for number, state in enumerate(states[:-1]):
            pdf = tree.pdf((phone,), state.pdf_class)
            tstate = transitions.transition_state(phone, number, pdf)
            onward = [to for to, _ in state.transitions].index(number + 1)
            steps.append((transitions.transition_id(tstate, onward),
                          transitions.self_loop(tstate)))
    return steps

"""Owns the start of lattice-free MMI: alignments at the output rate, and a tree grown on them.

Takes the alignments of an earlier system; gives the phones of every utterance with their times,
altered copies included, and a tree that asks for the left neighbour at most. The tree is grown on
frames that stand for outputs, in a projection that separates the earlier system's states best
(LDA), whatever the network's features are.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from hybridasr.chain.numerator import PhoneTimes, output_bounds
from hybridasr.corpus.datadir import DataDir
from hybridasr.decode.words import phone_segments
from hybridasr.gmm.lda import LdaStats, estimate_lda
from hybridasr.hmm.topology import Topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import Lang
from hybridasr.model.acoustic import AcousticModel
from hybridasr.train.minibatch import FrameSet, silence_frames
from hybridasr.tree.build import TreeOptions, grow_tree
from hybridasr.tree.questions import phone_questions
from hybridasr.tree.stats import collect, merge
from hybridasr.tree.tree import DecisionTree, monophone_tree

SPLICED, DIM = 3, 40  # frames to each side that the projection sees, and its columns
BLOCK = 200  # utterances whose frames are spliced at a time


def set_phone_times(frames: FrameSet, alignments: Mapping[str, np.ndarray], model: AcousticModel,
                    data: DataDir) -> list[PhoneTimes | None]:
    """Return the phones of every utterance of a set; None where there is no alignment.

    Parameters
    ----------
    alignments : mapping of str to int32 (num_scores,)
        Transition-ids of `model`, of originals or of the utterances themselves.
    data : DataDir
        Whose ``utt2silence`` tells what is around copies.
    """
    around = silence_frames(data, model.features.frame_shift_ms / 1000)
    known: dict[str, PhoneTimes] = {}
    result: list[PhoneTimes | None] = []
    for name, original, length in zip(frames.utterances, frames.originals,
                                      np.diff(frames.starts).tolist(), strict=True):
        source = name if name in alignments else original
        if source not in alignments or name in frames.noise:
            result.append(None)
            continue
        if source not in known:
            segments = phone_segments(alignments[source], model.transitions)
            bounds = [*(one.begin for one in segments), len(alignments[source])]
            known[source] = PhoneTimes(tuple(one.label for one in segments),
                                       model.subsampling * np.array(bounds, np.int64))
        silence = (0, 0) if source == name else around.get(name, (0, 0))
        result.append(moved_times(known[source], length, silence,
                                  model.lang.optional_silence))
    return result


def moved_times(times: PhoneTimes, length: int, around: tuple[int, int], silence: int
                ) -> PhoneTimes:
    """Return the phones of a copy of `length` frames, with silence that was put around it.

    >>> copy = moved_times(PhoneTimes((5,), np.array([0, 10])), 16, (4, 0), silence=1)
    >>> copy.phones, copy.bounds.tolist()
    ((1, 5), [0, 4, 16])
    """
    before, after = around
    inside, old = length - before - after, int(times.bounds[-1])
    bounds = before + (times.bounds * inside + old // 2) // old
    phones = times.phones
    if before and phones[0] != silence:
        phones, bounds = (silence, *phones), np.concatenate([[0], bounds])
    if after and phones[-1] != silence:
        phones, bounds = (*phones, silence), np.concatenate([bounds, [length]])
    # Silence that is there already grows.
    bounds[0], bounds[-1] = 0, length
    return PhoneTimes(phones, bounds)


def chain_tree(frames: FrameSet, times: list[PhoneTimes | None], num_classes: int, lang: Lang,
               topology: Topology, subsampling: int, options: TreeOptions) -> DecisionTree:
    """Grow the tree of a chain topology.

    Parameters
    ----------
    num_classes : int
        Of the frames' classes, which the projection is to separate.
    options : TreeOptions
        With context width 1, the phones (or sets of them) have one leaf a pdf-class.
    """
    if options.context_width == 1:
        return monophone_tree(lang.sets, topology)
    # Copies are of the same phones: the originals say what there is to tell apart.
    own = [number for number, (name, original) in enumerate(
        zip(frames.utterances, frames.originals, strict=True)) if name == original]
    chosen = [number for number in own or range(len(times)) if times[number] is not None]
    lda = LdaStats.zeros(num_classes, frames.feats.shape[1] * (2 * SPLICED + 1))
    for block in _blocks(chosen):
        for number in block:
            spliced, rows = _spliced(frames, number, subsampling)
            lda.accumulate(spliced, frames.pdfs[rows])
    matrix = estimate_lda(lda, min(DIM, len(lda.second))).matrix.astype(np.float32)
    parts = []
    for block in _blocks(chosen):
        keys, feats = [], []
        for number in block:
            rows = output_keys(times[number], subsampling, lang.silence_phones)
            if rows is not None:
                keys.append(rows)
                feats.append(_spliced(frames, number, subsampling)[0] @ matrix.T)
        if keys:
            parts.append(collect(np.concatenate(keys), np.concatenate(feats)))
    stats = merge(parts)
    questions = phone_questions(stats, options.central_position, lang.sets, lang.extra_questions)
    return grow_tree(stats, lang.roots, questions, topology, options).tree


def _blocks(numbers: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(numbers), BLOCK):
        yield numbers[start:start + BLOCK]


def _spliced(frames: FrameSet, number: int, subsampling: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what stands around each output of an utterance, and the frames themselves."""
    begin, end = frames.starts[number:number + 2]
    rows = np.arange(begin, end, subsampling)
    near = np.clip(rows[:, None] + np.arange(-SPLICED, SPLICED + 1), begin, end - 1)
    return np.asarray(frames.feats[begin:end])[near - begin].reshape(len(rows), -1), rows


def output_keys(times: PhoneTimes, subsampling: int, context_independent: list[int]
                ) -> np.ndarray | None:
    """Return (left neighbour, phone, pdf-class) of every output: int32 (num_outputs, 3).

    Phones of `context_independent` have no neighbour. None if there are more phones than outputs.

    >>> times = PhoneTimes((1, 2, 3), np.array([0, 6, 9, 15]))
    >>> output_keys(times, 3, [1]).tolist()
    [[0, 1, 0], [0, 1, 1], [1, 2, 0], [2, 3, 0], [2, 3, 1]]
    """
    bounds = output_bounds(times.bounds, subsampling)
    if bounds is None:
        return None
    phones = np.array(times.phones, np.int32)
    left = np.concatenate([[0], phones[:-1]])
    left[np.isin(phones, context_independent)] = 0
    lengths = np.diff(bounds)
    later = np.ones(bounds[-1], np.int32)
    later[bounds[:-1]] = 0
    return np.column_stack([np.repeat(left, lengths), np.repeat(phones, lengths), later]
                           ).astype(np.int32)


def output_alignment(times: PhoneTimes, subsampling: int, transitions: TransitionModel,
                     tree: DecisionTree) -> np.ndarray | None:
    """Return the transition-ids of a chain topology along an alignment, int32 (num_outputs,).

    None if there are more phones than outputs.
    """
    bounds = output_bounds(times.bounds, subsampling)
    if bounds is None:
        return None
    ids, left = [], 0
    for phone, length in zip(times.phones, np.diff(bounds).tolist(), strict=True):
        window = (left, phone)[-tree.context_width:]
        first, later = (transitions.transition_state(phone, state, tree.pdf(window, state))
                        for state in (0, 1))
        # Into the second state or out at once; there, self-loops follow the way out.
        ids.append(transitions.transition_id(first, int(length == 1)))
        ids += [transitions.transition_id(later, 1)] * (length > 1)
        ids += [transitions.transition_id(later, 0)] * (length - 2)
        left = phone
    return np.array(ids, np.int32)

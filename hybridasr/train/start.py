"""Owns the start of every system with a tree: from alignments to tree, first mixtures and graphs.

Takes the alignments of an earlier system; grows a tree on the features of the new one, gives each
leaf a Gaussian, and writes the alignments in the new model's transition-ids (Kaldi: acc-tree-stats,
cluster-phones, build-tree, gmm-init-model, convert-ali).
"""

import logging
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hybridasr.corpus.datadir import DataDir
from hybridasr.decode.words import phone_segments, word_segments
from hybridasr.errors import UserError
from hybridasr.features.archives import read_ark
from hybridasr.features.feature_kind import check_features
from hybridasr.features.normalization import set_normalization
from hybridasr.features.pipeline import PipelineOptions
from hybridasr.gmm.diag import DiagGmm
from hybridasr.gmm.update import UpdateOptions
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import Lang
from hybridasr.lexicon.transcripts import check_phones
from hybridasr.model.acoustic import AcousticModel
from hybridasr.model.directory import load_model
from hybridasr.parallel import run_blocks
from hybridasr.train.blocks import (
    BlockRef,
    cut_blocks,
    read_block,
    read_view,
    write_blocks,
    write_graphs,
)
from hybridasr.train.em import Clock, TrainState, write_features
from hybridasr.tree.build import GrownTree, TreeOptions, grow_tree
from hybridasr.tree.questions import phone_questions
from hybridasr.tree.stats import (
    TreeStats,
    collect,
    distinct_rows,
    frame_keys,
    frame_windows,
    merge,
)
from hybridasr.tree.tree import DecisionTree, allowed_tuples

logger = logging.getLogger("hybridasr")
CHECKED_UTTERANCES = 100  # whose alignments are held against the lexicon


@dataclass(frozen=True)
class SourceSystem:
    """An earlier system and its alignments of the training set."""

    directory: Path
    model: AcousticModel
    alignments: dict[str, np.ndarray]
    speakers: dict[str, np.ndarray]  # transforms that the alignments were made with


def read_source(directory: Path, data: DataDir, lang: Lang,
                same_features: bool = True) -> SourceSystem:
    """Read a directory with a model and ``ali.ark``, and check that they fit data and lexicon.

    Without `same_features` the data's may be of another kind than the model's, and the alignments
    may have an id for every second or third frame only.

    Raises
    ------
    UserError
        if there are no alignments, or they were made with other phones, another lexicon or other
        features.
    """
    model = load_model(directory)
    if not (directory / "ali.ark").is_file():
        raise UserError("no alignments (ali.ark) there; make them with 'hybridasr align DATA LANG "
                        f"MODEL {directory}'", directory)
    if same_features and model.subsampling > 1:
        raise UserError(f"its alignments have one id for {model.subsampling} frames, as its "
                        "network scores no more; mixtures need one for each: align with another "
                        "system", directory)
    # Cheap checks first: each of these would show late, as a model that errs.
    check_phones(model.lang, lang, directory)
    if same_features:
        check_features(data.path, model.features)
    alignments = dict(read_ark(directory / "ali.ark"))
    _check_alignments(alignments, model, data, lang, directory)
    transforms = directory / "trans.ark"
    speakers = dict(read_ark(transforms)) if transforms.is_file() else {}
    return SourceSystem(directory, model, alignments, speakers)


def _check_alignments(alignments: Mapping[str, np.ndarray], model: AcousticModel, data: DataDir,
                      lang: Lang, directory: Path) -> None:
    shared = [u for u in data.utterances if u in alignments]
    if not shared:
        raise UserError(f"has alignments of none of the utterances of {data.path}; align this set",
                        directory)
    for name in shared[:CHECKED_UTTERANCES]:
        ids = alignments[name]
        if ids.min() < 1 or ids.max() > model.transitions.num_tids:
            raise UserError(f"the alignment of '{name}' has transition-ids that its model lacks; "
                            "align again", directory)
        # Alignments carry no words: their phones must be cut into those of the transcript.
        words = [lang.words.get(word, lang.oov) for word in data.utterances[name].words]
        phones = phone_segments(ids, model.transitions)
        spoken = sum(segment.label != lang.optional_silence for segment in phones)
        segments = word_segments(phones, words, lang)
        covered = sum(1 for p in phones if p.label != lang.optional_silence
                      and any(w.begin <= p.begin < w.end for w in segments))
        if len(segments) != len(words) or covered != spoken:
            said = " ".join(lang.phone_name(p.label) for p in phones)
            raise UserError(f"its alignments are of another lexicon than {lang.path}: the one of "
                            f"'{name}' has the phones {said}, which are not "
                            f"'{' '.join(data.utterances[name].words)}'; align again with this "
                            "lang directory", directory)


def prepare_state(data: DataDir, lang: Lang, source: SourceSystem, pipeline: PipelineOptions,
                  destination: Path, pool: Executor) -> TrainState:
    """Write the blocks; return the earlier system's model with `pipeline`, its alignments cut.

    The features of the state are not written yet (`write_features`).
    """
    normalization = set_normalization(data, source.model.features, pipeline)
    refs = write_blocks(data, lang, normalization, destination / "blocks", pool)
    model = replace(source.model, lang=lang, pipeline=pipeline, transform=None, adaptation=None,
                    info={}, cmvn=normalization.prior)
    alignments = cut_blocks(refs, source.alignments.get)
    unused = sum(len(read_block(ref).utterances) for ref in refs) - len(source.alignments)
    if not any(ids.any() for ids in alignments):
        raise UserError("its alignments have other numbers of frames than the features of "
                        f"{data.path}; align this set again", source.directory)
    if unused > 0:
        logger.debug("%d utterances have no alignment to start from", unused)
    return TrainState(model, refs, alignments, data_path=data.path)


def same_features(data: DataDir, lang: Lang, source: SourceSystem, destination: Path,
                  pool: Executor) -> TrainState:
    """Return the earlier system on its own features, its speakers' transforms included."""
    state = prepare_state(data, lang, source, source.model.pipeline, destination, pool)
    model = replace(state.model, transform=source.model.transform)
    return write_features(replace(state, model=model, speakers=source.speakers), pool)


def grow_system(state: TrainState, options: TreeOptions, pool: Executor, clock: Clock
                ) -> tuple[TrainState, GrownTree]:
    """Grow a tree on the current features and turn the state into the new system's start."""
    model, lang = state.model, state.model.lang
    begun = clock.elapsed
    # Statistics of every context that was seen: frames, sums and sums of squares.
    calls = [(ref, alignment, model.transitions, options.context_width, options.central_position,
              lang.silence_phones) for ref, alignment in zip(state.refs, state.alignments,
                                                            strict=True)]
    stats = merge([part for part in run_blocks(pool, _tree_stats, calls, desc="tree statistics")
                   if part is not None])
    topology = model.transitions.topology
    questions = phone_questions(stats, options.central_position, lang.sets, lang.extra_questions)
    growth = grow_tree(stats, lang.roots, questions, topology, options)
    logger.debug("tree: %d questions, %d contexts seen, %d leaves, %d after merging; gain %.3f "
                 "log likelihood a frame", len(questions), len(stats.keys), growth.num_split,
                 growth.tree.num_pdfs, growth.gain)
    _warn_of_unseen(stats, lang, options.central_position)
    transitions = TransitionModel(topology, allowed_tuples(growth.tree, topology))
    new = replace(model, tree=growth.tree, transitions=transitions, gmm=leaf_gmm(growth.sums))
    # The frames stay in their HMM states; only what these are called changes.
    alignments = convert_alignments(state, new, pool)
    write_graphs(state.refs, new, pool)
    clock.add("tree", clock.elapsed - begun)
    return replace(state, model=new, alignments=alignments), growth


def _tree_stats(ref: BlockRef, alignment: np.ndarray, transitions: TransitionModel, width: int,
                central: int, alone: list[int]) -> TreeStats | None:
    block, feats = read_block(ref), read_view(ref)
    rows = [block.rows(number) for number in range(len(block.utterances))]
    # An utterance is aligned whole or not at all.
    rows = [r for r in rows if r.stop > r.start and alignment[r.start] > 0]
    if not rows:
        return None
    keys = [frame_keys(alignment[r], transitions, width, central, alone) for r in rows]
    return collect(np.concatenate(keys), np.concatenate([feats[r] for r in rows]))


def _warn_of_unseen(stats: TreeStats, lang: Lang, central: int) -> None:
    phones = set(stats.keys[:, central].tolist())
    unseen = [lang.phone_name(phone) for phone in lang.nonsilence_phones if phone not in phones]
    if unseen:
        logger.info("phones never seen in training, which sound like the phones that share their "
                    "root, or like the average: %s", " ".join(unseen))


def leaf_gmm(sums: np.ndarray) -> DiagGmm:
    """Return one Gaussian a leaf; a leaf without frames gets that of all frames.

    Parameters
    ----------
    sums : float64 (num_pdfs, 1 + 2 * dim)
    """
    dim = (sums.shape[1] - 1) // 2
    whole = sums.sum(0)
    # A mean of one frame has no variance.
    filled = np.where(sums[:, :1] > 1.0, sums, whole)
    means = filled[:, 1:1 + dim] / filled[:, :1]
    variances = filled[:, 1 + dim:] / filled[:, :1] - means**2
    return DiagGmm(np.ones(len(sums)), means, np.maximum(variances, UpdateOptions().min_variance),
                   np.arange(len(sums) + 1, dtype=np.int64))


def convert_alignments(state: TrainState, new: AcousticModel, pool: Executor) -> list[np.ndarray]:
    """Return the alignments of `state` in the transition-ids of another tree's model."""
    calls = [(ref, alignment, state.model.transitions, new.transitions, new.tree)
             for ref, alignment in zip(state.refs, state.alignments, strict=True)]
    return list(run_blocks(pool, _convert_block, calls, desc="alignments"))


def _convert_block(ref: BlockRef, alignment: np.ndarray, old: TransitionModel,
                   new: TransitionModel, tree: DecisionTree) -> np.ndarray:
    block = read_block(ref)
    rows = [block.rows(number) for number in range(len(block.utterances))]
    rows = [r for r in rows if r.stop > r.start and alignment[r.start] > 0]
    converted = np.zeros_like(alignment)
    if not rows:
        return converted
    windows = np.concatenate([frame_windows(alignment[r], old, tree.context_width,
                                            tree.central_position) for r in rows])
    ids = np.concatenate([alignment[r] for r in rows])
    arcs = ids - old.first_tid[old.tid_state[ids] - 1]
    keys = np.column_stack([windows, old.tid_pdf_class[ids], old.tid_hmm_state[ids], arcs])
    # Few different windows among many frames: the tree is asked once for each.
    unique, numbers = distinct_rows(keys)
    tids = np.empty(len(unique), np.int32)
    for place, (*window, pdf_class, hmm_state, arc) in enumerate(unique.tolist()):
        phone, pdf = window[tree.central_position], tree.pdf(tuple(window), pdf_class)
        tids[place] = new.transition_id(new.transition_state(phone, hmm_state, pdf), arc)
    converted[np.concatenate([np.arange(r.start, r.stop) for r in rows])] = tids[numbers]
    return converted

"""Owns the quick system: a new tree on adapted features, without starting over.

Each new leaf begins with the mixture of the old leaf that most of its frames had, merged down to
its share of Gaussians, so that few iterations suffice (Kaldi's train_quick.sh).
"""

from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hybridasr.checkpoint import CHECKPOINT
from hybridasr.corpus.datadir import DataDir
from hybridasr.gmm.diag import DiagGmm
from hybridasr.gmm.update import merged, split_targets
from hybridasr.lexicon.langdir import Lang
from hybridasr.model.acoustic import AcousticModel
from hybridasr.options import nested
from hybridasr.train.em import Clock, EmOptions, TrainState, run_em
from hybridasr.train.finish import finish, run_digest
from hybridasr.train.sat import estimate_adaptation
from hybridasr.train.start import grow_system, read_source, same_features
from hybridasr.tree.build import TreeOptions


@dataclass(frozen=True)
class QuickOptions:
    """Schedule, sizes and tree of a quick system (names and defaults of train_quick.sh)."""

    em: EmOptions = nested(EmOptions, num_iters=20, max_iter_inc=15, realign_iters="10 15")
    tree: TreeOptions = nested(TreeOptions)


def train_quick(data: DataDir, lang: Lang, source: Path, destination: Path, pool: Executor,
                options: QuickOptions) -> AcousticModel:
    """Train a system with another tree on the features of the one in `source`.

    Speakers keep the transforms that its alignments were made with.

    Raises
    ------
    UserError
        if the alignments do not fit data or lexicon.
    """
    clock = Clock()
    old = same_features(data, lang, read_source(source, data, lang), destination, pool)
    clock.add("prepare", clock.elapsed)
    state, _ = grow_system(old, options.tree, pool, clock)
    # Its first mixtures come from the system before, not from single Gaussians.
    gmm = inherited_gmm(old, state, options)
    state = replace(state, model=replace(state.model, gmm=gmm))
    state, result = run_em(state, options.em, pool, destination / CHECKPOINT,
                           run_digest(state, options), clock)
    adaptation = estimate_adaptation(state, pool) if state.speakers else None
    return finish(data, state, result, options, clock, destination, pool, adaptation)


def inherited_gmm(old: TrainState, new: TrainState, options: QuickOptions) -> DiagGmm:
    """Return the first mixtures of a new tree: half of the Gaussians wanted at the end."""
    num_old, num_new = old.model.transitions.num_pdfs, new.model.tree.num_pdfs
    overlap = np.zeros((num_new, num_old))
    for before, after in zip(old.alignments, new.alignments, strict=True):
        # Frames that have old pdf i and new pdf j.
        pairs = (new.model.transitions.tid_pdf[after].astype(np.int64) * num_old
                 + old.model.transitions.tid_pdf[before])[after > 0]
        overlap += np.bincount(pairs, minlength=num_new * num_old).reshape(overlap.shape)
    # Half of the Gaussians: the other half comes by splitting while training.
    sizes = split_targets(overlap.sum(1), np.ones(num_new, np.int64), options.em.totgauss // 2,
                          options.em.power)
    parts = []
    for pdf, size in enumerate(sizes.tolist()):
        if overlap[pdf].any():
            parts.append(merged(old.model.gmm, int(np.argmax(overlap[pdf])), size))
        else:  # never seen: what the tree's statistics gave
            parts.append(merged(new.model.gmm, pdf, size))
    weights, means, variances = (np.concatenate(column) for column in zip(*parts, strict=True))
    counts = [len(part[0]) for part in parts]
    return DiagGmm(weights, means, variances, np.concatenate([[0], np.cumsum(counts)]))

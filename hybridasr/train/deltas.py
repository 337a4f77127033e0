"""Owns the first triphone system: MFCC with deltas, a tree, mixtures (Kaldi's train_deltas.sh)."""

from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

from hybridasr.checkpoint import CHECKPOINT
from hybridasr.corpus.datadir import DataDir
from hybridasr.features.pipeline import base_pipeline
from hybridasr.lexicon.langdir import Lang
from hybridasr.model.acoustic import AcousticModel
from hybridasr.options import nested, option
from hybridasr.train.em import Clock, EmOptions, run_em, write_features
from hybridasr.train.finish import finish, run_digest
from hybridasr.train.start import grow_system, prepare_state, read_source
from hybridasr.tree.build import TreeOptions


@dataclass(frozen=True)
class DeltasOptions:
    """Schedule, sizes and tree of a triphone system (names and defaults of train_deltas.sh)."""

    em: EmOptions = nested(EmOptions)
    tree: TreeOptions = nested(TreeOptions)
    delta_order: int = option(2, "derivatives appended, 0 for none")


def train_deltas(data: DataDir, lang: Lang, source: Path, destination: Path, pool: Executor,
                 options: DeltasOptions) -> AcousticModel:
    """Train a triphone system on the alignments in `source` and write it to `destination`.

    Raises
    ------
    UserError
        if the alignments do not fit data or lexicon.
    """
    clock = Clock()
    earlier = read_source(source, data, lang)
    pipeline = replace(base_pipeline(earlier.model.pipeline), delta_order=options.delta_order)
    state = write_features(prepare_state(data, lang, earlier, pipeline, destination, pool), pool)
    clock.add("prepare", clock.elapsed)
    state, _ = grow_system(state, options.tree, pool, clock)
    state, result = run_em(state, options.em, pool, destination / CHECKPOINT,
                           run_digest(state, options), clock)
    return finish(data, state, result, options, clock, destination, pool)

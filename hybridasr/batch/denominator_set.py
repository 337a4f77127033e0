"""Owns the making of denominator lattices: what else the utterances of a training set may be.

Kaldi's steps/nnet/make_denlats.sh: a unigram model of the training transcripts, composed into a
graph, and the set decoded with it. Ours are lattices by HMM states; with the best path alone of
each sequence of words, as Kaldi's, unless all are asked for. Blocks that are there already, made of
the same, are kept, so that a run that was stopped goes on.
"""

import logging
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybridasr.batch.driver import SetBlocks, directory_stamp, once_a_worker
from hybridasr.corpus.datadir import DataDir
from hybridasr.decode.latgen import LatticeOptions, decode_lattice, raw_lattice
from hybridasr.decode.search import BestPath, SearchOptions
from hybridasr.errors import NotEnoughData, UserError, name_some
from hybridasr.features.feature_cache import matching_features
from hybridasr.features.feature_set import FeatureBlock
from hybridasr.features.normalization import set_normalization
from hybridasr.graph.mkgraph import compose_graph
from hybridasr.lexicon.langdir import Lang
from hybridasr.lexicon.transcripts import (
    check_phones,
    warn_of_unknown_words,
    without_other_speech,
    word_ids,
)
from hybridasr.lm.grammar import unigram_grammar
from hybridasr.model.acoustic import AcousticModel
from hybridasr.model.directory import load_model
from hybridasr.options import option, seed_option, to_dict
from hybridasr.parallel import run_blocks
from hybridasr.recognize.graph_grammar import GraphGrammar, read_graph
from hybridasr.sequence.lattice_set import RECORD, block_file
from hybridasr.sequence.state_lattice import (
    StateLattice,
    read_state_lattices,
    write_state_lattices,
)
from hybridasr.storage import digest, digest_file, write_json

logger = logging.getLogger("hybridasr")


@dataclass(frozen=True)
class DenlatOptions:
    """How denominator lattices are made, with Kaldi's names and defaults."""

    beam: float = option(13.0, "tokens worse than the best by more than this are dropped")
    lattice_beam: float = option(7.0, "alternatives worse than the best path by more than this "
                                      "are dropped")
    max_active: int = option(5000, "at most about this many states live in a frame")
    acoustic_scale: float | None = option(None, "factor on the acoustic log likelihoods; none: "
                                          "the model's own")
    graph: str | None = option(None, "graph directory to decode with; none: made of a unigram "
                               "model of the transcripts")
    determinize: bool = option(True, "keep the best path alone of each sequence of words; if not, "
                               "all its paths, whose boundaries a training then sharpens too")
    seed: int = seed_option("how much is known of a speaker before each utterance, as in training")

    def __post_init__(self):
        LatticeOptions(self.lattice_beam)
        self.search(1.0)

    def search(self, scale: float) -> SearchOptions:
        """Return the options of the search, with a scale where none is given."""
        return SearchOptions(beam=self.beam, max_active=self.max_active,
                             min_active=min(200, self.max_active),
                             acoustic_scale=self.acoustic_scale).resolved(scale)


@dataclass(frozen=True)
class _Task:
    """All that decides a block; `stamp` changes when the files change."""

    model: Path
    graph: Path
    search: SearchOptions
    lattice: LatticeOptions
    determinize: bool
    stamp: str


@dataclass(frozen=True)
class _Made:
    """What a block holds: utterances, scored frames, arcs; those with no or no complete path."""

    utterances: int
    frames: int
    arcs: int
    failed: tuple[str, ...] = ()
    partial: tuple[str, ...] = ()


def load_frame_network(source: Path) -> AcousticModel:
    """Read the network that training on lattices goes on from.

    Raises
    ------
    UserError
        if it is none, or writes labels.
    """
    model = load_model(source)
    if model.nnet is None:
        raise UserError("is no network; sequence training goes on from one, make it with "
                        "'hybridasr train-dnn'", source)
    if model.info.get("criterion") == "ctc":
        raise UserError("writes labels (train-ctc), which it would not do afterwards; sequence "
                        "training goes on from a network of 'hybridasr train-dnn'", source)
    return model


def make_denlats(data: DataDir, lang: Lang, source: Path, destination: Path, pool: Executor,
                 options: DenlatOptions | None = None) -> str:
    """Decode a training set to lattices by HMM states; return the closing line.

    Parameters
    ----------
    data : DataDir
        Features that it lacks, or has of another kind than the model's, are made into a cache.
    lang : Lang
        Of the model's phones; its words make the graph.
    source : Path
        The directory of a network.

    Raises
    ------
    NotEnoughData
        if no utterance gives a lattice.
    UserError
        if the model is no network, or does not fit lang directory or graph.
    """
    options = options or DenlatOptions()
    model = load_frame_network(source)
    check_phones(model.lang, lang, source)
    # Other speech has no alignment to hold against a lattice.
    data = matching_features(without_other_speech(data, lang), model.features, pool)
    (destination / RECORD).unlink(missing_ok=True)
    graph = Path(options.graph) if options.graph else _make_graph(data, lang, model, destination)
    read_graph(graph, model, source)  # told before any work
    # As in training: nothing known of a speaker, a little, much.
    known = "drawn" if model.pipeline.cmvn == "online" else "all"
    blocks = SetBlocks.of(data, set_normalization(data, model.features, model.pipeline, model.cmvn,
                                                  known, options.seed), by_speaker=False)
    task = _Task(source, graph, options.search(model.acoustic_scale),
                 LatticeOptions(options.lattice_beam), options.determinize,
                 digest(to_dict(options), _contents(source), digest_file(graph / "graph.npz")))
    calls = ((block_file(destination, number), block, task)
             for number, block in enumerate(blocks, 1))
    results = list(run_blocks(pool, _make_block, calls, desc=f"lattices {data.path.name}",
                           total=len(blocks)))
    return _finish(destination, results, model, task, options)


def _contents(directory: Path) -> list[str]:
    return [digest_file(path) for path in sorted(directory.glob("*.npz"))]


def _make_graph(data: DataDir, lang: Lang, model: AcousticModel, destination: Path) -> Path:
    """Write the graph of a unigram model of the transcripts."""
    warn_of_unknown_words(data, lang.words, lang.path)
    grammar = unigram_grammar(word_ids(one, lang.words, lang.oov)
                              for one in data.utterances.values())
    logger.info("%s", compose_graph(lang, model.transitions, model.tree, destination / "graph",
                                    "unigram", grammar, model.graph_options))
    return destination / "graph"


def _finish(destination: Path, results: list[_Made], model: AcousticModel, task: _Task,
            options: DenlatOptions) -> str:
    utterances, frames, arcs = (sum(getattr(one, name) for one in results)
                                for name in ("utterances", "frames", "arcs"))
    failed, partial = ([name for one in results for name in getattr(one, kind)]
                       for kind in ("failed", "partial"))
    if not utterances:
        raise NotEnoughData("no utterance gave a lattice; give a wider --beam, or check the "
                            "features", destination)
    for names, what in ((failed, "gave no lattice"), (partial, "reached no final state; their "
                                                               "lattices are partial")):
        if names:
            logger.warning("%s: %d utterances %s: %s", destination, len(names), what,
                           name_some(names))
    # Blocks of an earlier, larger set.
    number = len(results) + 1
    while block_file(destination, number).exists():
        block_file(destination, number).unlink()
        number += 1
    write_json(destination / RECORD, {
        "acoustic_scale": float(task.search.acoustic_scale or 0.0),
        "num_tids": model.transitions.num_tids, "blocks": len(results), "utterances": utterances,
        "frames": frames, "arcs": arcs, "failed": failed, "partial": partial,
        "options": to_dict(options)})
    return (f"{destination}: {utterances} lattices, {frames} frames, {arcs / frames:.1f} arcs a "
            f"frame, failed {len(failed)}, partial {len(partial)}")


def _grammar(task: _Task, stamp: tuple) -> tuple[AcousticModel, GraphGrammar]:
    del stamp  # part of the key: a model made anew under the same name is read anew
    model = load_model(task.model)
    return model, read_graph(task.graph, model, task.model)


def _make_block(path: Path, block: FeatureBlock, task: _Task) -> _Made:
    entries = [[one.utterance, block.feats.entries[one.utterance]] for one in block.utterances]
    stamp = digest(task.stamp, entries)
    there = _made_before(path, stamp, [one.utterance for one in block.utterances])
    if there is not None:
        return there
    model, grammar = once_a_worker(_grammar, task, directory_stamp(task.model, task.graph))
    names, lattices, failed, partial, frames = [], [], [], [], 0
    for name, feats in block.load():
        best, lattice = _decode(model, grammar, feats, task)
        if best is None or lattice is None:
            failed.append(name)
            continue
        names.append(name)
        lattices.append(lattice)
        partial += [] if best.complete else [name]
        frames += -(-len(feats) // model.subsampling)
    write_state_lattices(path, stamp, names, lattices, frames, partial)
    return _Made(len(names), frames, sum(one.num_arcs for one in lattices), tuple(failed),
                 tuple(partial))


def _decode(model: AcousticModel, grammar: GraphGrammar, feats: np.ndarray, task: _Task
            ) -> tuple[BestPath | None, StateLattice | None]:
    """Return the best path of an utterance and its lattice; None if there is none."""
    if not len(feats):
        return None, None
    arguments = (grammar.graph, grammar.arc_pdfs, model.scorer().loglikes(feats), task.search,
                 task.lattice)
    if task.determinize:
        path, words = decode_lattice(*arguments) or (None, None)
        return path, None if words is None else StateLattice.of_words(words)
    path, states = raw_lattice(*arguments)
    return path, None if states is None else StateLattice.of(states)


def _made_before(path: Path, stamp: str, names: list[str]) -> _Made | None:
    """Return what an earlier run left in a file, if it was made of the same."""
    if not path.is_file():
        return None
    try:
        block = read_state_lattices(path)
    except UserError as error:
        logger.warning("%s; making it anew", error)
        return None
    if block.stamp != stamp:
        return None
    there = set(block.names)
    return _Made(len(block.names), block.num_frames, block.num_arcs,
                 tuple(name for name in names if name not in there), tuple(block.partial))

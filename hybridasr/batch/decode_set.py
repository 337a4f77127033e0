"""Owns decoding of a data directory: text, words with their times, lattices if asked for.

Writes a decode directory as Kaldi users know it: ``text``, ``ctm`` (times in the recording),
``summary.json`` (real-time factor, utterances that reached no end, model, graph and acoustic
scale), ``log/decode.log``, ``lat.1.gz`` and ``nbest/``. They grow as results arrive, and appear
when all are there.
"""

import logging
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.batch.decode_dir import LATTICES, SUMMARY, DecodeRecord
from hybridasr.batch.driver import Results, SetBlocks, directory_stamp, once_a_worker, run_set
from hybridasr.batch.nbest_files import NBEST, NbestRow, nbest_rows, nbest_writer
from hybridasr.corpus.datadir import DataDir
from hybridasr.decode.latgen import LatticeOptions, decode_lattice
from hybridasr.decode.search import SearchOptions
from hybridasr.decode.words import phone_segments, word_segments
from hybridasr.errors import UserError
from hybridasr.features.feature_cache import matching_features
from hybridasr.features.feature_set import FeatureBlock
from hybridasr.lattice.lattice import CompactLattice
from hybridasr.lattice.lattice_text import lattice_writer
from hybridasr.lattice.mbr import decode_mbr
from hybridasr.model.acoustic import Scorer
from hybridasr.model.adaptation import AdaptOptions, adapt_speaker, works_by_speaker
from hybridasr.options import option, to_dict
from hybridasr.output.ctm import CtmRow, ctm_writer
from hybridasr.progress import job_log
from hybridasr.recognize.graph_grammar import GraphGrammar
from hybridasr.recognize.recognizer import Recognizer, load
from hybridasr.storage import atomic_write, write_json

logger = logging.getLogger("hybridasr")


@dataclass(frozen=True)
class DecodeOutput:
    """What is written beside the text."""

    write_lattices: bool = option(False, f"write {LATTICES}, lattices in Kaldi's text form, and "
                                         "into ctm how sure each word is")
    lattice_beam: float = option(6.0, "alternatives worse than the best path by more than this "
                                      "are not in the lattice", needs="write_lattices")
    nbest: int = option(0, f"write up to so many sequences of words an utterance into {NBEST}, "
                           "with their costs", needs="write_lattices")

    def __post_init__(self):
        LatticeOptions(self.lattice_beam)  # checks it
        if self.nbest < 0:
            raise UserError(f"nbest is {self.nbest}; give a whole number from 0")


@dataclass(frozen=True)
class Hypothesis:
    """What was recognised in one utterance.

    Attributes
    ----------
    times : list of (word, begin, end)
        Seconds in the utterance.
    confidences : sequence of float, or None
        How sure each word is; None without a lattice.
    seconds, duration : float
        Of scoring and search, and of the speech.
    nbest : tuple of NbestRow
        The best sequences of words; empty unless asked for.
    """

    words: list[str]
    times: list[tuple[str, float, float]]
    complete: bool
    seconds: float
    duration: float
    confidences: tuple[float, ...] | None = None
    lattice: CompactLattice | None = None
    nbest: tuple[NbestRow, ...] = ()


@dataclass(frozen=True)
class _Task:
    """All that decides a worker's results; `stamp` changes when the files change."""

    model: Path
    graph: Path
    search: SearchOptions
    adapt: AdaptOptions
    output: DecodeOutput
    known: str
    stamp: tuple


def decode_set(model: Path, graph: Path, data: DataDir, destination: Path, options: SearchOptions,
               pool: Executor, adapt: AdaptOptions | None = None,
               output: DecodeOutput | None = None, known: str = "all") -> dict[str, Any]:
    """Decode every utterance of a set and write the decode directory.

    Features that the set lacks, or has of another kind than the model's, are made into a cache
    (`features.feature_cache`).

    Parameters
    ----------
    known : str
        What is known of a speaker when an utterance comes: "all" of the set, the "earlier" ones,
        or "none", as of a lone recording. Unless all are known, a system adapts to each alone.

    Returns
    -------
    dict
        What ``summary.json`` holds: utterances, hours, rtf and partial, the ids of those that
        reached no end; and the `DecodeRecord` of the lattices.

    Raises
    ------
    UserError
        if the features are not those the model was trained with and there are no recordings, or
        none can be decoded.
    """
    adapt, output = adapt or AdaptOptions(), output or DecodeOutput()
    if known != "all":
        adapt = adapt.for_one_utterance()
    # All that decides a result is in the key: a worker that is used again loads anew.
    task = _Task(model, graph, options, adapt, output, known, directory_stamp(model, graph))
    settings = {**to_dict(options), **to_dict(adapt), **to_dict(output), "known": known}
    with job_log(destination / "log" / "decode.log", f"hybridasr decode {graph} {data.path}",
                 settings):
        recognizer = once_a_worker(_recognizer, task)
        loaded = recognizer.model
        data = matching_features(data, loaded.features, pool)
        blocks = SetBlocks.of(data, loaded.normalization(data, known),
                              works_by_speaker(loaded, adapt, known))
        hypotheses = run_set(pool, _decode_block, blocks, task, desc=f"decode {data.path.name}")
        record = DecodeRecord.of(model, graph, recognizer.options)
        summary = _write(data, hypotheses, destination, output, record)
        partial = summary["partial"]
        if partial:
            logger.warning("%s: %d of %d utterances reached no final state; their partial results "
                           "are in text (listed in summary.json); a wider --beam may help",
                           destination, len(partial), summary["utterances"])
        logger.debug("%d utterances, real-time factor %s", summary["utterances"], summary["rtf"])
    return summary


def _write(data: DataDir, hypotheses: Iterator[tuple[str, Hypothesis]], destination: Path,
           output: DecodeOutput, record: DecodeRecord) -> dict[str, Any]:
    count, seconds, duration, partial = 0, 0.0, 0.0, []
    with ExitStack() as files:
        text = files.enter_context(atomic_write(destination / "text"))
        ctm = files.enter_context(ctm_writer(destination / "ctm"))
        lattices = None
        if output.write_lattices:
            lattices = files.enter_context(lattice_writer(destination / LATTICES))
        nbest = files.enter_context(nbest_writer(destination, output.nbest > 0))
        for name, item in hypotheses:
            text.write(" ".join([name, *item.words]) + "\n")
            utterance = data.utterances[name]
            sure = item.confidences or (None,) * len(item.times)
            for (word, begin, end), confidence in zip(item.times, sure, strict=True):
                ctm.write(CtmRow(utterance.recording, "1", utterance.start + begin, end - begin,
                                 word, confidence))
            if lattices is not None and item.lattice is not None:
                lattices.write(name, item.lattice)
            nbest.write(name, item.nbest)
            count, seconds, duration = count + 1, seconds + item.seconds, duration + item.duration
            partial += [] if item.complete else [name]
    if not output.write_lattices:
        (destination / LATTICES).unlink(missing_ok=True)  # of an earlier run
    summary = {"utterances": count, "hours": round(duration / 3600, 4),
               "rtf": round(seconds / max(duration, 1e-9), 5), "partial": partial,
               **record.as_json(destination)}
    write_json(destination / SUMMARY, summary)
    return summary


def _recognizer(task: _Task) -> Recognizer:
    recognizer = load(task.model, task.search, task.graph, task.adapt)
    # The first call compiles or loads the kernels: not part of the real-time factor.
    recognizer.warm_up()
    return recognizer


def _decode_block(block: FeatureBlock, task: _Task) -> Results[Hypothesis]:
    recognizer = once_a_worker(_recognizer, task)
    model = recognizer.model
    shift = model.features.frame_shift_ms / 1000
    loaded = block.frames(model.features)
    # A block is one speaker if the recogniser adapts.
    groups = [list(loaded)] if works_by_speaker(
        model, task.adapt, task.known) else ([item] for item in loaded)
    results: Results[Hypothesis] = []
    for group in groups:
        begun = time.perf_counter()
        utterances = [frames for _, frames in group]
        if task.output.write_lattices:
            features = [frames.features for frames in utterances]
            decoded = _with_lattices(recognizer, features, task)
        else:
            decoded = [Hypothesis(item.words, item.times, item.complete, 0.0, 0.0)
                       for item in recognizer.decode_speaker(utterances)]
        # A speaker's utterances are decoded together, so each gets an equal share of the time.
        seconds = (time.perf_counter() - begun) / len(group)
        results += [(name, replace(item, seconds=seconds, duration=len(frames.levels) * shift))
                    for (name, frames), item in zip(group, decoded, strict=True)]
    return results


def _with_lattices(recognizer: Recognizer, utterances: list[np.ndarray], task: _Task
                   ) -> list[Hypothesis]:
    """Decode utterances of one speaker to lattices; the best paths give the words."""
    model, grammar, search = recognizer.model, recognizer.grammar, recognizer.options
    assert isinstance(grammar, GraphGrammar)
    lattices: dict[int, tuple] = {}

    def find_path(number: int, feats: np.ndarray, scorer: Scorer) -> np.ndarray | None:
        lattices[number] = (None, None) if len(feats) == 0 else decode_lattice(
            grammar.graph, grammar.arc_pdfs, scorer.loglikes(feats), search,
            LatticeOptions(task.output.lattice_beam)) or (None, None)
        path = lattices[number][0]
        return None if path is None else path.transition_ids

    adapt_speaker(model, [model.final_features(frames) for frames in utterances], find_path,
                  task.adapt)
    return [_hypothesis(grammar, *lattices[number], search.acoustic_scale, task.output.nbest)
            for number in range(len(utterances))]


def _hypothesis(grammar: GraphGrammar, path: Any, lattice: CompactLattice | None,
                acoustic_scale: float, nbest: int) -> Hypothesis:
    if path is None:
        return Hypothesis([], [], False, 0.0, 0.0)
    model, lang = grammar.model, grammar.lang
    shift = model.frame_shift
    words = path.words.tolist()
    segments = word_segments(phone_segments(path.transition_ids, model.transitions), words, lang)
    times = [(lang.word_name(s.label), s.begin * shift, s.end * shift) for s in segments]
    # The words stay those of the best path; only their confidences come from the lattice.
    risk = decode_mbr(lattice, acoustic_scale, words)
    sure = risk.confidences if risk is not None else ()
    # A path that ended early may lack the place of its last word.
    return Hypothesis([lang.word_name(word) for word in words], times, path.complete, 0.0, 0.0,
                      sure if len(sure) == len(times) else None, lattice,
                      nbest_rows(lattice, nbest, acoustic_scale, lang.word_name))

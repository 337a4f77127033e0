"""Owns alignment of any data with any model: phones, words and states with their times.

Writes an alignment directory: the model, ``ali.ark`` (transition-ids) and, of a speaker-adaptive
system, ``trans.ark`` (the speakers' transforms), from which a next system can be trained (Kaldi's
align_si.sh and align_fmllr.sh); ``phones.ctm``, ``words.ctm``, ``states.ctm``, TextGrids for
Praat, a report of utterances that look wrong, and the names of those that ``failed``.
"""

import functools
import logging
import math
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hybridasr.corpus.datadir import DataDir, Utterance
from hybridasr.decode.align import AlignmentGraph, AlignOptions, align
from hybridasr.decode.words import Segment, phone_segments, word_segments
from hybridasr.errors import UserError, name_some
from hybridasr.features.pipeline import check_features, load_feats
from hybridasr.graph.training import TrainingGraphs, arc_costs
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import Lang
from hybridasr.lexicon.transcripts import check_phones, word_ids
from hybridasr.model.acoustic import AcousticModel, Scorer
from hybridasr.model.adaptation import (
    AdaptOptions,
    adapt_speaker,
    decoding_blocks,
    works_by_speaker,
)
from hybridasr.model.alignments import write_alignments, write_transforms
from hybridasr.model.directory import load_model, save_model
from hybridasr.options import option
from hybridasr.output.ctm import CtmRow, write_ctm
from hybridasr.output.outliers import AlignedUtterance, find_outliers, write_report
from hybridasr.output.textgrid import Interval, write_textgrid
from hybridasr.parallel import run_blocks
from hybridasr.storage import write_text

logger = logging.getLogger("hybridasr")


@dataclass(frozen=True)
class OutputOptions:
    """What is written beside the alignments."""

    states: bool = option(False, "write states.ctm, and states into TextGrids")
    textgrid: bool = option(False, "write a Praat TextGrid for each recording")


@dataclass(frozen=True)
class Alignment:
    """One aligned utterance: transition-ids (num_frames,), acoustic log likelihood a frame."""

    utterance: str
    transition_ids: np.ndarray
    loglike: float
    retried: bool


@dataclass(frozen=True)
class BlockResult:
    """What a block of utterances gives."""

    alignments: list[Alignment]
    failed: list[str]
    transforms: dict[str, np.ndarray]


def align_set(data: DataDir, lang: Lang, source: Path, destination: Path, pool: Executor,
              options: AlignOptions | None = None, adapt: AdaptOptions | None = None,
              output: OutputOptions | None = None) -> str:
    """Align a set with a model and write an alignment directory; return the closing line.

    Raises
    ------
    UserError
        if features or phones are not those of the model, a word has no pronunciation, or no
        utterance can be aligned.
    """
    options, adapt = options or AlignOptions(), adapt or AdaptOptions()
    model = load_model(source)
    check_phones(model.lang, lang, source)
    check_features(data.path, model.features)
    calls = [(source, _stamp(source), lang, block, options, adapt)
             for block in decoding_blocks(data, works_by_speaker(model, adapt))]
    aligned: list[Alignment] = []
    failed: list[str] = []
    transforms: dict[str, np.ndarray] = {}
    for result in run_blocks(pool, _align_block, calls, desc=f"align {data.path.name}"):
        aligned += result.alignments
        failed += result.failed
        transforms.update(result.transforms)
    if not aligned:
        raise UserError("no utterance could be aligned: every one is shorter than its HMM or fits "
                        f"no path (first: {name_some(failed)}); check text and audio", data.path)
    order = {name: place for place, name in enumerate(data.utterances)}
    aligned.sort(key=lambda item: order[item.utterance])
    if source.resolve() != destination.resolve():
        save_model(replace(model, lang=lang), destination)
    write_alignments(destination, ((item.utterance, item.transition_ids) for item in aligned))
    write_transforms(destination, transforms)
    _write_output(data, lang, model, aligned, failed, destination, output or OutputOptions())
    frames = sum(len(item.transition_ids) for item in aligned)
    loglike = sum(item.loglike * len(item.transition_ids) for item in aligned) / frames
    retried = sum(item.retried for item in aligned)
    (destination / "failed").unlink(missing_ok=True)  # of an earlier run
    if failed:
        logger.warning("%s: %d of %d utterances could not be aligned: %s", data.path, len(failed),
                       len(data), name_some(failed))
        write_text(destination / "failed", "".join(f"{name}\n" for name in failed))
    return (f"{destination}: {len(aligned)} utterances, log likelihood a frame {loglike:.3f}, "
            f"retried {retried}, failed {len(failed)}")


def _stamp(model: Path) -> int:
    return (model / "model.json").stat().st_mtime_ns


@functools.lru_cache(maxsize=1)
def _loaded(source: Path, stamp: int) -> AcousticModel:
    del stamp  # part of the key: a model made anew under the same name is read anew
    return load_model(source)


def _align_block(source: Path, stamp: int, lang: Lang, data: DataDir, options: AlignOptions,
                 adapt: AdaptOptions) -> BlockResult:
    model = _loaded(source, stamp)
    aligner = Aligner(model, lang, options)
    loaded = list(load_feats(data, model.pipeline))
    feats = [model.final_features(frames) for _, frames in loaded]
    words = [word_ids(data.utterances[name], lang.words, lang.oov) for name, _ in loaded]
    found: dict[int, Alignment | None] = {}

    def find(number: int, frames: np.ndarray, scorer: Scorer) -> np.ndarray | None:
        item = found[number] = aligner.align(loaded[number][0], words[number], frames, scorer)
        return None if item is None else item.transition_ids

    transforms = {}
    transform = adapt_speaker(model, feats, find, adapt)
    if transform is not None:
        transforms[data.utterances[loaded[0][0]].speaker] = transform
    failed = [name for number, (name, _) in enumerate(loaded) if found[number] is None]
    return BlockResult([item for _, item in sorted(found.items()) if item is not None], failed,
                       transforms)


class Aligner:
    """Aligns utterances with one model; the graph of a transcript is built once."""

    def __init__(self, model: AcousticModel, lang: Lang, options: AlignOptions):
        self.model, self.options = model, options
        self._builder = TrainingGraphs(lang, model.transitions, model.tree)
        self._costs = model.transitions.scaled_costs(options.scales.transition_scale,
                                                     options.scales.self_loop_scale)
        self._graphs: dict[tuple[int, ...], tuple[AlignmentGraph, np.ndarray]] = {}

    def align(self, utterance: str, words: tuple[int, ...], feats: np.ndarray,
              scorer: Scorer) -> Alignment | None:
        """Return the best path through the transcript; None if there is none.

        Parameters
        ----------
        words : tuple of word ids
        feats : float32 (num_frames, dim)
            Final features, which `scorer` scores.
        """
        if words not in self._graphs:
            graph = AlignmentGraph.of(self._builder.build(words), self.model.transitions)
            self._graphs[words] = graph, arc_costs(graph.graph, self._costs)
        graph, costs = self._graphs[words]
        loglikes = scorer.loglikes(feats, graph.pdfs)
        if self.options.boost_silence != 1.0:
            silent = np.isin(graph.pdfs, self.model.silence_pdfs)
            loglikes[:, silent] += np.float32(np.log(self.options.boost_silence))
        path, retried = align(graph, costs, loglikes, self.options)
        if path is None:
            return None
        loglike = -path.acoustic_cost / self.options.acoustic_scale / max(1, len(feats))
        return Alignment(utterance, path.transition_ids, loglike, retried)


def _write_output(data: DataDir, lang: Lang, model: AcousticModel, aligned: list[Alignment],
                  failed: list[str], destination: Path, output: OutputOptions) -> None:
    shift = model.features.frame_shift_ms / 1000
    kinds = ("words", "phones", "states") if output.states else ("words", "phones")
    rows: dict[str, list[CtmRow]] = {kind: [] for kind in kinds}
    grids: dict[str, dict[str, list[Interval]]] = {}
    reports = [AlignedUtterance(name, math.nan, [], [], False, failed=True) for name in failed]
    for item in aligned:
        utterance = data.utterances[item.utterance]
        tiers = _tiers(item, utterance, lang, model.transitions, shift)
        for kind in kinds:
            rows[kind] += [CtmRow(utterance.recording, "1", begin + utterance.start, end - begin,
                                  label) for label, begin, end in tiers[kind]]
            grids.setdefault(utterance.recording, {}).setdefault(kind, []).extend(
                Interval(begin + utterance.start, end + utterance.start, label)
                for label, begin, end in tiers[kind])
        reports.append(AlignedUtterance(item.utterance, item.loglike, tiers["phones"],
                                        tiers["words"], item.retried))
    for kind in kinds:
        write_ctm(destination / f"{kind}.ctm", rows[kind])
    if output.textgrid:
        for recording, grid in grids.items():
            end = max(interval.end for tier in grid.values() for interval in tier)
            name = recording.replace("/", "_")
            write_textgrid(destination / "textgrid" / f"{name}.TextGrid", end, grid)
    silence = {lang.phone_name(phone) for phone in lang.silence_phones}
    write_report(destination / "outliers.txt", find_outliers(reports, silence))


def _tiers(item: Alignment, utterance: Utterance, lang: Lang, transitions: TransitionModel,
           shift: float) -> dict[str, list[tuple[str, float, float]]]:
    """Return (label, begin s, end s) of the utterance's words, phones and states."""
    phones = phone_segments(item.transition_ids, transitions)
    words = word_segments(phones, list(word_ids(utterance, lang.words, lang.oov)), lang)
    names = {"words": lang.word_name, "phones": lang.phone_name}
    tiers = {kind: [(names[kind](s.label), s.begin * shift, s.end * shift) for s in segments]
             for kind, segments in (("words", words), ("phones", phones))}
    tiers["states"] = [(f"{lang.phone_name(p.label)}_{s.label}", s.begin * shift, s.end * shift)
                       for p in phones for s in _state_segments(item.transition_ids, p,
                                                                transitions)]
    return tiers


def _state_segments(ids: np.ndarray, phone: Segment, transitions: TransitionModel
                    ) -> list[Segment]:
    """Cut a phone into its HMM states."""
    states = transitions.tid_hmm_state[ids[phone.begin:phone.end]]
    begins = phone.begin + np.flatnonzero(np.diff(states, prepend=-1))
    ends = np.append(begins[1:], phone.end)
    return [Segment(int(states[b - phone.begin]), int(b), int(e))
            for b, e in zip(begins, ends, strict=True)]

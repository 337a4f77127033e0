"""Owns alignment of any data with any model: phones, words and states with their times.

Writes an alignment directory: the model, ``ali.ark`` (transition-ids) and, of a speaker-adaptive
system, ``trans.ark`` (the speakers' transforms), from which a next system can be trained (Kaldi's
align_si.sh and align_fmllr.sh); ``phones.ctm``, ``words.ctm``, ``states.ctm``, TextGrids for
Praat, a report of utterances that look wrong, and the names of those that ``failed``.
"""

import functools
import logging
import math
import pickle
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np

from hybridasr.batch.driver import Results, SetBlocks, directory_stamp, once_a_worker, run_set
from hybridasr.corpus.audio import audio_info, is_pipe
from hybridasr.corpus.datadir import DataDir, Utterance
from hybridasr.decode.align import AlignmentGraph, AlignOptions, align, natural_options
from hybridasr.decode.words import Segment, phone_segments, word_segments
from hybridasr.errors import NotEnoughData, UserError, name_some
from hybridasr.features.archives import MatrixWriter, matrix_writer
from hybridasr.features.feature_cache import matching_features
from hybridasr.features.feature_set import FeatureBlock
from hybridasr.graph.training import TrainingGraphs, arc_costs
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import Lang, read_lang
from hybridasr.lexicon.transcripts import (
    check_phones,
    unknown_words,
    warn_of_unknown_words,
    word_ids,
)
from hybridasr.model.acoustic import AcousticModel, Scorer
from hybridasr.model.adaptation import AdaptOptions, adapt_speaker, works_by_speaker
from hybridasr.model.directory import load_model, save_model
from hybridasr.options import option
from hybridasr.output.ctm import CtmRow, CtmWriter, ctm_writer
from hybridasr.output.outliers import AlignedUtterance, find_outliers, write_report
from hybridasr.output.textgrid import Interval, write_textgrid
from hybridasr.storage import write_text

logger = logging.getLogger("hybridasr")
GRAPHS = 256  # of transcripts, that a worker keeps


@dataclass(frozen=True)
class OutputOptions:
    """What is written beside the alignments."""

    states: bool = option(False, "write states.ctm, and states into TextGrids")
    textgrid: bool = option(False, "write a Praat TextGrid for each recording")


@dataclass(frozen=True)
class AlignedPath:
    """One aligned utterance.

    Attributes
    ----------
    transition_ids : int32 (num_scores,)
        One for each frame that the model scores (`AcousticModel.subsampling`).
    loglike : float
        Acoustic log likelihood a scored frame.
    retried : bool
        Whether the wider beam was needed.
    transform : float64 (dim, dim + 1) or None
        The speaker's, with the speaker's first utterance.
    """

    transition_ids: np.ndarray
    loglike: float
    retried: bool
    transform: np.ndarray | None = None


def align_set(data: DataDir, lang: Lang, source: Path, destination: Path, pool: Executor,
              options: AlignOptions | None = None, adapt: AdaptOptions | None = None,
              output: OutputOptions | None = None) -> str:
    """Align a set with a model and write an alignment directory; return the closing line.

    Features that the set lacks, or has of another kind than the model's, are made into a cache
    (`features.feature_cache`). A warning names the words that the lexicon lacks.

    Raises
    ------
    NotEnoughData
        if no utterance can be aligned.
    UserError
        if phones are not those of the model, or features, and there are no recordings.
    """
    model = load_model(source)
    options = options or natural_options(model.transitions.topology, model.subsampling)
    adapt, output = adapt or AdaptOptions(), output or OutputOptions()
    check_phones(model.lang, lang, source)
    data = matching_features(data, model.features, pool)
    warn_of_unknown_words(data, lang.words, lang.path)
    blocks = SetBlocks.of(data, model.normalization(data), works_by_speaker(model, adapt))
    stamp = directory_stamp(source, lang.path, lang.path / "phones")
    alignments = run_set(pool, _align_block, blocks, source, lang.path, stamp, options, adapt,
                         desc=f"align {data.path.name}")
    # All files appear together at the end, under their names: a run that stops leaves none.
    with ExitStack() as files:
        writer = _Writer(data, lang, model, destination, output, files)
        for name, alignment in alignments:
            writer.write(name, alignment)
        if not writer.count:
            raise NotEnoughData("no utterance could be aligned: every one is shorter than its HMM "
                                f"or fits no path (first: {name_some(writer.failed)}); check text "
                                "and audio", data.path)
        # A next system trains from the alignment directory alone (Kaldi copies final.mdl there).
        if source.resolve() != destination.resolve():
            save_model(replace(model, lang=lang), destination)
        writer.finish()
    failed = writer.failed
    (destination / "failed").unlink(missing_ok=True)  # of an earlier run
    if failed:
        logger.warning("%s: %d of %d utterances could not be aligned: %s", data.path, len(failed),
                       len(data), name_some(failed))
        write_text(destination / "failed", "".join(f"{name}\n" for name in failed))
    return (f"{destination}: {writer.count} utterances, log likelihood a frame "
            f"{writer.loglike / writer.frames:.3f}, retried {writer.retried}, "
            f"failed {len(failed)}")


def _aligner(source: Path, lang: Path, stamp: tuple, options: AlignOptions) -> "Aligner":
    del stamp  # part of the key: a model made anew under the same name is read anew
    return Aligner(load_model(source), read_lang(lang), options)


def _align_block(block: FeatureBlock, source: Path, lang: Path, stamp: tuple,
                 options: AlignOptions, adapt: AdaptOptions) -> Results[AlignedPath | None]:
    aligner = once_a_worker(_aligner, source, lang, stamp, options)
    model = aligner.model
    loaded = block.load()
    # A block is one speaker if the model adapts.
    # Otherwise each utterance is a speaker of its own, and its result does not depend on others.
    groups = [list(loaded)] if works_by_speaker(model, adapt) else ([item] for item in loaded)
    words = {u.utterance: word_ids(u, aligner.lang.words, aligner.lang.oov)
             for u in block.utterances}
    results: Results[AlignedPath | None] = []
    for group in groups:
        results += _align_speaker(aligner, group, words, adapt)
    return results


def _align_speaker(aligner: "Aligner", group: list[tuple[str, np.ndarray]],
                   words: dict[str, tuple[int, ...]], adapt: AdaptOptions
                   ) -> Results[AlignedPath | None]:
    alignments: dict[int, AlignedPath | None] = {}

    # The last pass over an utterance overwrites the ones before: only its path counts.
    def find_path(number: int, frames: np.ndarray, scorer: Scorer) -> np.ndarray | None:
        item = alignments[number] = aligner.align(words[group[number][0]], frames, scorer)
        return None if item is None else item.transition_ids

    feats = [aligner.model.final_features(frames) for _, frames in group]
    transform = adapt_speaker(aligner.model, feats, find_path, adapt)
    results: Results[AlignedPath | None] = []
    for number, (name, _) in enumerate(group):
        item = alignments[number]
        # Once for the speaker, with the first utterance that has a path.
        if item is not None and transform is not None:
            item, transform = replace(item, transform=transform), None
        results.append((name, item))
    return results


class Aligner:
    """Aligns utterances with one model; graphs of the last transcripts are kept."""

    def __init__(self, model: AcousticModel, lang: Lang, options: AlignOptions):
        # A score weighs as the frames that it stands for would; else silences are lost.
        scale = options.acoustic_scale * model.subsampling
        self.model, self.lang, self.options = model, lang, replace(options, acoustic_scale=scale)
        self._builder = TrainingGraphs(lang, model.transitions, model.tree)
        self._costs = model.transitions.scaled_costs(options.scales.transition_scale,
                                                     options.scales.self_loop_scale)
        # Corpora of commands repeat their transcripts: the graph is built once for each.
        self._graph = functools.lru_cache(maxsize=GRAPHS)(self._build)

    def _build(self, words: tuple[int, ...]) -> tuple[AlignmentGraph, np.ndarray]:
        graph = AlignmentGraph.of(self._builder.build(words), self.model.transitions)
        return graph, arc_costs(graph.graph, self._costs)

    def align(self, words: tuple[int, ...], feats: np.ndarray, scorer: Scorer
              ) -> AlignedPath | None:
        """Return the best path through the transcript; None if there is none.

        Parameters
        ----------
        words : tuple of word ids
        feats : float32 (num_frames, dim)
            Final features, which `scorer` scores.
        """
        graph, costs = self._graph(words)
        loglikes = scorer.loglikes(feats, graph.pdfs)
        # Kaldi's --boost-silence: a factor on likelihoods, so its log is added.
        if self.options.boost_silence != 1.0:
            silent = np.isin(graph.pdfs, self.model.silence_pdfs)
            loglikes[:, silent] += np.float32(np.log(self.options.boost_silence))
        path, retried = align(graph, costs, loglikes, self.options)
        if path is None:
            return None
        loglike = -path.acoustic_cost / self.options.acoustic_scale / max(1, len(loglikes))
        return AlignedPath(path.transition_ids, loglike, retried)


class _Writer:
    """The files of an alignment directory, which grow as alignments come.

    Attributes
    ----------
    count, frames, retried : int
    loglike : float
        Of all frames together.
    failed : list of str
        Utterances without a path.
    """

    def __init__(self, data: DataDir, lang: Lang, model: AcousticModel, destination: Path,
                 output: OutputOptions, files: ExitStack):
        self.count, self.frames, self.retried, self.loglike = 0, 0, 0, 0.0
        self.failed: list[str] = []
        self._data, self._lang, self._model = data, lang, model
        self._destination, self._files = destination, files
        destination.mkdir(parents=True, exist_ok=True)
        self._alignments = files.enter_context(matrix_writer(destination / "ali.ark",
                                                             destination / "ali.scp"))
        self._transforms: MatrixWriter | None = None
        kinds = ("words", "phones", "states") if output.states else ("words", "phones")
        self._ctms: dict[str, CtmWriter] = {
            kind: files.enter_context(ctm_writer(destination / f"{kind}.ctm")) for kind in kinds}
        self._grids = _TextGrids(data, destination / "textgrid") if output.textgrid else None
        self._reports = _Reports(destination, files)

    def write(self, name: str, item: AlignedPath | None) -> None:
        """Take the next utterance; None if it could not be aligned."""
        utterance = self._data.utterances[name]
        # Words outside the lexicon were aligned as <UNK>: the report names them.
        unknown = tuple(unknown_words([utterance], self._lang.words))
        if item is None:
            self.failed.append(name)
            self._reports.append(AlignedUtterance(name, math.nan, [], [], False, True, unknown))
            tiers: dict[str, list[tuple[str, float, float]]] = {}
        else:
            self._count(name, item)
            tiers = utterance_tiers(
                item.transition_ids, word_ids(utterance, self._lang.words, self._lang.oov),
                self._lang, self._model.transitions, self._model.frame_shift)
            self._reports.append(AlignedUtterance(name, item.loglike, tiers["phones"],
                                                  tiers["words"], item.retried, False, unknown))
            for kind, ctm in self._ctms.items():
                for label, begin, end in tiers[kind]:
                    # The path counts from the utterance's begin, the CTM from the recording's.
                    ctm.write(CtmRow(utterance.recording, "1", begin + utterance.start,
                                     end - begin, label))
        if self._grids is not None:
            self._grids.add(utterance, {kind: tiers[kind] for kind in self._ctms if tiers})

    def _count(self, name: str, item: AlignedPath) -> None:
        frames = len(item.transition_ids)
        self.count, self.frames = self.count + 1, self.frames + frames
        self.retried, self.loglike = self.retried + item.retried, (
            self.loglike + item.loglike * frames)
        self._alignments.write(name, np.asarray(item.transition_ids, np.int32))
        if item.transform is not None:
            # Opened with the first transform, because only speaker-adaptive systems have any.
            if self._transforms is None:
                self._transforms = self._files.enter_context(matrix_writer(
                    self._destination / "trans.ark", self._destination / "trans.scp"))
            self._transforms.write(self._data.utterances[name].speaker, item.transform)

    def finish(self) -> None:
        """Write what needs all alignments, and remove what an earlier run left."""
        if self._transforms is None:
            for name in ("trans.ark", "trans.scp"):
                (self._destination / name).unlink(missing_ok=True)
        silence = {self._lang.phone_name(phone) for phone in self._lang.silence_phones}
        write_report(self._destination / "outliers.txt", find_outliers(self._reports, silence))


class _Reports:
    """Aligned utterances in a file of our own, to be read any number of times."""

    def __init__(self, directory: Path, files: ExitStack):
        self._file: IO[bytes] = files.enter_context(
            tempfile.TemporaryFile(dir=directory))  # noqa: SIM115
        self._count = 0

    def append(self, item: AlignedUtterance) -> None:
        """Write an utterance behind the others."""
        pickle.dump(item, self._file)
        self._count += 1

    def __iter__(self) -> Iterator[AlignedUtterance]:
        self._file.seek(0)
        for _ in range(self._count):
            yield pickle.load(self._file)


class _TextGrids:
    """TextGrids of recordings, each written when its last utterance has come."""

    def __init__(self, data: DataDir, directory: Path):
        self._data, self._directory = data, directory
        self._missing = Counter(u.recording for u in data.utterances.values())
        # Utterances without features never come; the grid must not wait for them.
        for name in data.utterances.keys() - data.tables.get("feats.scp", {}).keys():
            self._missing[data.utterances[name].recording] -= 1
        self._tiers: dict[str, dict[str, list[Interval]]] = {}

    def add(self, utterance: Utterance, tiers: dict[str, list[tuple[str, float, float]]]) -> None:
        """Take the tiers of an utterance; none if it could not be aligned."""
        recording = utterance.recording
        grid = self._tiers.setdefault(recording, {})
        for kind, labels in tiers.items():
            grid.setdefault(kind, []).extend(
                Interval(begin + utterance.start, end + utterance.start, label)
                for label, begin, end in labels)
        self._missing[recording] -= 1
        if self._missing[recording]:
            return
        grid = {kind: sorted(intervals) for kind, intervals in self._tiers.pop(recording).items()}
        if not any(grid.values()):
            return
        last = max(interval.end for tier in grid.values() for interval in tier)
        seconds = _recording_seconds(self._data, utterance)
        # Frames that reach beyond the samples (snip-edges false) end with them.
        end = seconds if seconds is not None else last
        clipped = {kind: [interval._replace(end=min(interval.end, end)) for interval in intervals
                          if interval.begin < end - 1e-6] for kind, intervals in grid.items()}
        # A slash in the name of a recording would make a folder.
        name = recording.replace("/", "_")
        write_textgrid(self._directory / f"{name}.TextGrid", end, clipped)


def _recording_seconds(data: DataDir, utterance: Utterance) -> float | None:
    """Return how long the recording of an utterance is; None if nothing says it exactly."""
    if utterance.wav and not is_pipe(utterance.wav):
        try:
            return audio_info(utterance.wav).seconds
        except UserError:
            pass  # it may be gone since the features were made
    for table, key in (("reco2dur", utterance.recording),
                       *((("utt2dur", utterance.utterance),) if not utterance.is_segment else ())):
        try:
            return float(data.tables[table][key])
        except (KeyError, ValueError):
            continue
    return None


def utterance_tiers(transition_ids: np.ndarray, words: Sequence[int], lang: Lang,
                    transitions: TransitionModel, shift: float
                    ) -> dict[str, list[tuple[str, float, float]]]:
    """Return (label, begin s, end s) of an utterance's words, phones and states.

    Parameters
    ----------
    transition_ids : int32 (num_frames,)
    words : sequence of int
        What the path says.
    shift : float
        Seconds a frame.
    """
    phones = phone_segments(transition_ids, transitions)
    segments = word_segments(phones, list(words), lang)
    names = {"words": lang.word_name, "phones": lang.phone_name}
    tiers = {kind: [(names[kind](s.label), s.begin * shift, s.end * shift) for s in parts]
             for kind, parts in (("words", segments), ("phones", phones))}
    tiers["states"] = [(f"{lang.phone_name(p.label)}_{s.label}", s.begin * shift, s.end * shift)
                       for p in phones for s in _state_segments(transition_ids, p, transitions)]
    return tiers


def _state_segments(ids: np.ndarray, phone: Segment, transitions: TransitionModel
                    ) -> list[Segment]:
    """Cut a phone into its HMM states."""
    states = transitions.tid_hmm_state[ids[phone.begin:phone.end]]
    # The first frame always begins a state: -1 is no state.
    begins = phone.begin + np.flatnonzero(np.diff(states, prepend=-1))
    ends = np.append(begins[1:], phone.end)
    return [Segment(int(states[b - phone.begin]), int(b), int(e))
            for b, e in zip(begins, ends, strict=True)]

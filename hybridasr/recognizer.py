"""Owns recognition of one recording: a model directory in, results as in the documents out.

    recognizer = hybridasr.load("exp/mono")
    print(recognizer.recognize("light.wav")["text"])

Needs numpy and numba (and soundfile for files), not pynini. The results have Vosk's field names.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.corpus.audio import load_audio
from hybridasr.decode.adapt import AdaptOptions, adapt_speaker
from hybridasr.decode.search import BestPath, SearchOptions, search
from hybridasr.decode.words import phone_segments, word_segments
from hybridasr.errors import UserError
from hybridasr.features.pipeline import feature_dim, recognition_features
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.model import AcousticModel, Scorer, load_model
from hybridasr.storage import PathLike

# A recording whose loudest sample is below this (16-bit range) holds nothing but rounding.
SILENT_PEAK = 2.0
# Seconds that hold a word: longer audio in which no word even begins has no speech.
SHORTEST_WORD = 0.25


@dataclass(frozen=True)
class Decoded:
    """One decoded utterance: words with times in seconds, and whether an end was reached."""

    words: list[str]
    times: list[tuple[str, float, float]]
    complete: bool
    path: BestPath | None


class Recognizer:
    """A loaded model with its graph; safe to use for any number of recordings in turn."""

    def __init__(self, model: AcousticModel, graph: DecodingGraph,
                 options: SearchOptions | None = None, adapt: AdaptOptions | None = None):
        self.model = model
        options = options or SearchOptions()
        self.options = options if options.acoustic_scale else replace(
            options, acoustic_scale=model.acoustic_scale)
        self.adapt = adapt or AdaptOptions()
        self._graph = graph
        self._arc_pdfs = model.transitions.tid_pdf[graph.ilabel]
        self._scorer = model.scorer()
        self._shift = model.features.frame_shift_ms / 1000

    @property
    def adapts(self) -> bool:
        """Whether utterances of one speaker help each other when they are decoded together."""
        return self.model.adaptation is not None and self.adapt.fmllr_passes > 0

    def decode(self, feats: np.ndarray) -> Decoded:
        """Decode one utterance, which counts as its own speaker.

        Parameters
        ----------
        feats : float32 (num_frames, dim)
            As from `features.pipeline.recognition_features`.
        """
        return self.decode_speaker([feats])[0]

    def decode_speaker(self, utterances: Sequence[np.ndarray]) -> list[Decoded]:
        """Decode utterances of one speaker; a speaker-adaptive system adapts to all of them.

        Parameters
        ----------
        utterances : sequence of float32 (num_frames, dim)
            As from `features.pipeline.load_feats`.
        """
        feats = [self.model.final_features(frames) for frames in utterances]
        if self.model.adaptation is None:
            return [self._decoded(self._search(frames, self._scorer)) for frames in feats]
        paths: dict[int, BestPath | None] = {}

        def find(number: int, frames: np.ndarray, scorer: Scorer) -> np.ndarray | None:
            path = paths[number] = self._search(frames, scorer)
            return None if path is None else path.transition_ids

        adapt_speaker(self.model, feats, find, self.adapt)
        return [self._decoded(paths[number]) for number in range(len(feats))]

    def _search(self, feats: np.ndarray, scorer: Scorer) -> BestPath | None:
        if len(feats) == 0:
            return None
        return search(self._graph, self._arc_pdfs, scorer.loglikes(feats), self.options)

    def _decoded(self, path: BestPath | None) -> Decoded:
        if path is None:
            return Decoded([], [], False, None)
        lang = self.model.lang
        words = path.words.tolist()
        phones = phone_segments(path.transition_ids, self.model.transitions)
        times = [(lang.word_name(s.label), s.begin * self._shift, s.end * self._shift)
                 for s in word_segments(phones, words, lang)]
        return Decoded([lang.word_name(word) for word in words], times, path.complete, path)

    def warm_up(self) -> None:
        """Compile or load the kernels, so that the first result is as quick as the later ones."""
        self.decode(np.zeros((2, feature_dim(self.model.features, self.model.pipeline)),
                             np.float32))

    def recognize(self, audio: PathLike | np.ndarray, rate: int | None = None,
                  channel: str | int = "mix", strict_rate: bool = False) -> dict[str, Any]:
        """Recognise one recording.

        Parameters
        ----------
        audio : path, or array (num_samples,)
            An array holds samples in 16-bit range (any numeric dtype; floats are taken as they
            are) at `rate` hertz, which must be the model's.
        channel : "mix" or channel number
            What to do with several channels.
        strict_rate : bool
            Refuse a file of another sampling rate instead of resampling it.

        Returns
        -------
        dict with text, confidence (null: not calibrated), accepted, reason, result, alternatives,
        partial (true if the audio ended before a whole sentence of the grammar).

        Raises
        ------
        UserError
            if the audio cannot be read, holds NaN, or `rate` is not the model's.
        """
        wanted = self.model.features.sample_rate
        if isinstance(audio, np.ndarray):
            if rate != wanted:
                raise UserError(f"array of {rate} Hz, the model wants {wanted} Hz; resample it")
            samples, name = np.asarray(audio, np.float32).reshape(-1), "array"
        else:
            samples = load_audio(audio, wanted, channel=channel, strict_rate=strict_rate)
            name = Path(audio).stem
        if len(samples) and np.abs(samples).max() < SILENT_PEAK:
            return _result([], [], "no-speech", False)
        feats = recognition_features(samples, self.model.features, self.model.pipeline, name,
                                     self.model.cmvn)
        decoded = self.decode(feats)
        if not decoded.complete:
            silent = not decoded.words and len(feats) * self._shift >= SHORTEST_WORD
            return _result(decoded.words, decoded.times, "no-speech" if silent else "too-short",
                           True)
        reason = None if decoded.words else "no-speech"
        return _result(decoded.words, decoded.times, reason, False)


def load(model: PathLike, options: SearchOptions | None = None,
         graph: PathLike | None = None, adapt: AdaptOptions | None = None) -> Recognizer:
    """Load a model directory with its graph.

    Parameters
    ----------
    model : path
        A model directory such as exp/mono.
    graph : path, optional
        A graph directory; default ``<model>/graph``.

    Raises
    ------
    UserError
        if either is missing or damaged.
    """
    directory = Path(graph) if graph else Path(model) / "graph"
    loaded = load_model(model)
    if not (directory / "graph.npz").is_file():
        raise UserError("no graph.npz there; run 'hybridasr mkgraph' first", directory)
    found = DecodingGraph.load(directory / "graph.npz")
    known = len(loaded.transitions.tid_pdf), max(loaded.lang.words.values()) + 1
    used = (int(labels.max(initial=0)) for labels in (found.ilabel, found.olabel))
    if any(label >= count for label, count in zip(used, known, strict=True)):
        raise UserError(f"belongs to another model than {model}; run 'hybridasr mkgraph {model} "
                        f"{directory}'", directory)
    return Recognizer(loaded, found, options, adapt)


def _result(words: Sequence[str], times: Sequence[tuple[str, float, float]], reason: str | None,
            partial: bool) -> dict[str, Any]:
    return {
        "text": " ".join(words), "confidence": None, "accepted": reason is None, "reason": reason,
        "partial": partial,
        "result": [{"word": word, "start": round(start, 3), "end": round(end, 3), "conf": None}
                   for word, start, end in times],
        "alternatives": []}

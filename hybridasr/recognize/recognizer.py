"""Owns recognition of one recording: a model directory in, results as in the documents out.

    recognizer = hybridasr.load("exp/dnn")
    print(recognizer.recognize("light.wav")["text"])
    recognizer.set_commands(["打开空调", "关闭空调"])

Without commands, the graph of the model directory decides; with them, one of the commands or none,
with a probability where the model is calibrated. Needs numpy and numba (and soundfile for files),
not pynini. The results have Vosk's field names.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.confidence.calibration import FILE as CALIBRATION
from hybridasr.confidence.calibration import Calibration, load_calibration
from hybridasr.confidence.command_grammar import CommandGrammar, GrammarMaker, RejectOptions
from hybridasr.confidence.confusion import FILE as CONFUSIONS
from hybridasr.confidence.confusion import Confusions, load_confusions
from hybridasr.confidence.measures import NAMES
from hybridasr.confidence.verify import LOW, Decision, Judge
from hybridasr.corpus.audio import load_audio
from hybridasr.corpus.command_list import Command, Item, read_commands
from hybridasr.decode.latgen import LatticeOptions, decode_lattice
from hybridasr.decode.search import BestPath, SearchOptions, search
from hybridasr.decode.words import phone_segments, word_segments
from hybridasr.errors import UserError, shell_command
from hybridasr.features.pipeline import feature_dim, frame_levels, recognition_features
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.model.acoustic import AcousticModel, Scorer
from hybridasr.model.adaptation import AdaptOptions, adapt_speaker, works_by_speaker
from hybridasr.model.directory import load_model
from hybridasr.storage import PathLike

# A recording whose loudest sample is below this (16-bit range) holds nothing but rounding.
SILENT_PEAK = 2.0
# Seconds that hold a word: longer audio in which no word even begins has no speech.
SHORTEST_WORD = 0.25


@dataclass(frozen=True)
class Decoded:
    """One decoded utterance: words with times in seconds, and whether an end was reached.

    With a command list, `words` are those of the accepted command, and `decision` says more.
    """

    words: list[str]
    times: list[tuple[str, float, float]]
    complete: bool
    path: BestPath | None
    decision: Decision | None = None


class Recognizer:
    """A loaded model with a graph or a command list; for any number of recordings in turn.

    Parameters
    ----------
    graph : DecodingGraph, optional
        Used while there is no command list.
    calibration : Calibration, optional
        Gives commands a probability and a threshold.
    confusions : Confusions, optional
        Say which fillers sound near; by default the table of phones does.
    """

    def __init__(self, model: AcousticModel, graph: DecodingGraph | None = None,
                 options: SearchOptions | None = None, adapt: AdaptOptions | None = None,
                 calibration: Calibration | None = None, reject: RejectOptions | None = None,
                 confusions: Confusions | None = None):
        self.model = model
        self._confusions = confusions
        self.reject = reject or RejectOptions()
        self.calibration = calibration
        self.commands: tuple[Command, ...] = ()
        self.fillers: tuple[str, ...] = ()
        self._grammar: CommandGrammar | None = None
        self.options = (options or SearchOptions()).resolved(model.acoustic_scale)
        self.adapt = adapt or AdaptOptions()
        self._graph = graph
        if graph is not None:
            self._arc_pdfs = model.transitions.tid_pdf[graph.ilabel]
        self._shift = model.features.frame_shift_ms / 1000

    @property
    def adapts(self) -> bool:
        """Whether utterances of one speaker help each other when they are decoded together."""
        return works_by_speaker(self.model, self.adapt)

    @cached_property
    def _maker(self) -> GrammarMaker:
        return GrammarMaker(self.model, confusions=self._confusions)

    @cached_property
    def _judge(self) -> Judge:
        return Judge(self._maker.units, self.model.lang.silence_phones, self.model.durations,
                     self.calibration, self.reject.threshold)

    def set_commands(self, commands: PathLike | Iterable[Item],
                     fillers: Iterable[str] = ()) -> None:
        """Recognise these commands from now on, and nothing else.

        Parameters
        ----------
        commands : path of a command list, or iterable of texts, (id, text), (id, text, threshold)
            or Command
            Hanzi, pinyin or English.
        fillers : iterable of str
            Words and phrases that are no commands although they sound like some, beside those
            that are made up (`RejectOptions.near_fillers`).

        Raises
        ------
        UserError
            if the list is empty, names a command twice or one that the model cannot say, or a
            threshold is no probability; the commands set before stay.
        """
        path = commands if isinstance(commands, str | Path) else None
        items = read_commands(path) if path else commands
        if isinstance(fillers, str):
            raise UserError("one filler instead of a list of fillers; put it into a list")
        fillers = tuple(fillers)
        penalty = self.reject.filler_penalty
        if penalty is None:
            penalty = self.calibration.filler_penalty if self.calibration else 0.0
        self._grammar = self._maker.make(items, fillers, penalty, self.reject.near_fillers, path)
        self.commands, self.fillers = tuple(self._grammar.commands.values()), fillers

    def add_command(self, command: Item) -> None:
        """Add one command to those set before; raises as `set_commands`."""
        if not self.commands:
            raise UserError("no command list yet, the graph of the model is in use; set all "
                            "commands at once")
        self.set_commands([*self.commands, command], self.fillers)

    def remove_command(self, name: str) -> None:
        """Remove every command with this id or text; raises as `set_commands`."""
        kept = [command for command in self.commands if name not in (command.id, command.text)]
        if len(kept) == len(self.commands):
            raise UserError(f"no command has the id or text '{name}'; the list has "
                            + ", ".join(command.text for command in self.commands[:10]))
        self.set_commands(kept, self.fillers)

    def decode(self, feats: np.ndarray) -> Decoded:
        """Decode one utterance, which counts as its own speaker.

        Parameters
        ----------
        feats : float32 (num_frames, dim)
            As from `features.pipeline.recognition_features`.
        """
        return self.decode_speaker([feats])[0]

    def decode_speaker(self, utterances: Sequence[np.ndarray]) -> list[Decoded]:
        """Decode utterances of one speaker; a system that adapts does so to all of them.

        Parameters
        ----------
        utterances : sequence of float32 (num_frames, dim)
            As from `features.pipeline.load_feats`.
        """
        feats = [self.model.final_features(frames) for frames in utterances]
        levels = [] if self._grammar is None else [
            frame_levels(frames, self.model.features, self.model.pipeline) for frames in utterances]

        def decode(number: int, frames: np.ndarray, scorer: Scorer) -> Decoded:
            if self._grammar is None:
                return self._search(frames, scorer)
            return self._spot(frames, scorer, levels[number])

        found: dict[int, Decoded] = {}

        def find(number: int, frames: np.ndarray, scorer: Scorer) -> np.ndarray | None:
            found[number] = decode(number, frames, scorer)
            path = found[number].path
            # The filler says nothing of how the speaker says a phone.
            if path is None or path.transition_ids.max() > self.model.transitions.num_tids:
                return None
            return path.transition_ids

        adapt_speaker(self.model, feats, find, self.adapt)
        return [found[number] for number in range(len(feats))]

    def _search(self, feats: np.ndarray, scorer: Scorer) -> Decoded:
        if self._graph is None:
            raise UserError("no graph and no commands; give --commands FILE, or run 'hybridasr "
                            "mkgraph'")
        if len(feats) == 0:
            return self._decoded(None)
        return self._decoded(search(self._graph, self._arc_pdfs, scorer.loglikes(feats),
                                    self.options))

    def _spot(self, feats: np.ndarray, scorer: Scorer, levels: np.ndarray) -> Decoded:
        """Decode one utterance with the command list."""
        grammar, beam = self._grammar, self.reject.reject_beam
        assert grammar is not None
        scores = self._maker.units.scores(scorer.loglikes(feats))
        if len(scores) == 0:
            return Decoded([], [], False, None)
        filler = search(grammar.filler, grammar.filler_pdfs, scores, self.options)
        found = decode_lattice(grammar.graph, grammar.graph_pdfs, scores, self.options,
                               LatticeOptions(beam))
        # A path that reaches no end is no command.
        path, lattice = found if found is not None and found[0].complete else (None, None)
        if filler is not None and not filler.complete:
            filler = None
        if path is None and filler is None:
            return Decoded([], [], False, None)
        decision = self._judge.decide(grammar, lattice, filler, scores, levels,
                                      self.options.acoustic_scale, beam)
        times = [(grammar.lang.word_name(word.label), word.begin * self._shift,
                  word.end * self._shift) for word in decision.words]
        if decision.command is None or not decision.accepted:
            return Decoded([], times, filler is not None, filler, decision)
        return Decoded(list(decision.command.words), times, True, path, decision)

    def _decoded(self, path: BestPath | None) -> Decoded:
        if path is None:
            return Decoded([], [], False, None)
        lang = self.model.lang
        words = path.words.tolist()
        phones = phone_segments(path.transition_ids, self.model.transitions)
        times = [(lang.word_name(s.label), s.begin * self._shift, s.end * self._shift)
                 for s in word_segments(phones, words, lang)]
        return Decoded([lang.word_name(word) for word in words], times, path.complete, path)

    def phones(self, feats: np.ndarray) -> list[str]:
        """Recognise phones in place of words: any sequence of the model's.

        Parameters
        ----------
        feats : float32 (num_frames, dim)
            As for `decode`.
        """
        loglikes = self.model.scorer().loglikes(self.model.final_features(feats))
        return self._maker.phones(self._maker.units.scores(loglikes), self.options)

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
        partial (true if the audio ended before a whole sentence of the grammar); with a command
        list also id. A command that was not accepted for its low confidence is in text
        nevertheless.

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
            return self._without_frames("no-speech", False)
        feats = recognition_features(samples, self.model.features, self.model.pipeline, name,
                                     self.model.cmvn)
        decoded = self.decode(feats)
        if decoded.decision is not None:
            return _command_result(decoded)
        if self._grammar is not None:
            return self._without_frames("too-short", True)
        if not decoded.complete:
            silent = not decoded.words and len(feats) * self._shift >= SHORTEST_WORD
            return _result(decoded.words, decoded.times, "no-speech" if silent else "too-short",
                           True)
        reason = None if decoded.words else "no-speech"
        return _result(decoded.words, decoded.times, reason, False)

    def _without_frames(self, reason: str, partial: bool) -> dict[str, Any]:
        """Return the result of a recording that there is nothing to search in."""
        result = _result([], [], reason, partial)
        if self._grammar is not None:
            result |= {"id": None, "confidence": None if self.calibration is None else 0.0}
        return result


def load(model: PathLike, options: SearchOptions | None = None,
         graph: PathLike | None = None, adapt: AdaptOptions | None = None,
         commands: PathLike | Iterable[Item] | None = None, fillers: Iterable[str] = (),
         reject: RejectOptions | None = None) -> Recognizer:
    """Load a model directory with its graph, or with a command list in its place.

    Parameters
    ----------
    model : path
        A model directory such as exp/mono.
    graph : path, optional
        A graph directory; default ``<model>/graph``.
    commands, fillers : optional
        As for `Recognizer.set_commands`; no graph directory is read then.

    Raises
    ------
    UserError
        if anything is missing or damaged, or as from `Recognizer.set_commands`.
    """
    if commands is not None:
        recognizer = bare_recognizer(model, options, adapt, reject)
        recognizer.set_commands(commands, fillers)
        return recognizer
    loaded = load_model(model)
    found = _read_graph(Path(graph) if graph else Path(model) / "graph", loaded, model)
    return _assembled(model, loaded, found, options, adapt, reject)


def bare_recognizer(model: PathLike, options: SearchOptions | None = None,
                    adapt: AdaptOptions | None = None,
                    reject: RejectOptions | None = None) -> Recognizer:
    """Load a model directory for command lists that are set later."""
    return _assembled(model, load_model(model), None, options, adapt, reject)


def _read_graph(directory: Path, loaded: AcousticModel, model: PathLike) -> DecodingGraph:
    if not (directory / "graph.npz").is_file():
        raise UserError("no graph.npz there; run 'hybridasr mkgraph' first", directory)
    found = DecodingGraph.load(directory / "graph.npz")
    known = len(loaded.transitions.tid_pdf), max(loaded.lang.words.values()) + 1
    used = (int(labels.max(initial=0)) for labels in (found.ilabel, found.olabel))
    if any(label >= count for label, count in zip(used, known, strict=True)):
        command = shell_command("hybridasr", "mkgraph", model, directory)
        raise UserError(f"belongs to another model than {model}; run {command}", directory)
    return found


def _assembled(model: PathLike, loaded: AcousticModel, graph: DecodingGraph | None,
               options: SearchOptions | None, adapt: AdaptOptions | None,
               reject: RejectOptions | None) -> Recognizer:
    """Put a model together with the calibration and the confusions of its directory."""
    calibration = load_calibration(model)
    if calibration is not None:
        calibration.columns(NAMES, Path(model) / CALIBRATION)
    path = Path(model) / CONFUSIONS
    return Recognizer(loaded, graph, options, adapt, calibration, reject,
                      load_confusions(path) if path.is_file() else None)


def _result(words: Sequence[str], times: Sequence[tuple[str, float, float]], reason: str | None,
            partial: bool) -> dict[str, Any]:
    return {
        "text": " ".join(words), "confidence": None, "accepted": reason is None, "reason": reason,
        "partial": partial,
        "result": [{"word": word, "start": round(start, 3), "end": round(end, 3), "conf": None}
                   for word, start, end in times],
        "alternatives": []}


def _command_result(decoded: Decoded) -> dict[str, Any]:
    decision = decoded.decision
    assert decision is not None
    shown = decision.command if decision.reason in (None, LOW) else None
    result = _result(shown.words if shown else [], decoded.times if shown else [],
                     decision.reason, not decoded.complete)
    for entry, probability in zip(result["result"], decision.word_probabilities, strict=False):
        entry["conf"] = round(probability, 4)
    alternatives = decision.alternatives
    if shown is None and decision.command is not None:
        alternatives = [(decision.command, decision.probability), *alternatives]
    return {**result, "text": shown.text if shown else "", "id": shown.id if shown else None,
            "confidence": _rounded(decision.probability),
            "alternatives": [{"text": command.text, "id": command.id,
                              "confidence": _rounded(probability)}
                             for command, probability in alternatives]}


def _rounded(probability: float | None) -> float | None:
    return None if probability is None else round(probability, 4)

"""Owns the short way to recognition: a model in, results as in the documents out.

    recognizer = hybridasr.load("exp/dnn")
    print(recognizer.recognize("light.wav")["text"])
    recognizer.set_commands(["打开空调", "关闭空调"])

Without commands, those that are packed with the model decide, or its graph; with them, one of the
commands or none, with a probability where the model is calibrated. Needs numpy and numba, and
soundfile for files.
"""

import copy
import math
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.confidence.calibration import FILE as CALIBRATION
from hybridasr.confidence.calibration import Calibration, load_calibration
from hybridasr.confidence.command_grammar import (
    CommandGrammar,
    RejectOptions,
    refuse_without_commands,
)
from hybridasr.confidence.confusion import FILE as CONFUSIONS
from hybridasr.confidence.confusion import Confusions, load_confusions
from hybridasr.confidence.decoded import Decoded
from hybridasr.confidence.grammar_maker import GrammarMaker
from hybridasr.confidence.measures import NAMES
from hybridasr.corpus.audio import FULL_SCALE
from hybridasr.corpus.command_list import Command, Item
from hybridasr.corpus.enhance import EnhanceOptions, Enhancer
from hybridasr.decode.endpoint import EndpointOptions
from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.features.pipeline import Frames, feature_dim
from hybridasr.grammar.command_file import read_command_file
from hybridasr.lexicon.lexicon import Lexicon, read_own_lexicon
from hybridasr.model.acoustic import AcousticModel
from hybridasr.model.adaptation import AdaptOptions, works_by_speaker
from hybridasr.model.directory import load_model, own_commands
from hybridasr.recognize.decoder import Decoder
from hybridasr.recognize.graph_grammar import Grammar, GraphGrammar, NoGrammar, read_graph
from hybridasr.recognize.samples import Audio, RawFormat, read_samples
from hybridasr.recognize.session import Session, Speaker
from hybridasr.recognize.voice_gate import VoiceGate
from hybridasr.storage import PathLike, is_file
from hybridasr.voice.speaker_check import VoiceProfile, load_profile

__all__ = ["Decoded", "Recognizer", "Speaker", "bare_recognizer", "load"]


class Recognizer:
    """A loaded model with a graph or a command list; for any number of recordings and threads.

    A result comes from one grammar, also while another thread changes the command list.

    Parameters
    ----------
    grammar : GraphGrammar, optional
        A graph of the model; used while there is no command list.
    calibration : Calibration, optional
        Gives commands a probability and a threshold.
    confusions : Confusions, optional
        Say which fillers sound near; by default the table of phones does.
    lexicon : Lexicon or path, optional
        Pronunciations of words of command lists and fillers, which win over all others.
    enhance : EnhanceOptions, optional
        What is done to the samples before they are recognised; default: nothing.

    Raises
    ------
    UserError
        if `reject` has a threshold and there is no calibration, or `enhance` needs what is not
        installed.
    """

    def __init__(self, model: AcousticModel, grammar: GraphGrammar | None = None,
                 options: SearchOptions | None = None, adapt: AdaptOptions | None = None,
                 calibration: Calibration | None = None, reject: RejectOptions | None = None,
                 confusions: Confusions | None = None,
                 lexicon: Lexicon | PathLike | None = None,
                 enhance: EnhanceOptions | None = None):
        enhance = enhance or EnhanceOptions()
        # What it lacks is told before audio comes.
        Enhancer(enhance, model.features.sample_rate)
        options = (options or SearchOptions()).resolved(model.acoustic_scale,
                                                        model.word_ins_penalty)
        own = NoGrammar() if grammar is None else grammar.weighted(options)
        # All that a result depends on; replaced as a whole, so that nobody sees half a change.
        self._decoder = Decoder(model, own, options, adapt or AdaptOptions(), enhance)
        self._changing = threading.RLock()
        self._confusions = confusions
        # Read at once: a faulty line is told before anything is recognised.
        self._lexicon = read_own_lexicon(lexicon) if isinstance(lexicon, str | Path) else lexicon
        self.calibration = calibration
        self.reject = reject or RejectOptions()
        if calibration is None and self.reject.threshold is not None:
            raise UserError(f"a threshold of {self.reject.threshold:g} has no effect without "
                            "probabilities; run 'hybridasr calibrate' with the model first, or "
                            "leave the threshold out")

    @property
    def model(self) -> AcousticModel:
        """The acoustic model."""
        return self._decoder.model

    @property
    def options(self) -> SearchOptions:
        """The options of the search, with the acoustic scale that is used."""
        return self._decoder.options

    @property
    def adapt(self) -> AdaptOptions:
        """How the model adapts to a speaker."""
        return self._decoder.adapt

    @property
    def grammar(self) -> Grammar:
        """The graph, or the command list, that decides at this moment."""
        return self._decoder.grammar

    @property
    def commands(self) -> tuple[Command, ...]:
        """The command list; empty where a graph decides."""
        return self._decoder.grammar.commands

    @property
    def fillers(self) -> tuple[str, ...]:
        """The words and phrases that were given as no commands."""
        return self._decoder.grammar.fillers

    @property
    def threshold(self) -> float | None:
        """The least probability of an accepted command that has no threshold of its own.

        None without a calibration.
        """
        if self.calibration is None:
            return None
        own = self.reject.threshold
        return self.calibration.threshold if own is None else own

    @property
    def adapts(self) -> bool:
        """Whether utterances of one speaker help each other when they are decoded together."""
        return works_by_speaker(self.model, self.adapt)

    # Made when it is first needed: a graph has no use for it.
    @cached_property
    def _maker(self) -> GrammarMaker:
        with self._changing:
            return GrammarMaker(self.model, self.reject, self.calibration, self._confusions,
                                lexicon=self._lexicon)

    def set_commands(self, commands: PathLike | Iterable[Item],
                     fillers: Iterable[str] = ()) -> None:
        """Recognise these commands from now on, and nothing else.

        Parameters
        ----------
        commands : path of a command list, of sentence templates or of a JSGF grammar; or iterable
            of texts, (id, text), (id, text, threshold) or Command
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
        if isinstance(fillers, str):
            raise UserError("one filler instead of a list of fillers; put it into a list")
        items = read_command_file(path) if path else commands
        # One change at a time; recognition goes on with the old grammar until the new one is made.
        with self._changing:
            grammar = self._decoder.grammar
            previous = grammar if isinstance(grammar, CommandGrammar) else None
            self._decoder = replace(self._decoder, grammar=self._maker.make(
                items, tuple(fillers), path, previous))

    def add_command(self, command: Item) -> None:
        """Add one command to those set before; raises as `set_commands`."""
        # The lock is held from reading the list to setting the next: no addition is lost.
        with self._changing:
            if not self.commands:
                raise UserError("no command list yet, the graph of the model is in use; set all "
                                "commands at once")
            self.set_commands([*self.commands, command], self.fillers)

    def remove_command(self, name: str) -> None:
        """Remove every command with this id or text; raises as `set_commands`."""
        with self._changing:
            others = [command for command in self.commands
                      if name not in (command.id, command.text)]
            if len(others) == len(self.commands):
                raise UserError(f"no command has the id or text '{name}'; the list has "
                                + ", ".join(command.text for command in self.commands[:10]))
            self.set_commands(others, self.fillers)

    def copy(self) -> "Recognizer":
        """Return another recognizer of the same model, whose commands may become others.

        What is large, or takes time to make, is shared.
        """
        _ = self._maker
        return copy.copy(self)

    def set_profile(self, profile: VoiceProfile | PathLike | None,
                    threshold: float | None = None) -> None:
        """Give every result from now on a `speaker_score`, of how much it is this speaker's voice.

        Parameters
        ----------
        profile : VoiceProfile or path, optional
            As from `SpeakerCheck.enrol`; None: no scores any more.
        threshold : float, optional
            Results whose score is below it are not accepted; their reason is "speaker".

        Raises
        ------
        UserError
            if the file cannot be read, the profile has another rate than the model, or the
            threshold is not finite.
        """
        if isinstance(profile, str | Path):
            profile = load_profile(profile)
        rate = self.model.features.sample_rate
        if profile is not None and profile.check.rate != rate:
            raise UserError(f"a profile of {profile.check.rate} Hz, the model wants {rate} Hz; "
                            f"train a speaker check with --sample-rate {rate}")
        if threshold is not None and not math.isfinite(threshold):
            raise UserError(f"a speaker threshold of {threshold}; give a finite number")
        with self._changing:
            self._decoder = replace(self._decoder, voice=None if profile is None
                                    else VoiceGate(profile, threshold))

    def session(self, rate: int | None = None, full_scale: float = 1.0,
                nbest: int | None = None, speaker: Speaker | None = None,
                endpoint: EndpointOptions | str | None = "default", partials: bool = True,
                channel: str | int = "mix", raw: RawFormat | str | None = None) -> Session:
        """Begin a stream of audio, with the commands of this moment.

        Parameters
        ----------
        endpoint : EndpointOptions, or a mode of `decode.endpoint.MODES`, optional
            The rules by which utterances end, or their mode; None: by `Session.finish` alone.
        rate, full_scale, nbest, speaker, partials, channel, raw
            See `Session`.
        """
        rules = EndpointOptions.of_mode(endpoint) if isinstance(endpoint, str) else endpoint
        return Session(self._decoder, rate, full_scale, nbest, speaker, rules, partials, channel,
                       raw)

    def recognize(self, audio: Audio, rate: int | None = None, channel: str | int = "mix",
                  strict_rate: bool = False, nbest: int | None = None,
                  speaker: Speaker | None = None, raw: RawFormat | str | None = None
                  ) -> dict[str, Any]:
        """Recognise one recording, as one utterance.

        Parameters
        ----------
        audio, rate, channel, strict_rate, raw
            A path, the contents of a file, a file object, or samples at `rate` hertz, which must
            be the model's; see `samples.read_samples`.
        nbest : int, optional
            Give up to so many alternatives. Without it, none where a graph decides, and with a
            command list those that came near.
        speaker : Speaker, optional
            Who speaks; remembers this recording for the next ones.

        Returns
        -------
        dict
            text, confidence, accepted, reason, partial, result, alternatives; with a command list
            also id and slots. See `hybridasr.recognize.results`.

        Raises
        ------
        UserError
            if the audio cannot be read, is not finite, or `rate` is not the model's.
        """
        samples = read_samples(audio, rate, self.model.features.sample_rate, channel, strict_rate,
                               raw)
        return self.utterances(samples, nbest, speaker)[0]

    def utterances(self, samples: np.ndarray, nbest: int | None = None,
                   speaker: Speaker | None = None,
                   endpoint: EndpointOptions | str | None = None) -> list[dict[str, Any]]:
        """Recognise a whole recording, utterance by utterance.

        Parameters
        ----------
        samples : float32 (num_samples,)
            As from `samples.read_samples`: at the model's rate, in 16-bit range.
        nbest, speaker
            As of `recognize`.
        endpoint
            As of `session`; without it, the recording is one utterance.

        Returns
        -------
        list of dict
            See `hybridasr.recognize.results`.
        """
        session = self.session(full_scale=FULL_SCALE, nbest=nbest, speaker=speaker,
                               endpoint=endpoint, partials=False)
        return session.accept(samples) + session.finish()

    def decode(self, frames: Frames) -> Decoded:
        """Decode one utterance, which counts as its own speaker.

        Parameters
        ----------
        frames : Frames
            As from `features.front_end.FrontEnd.recording`.
        """
        return self.decode_speaker([frames])[0]

    def decode_speaker(self, utterances: Sequence[Frames]) -> list[Decoded]:
        """Decode utterances of one speaker; a system that adapts does so to all of them.

        Parameters
        ----------
        utterances : sequence of Frames
            As from `features.feature_set.FeatureBlock.frames`.
        """
        return self._decoder.decode(utterances)

    def phones(self, feats: np.ndarray) -> list[str]:
        """Recognise phones in place of words: any sequence of the model's.

        Parameters
        ----------
        feats : float32 (num_frames, dim)
            As from `features.feature_set.load_feats`.
        """
        loglikes = self.model.scorer().loglikes(self.model.final_features(feats))
        return self._maker.phones(loglikes, self.options)

    def warm_up(self) -> None:
        """Compile or load the kernels, so that the first result is as quick as the later ones."""
        dim = feature_dim(self.model.features, self.model.pipeline)
        self.decode(Frames(np.zeros((2, dim), np.float32), np.zeros(2)))


def load(model: PathLike, options: SearchOptions | None = None,
         graph: PathLike | None = None, adapt: AdaptOptions | None = None,
         commands: PathLike | Iterable[Item] | None = None, fillers: Iterable[str] = (),
         reject: RejectOptions | None = None,
         lexicon: Lexicon | PathLike | None = None,
         enhance: EnhanceOptions | None = None) -> Recognizer:
    """Load a model with its graph, or with a command list in its place.

    Parameters
    ----------
    model : path
        A model directory such as exp/mono, or a packed one.
    graph : path, optional
        A graph directory; default ``<model>/graph``.
    commands, fillers : optional
        As for `Recognizer.set_commands`; in place of a graph. Where neither these nor a graph are
        given, the model's own commands, if it has some (`model.directory.OwnCommands`).
    reject : RejectOptions, optional
        For commands only.
    lexicon : Lexicon or path, optional
        Own pronunciations of the words of commands and fillers, in the model's phones; they win
        over all others. A graph has its words from `mkgraph`.
    enhance : EnhanceOptions, optional
        What is done to the samples before they are recognised; default: nothing.

    Raises
    ------
    UserError
        if anything is missing or damaged, if fillers, a lexicon or options of rejection are given
        without commands, or a graph with them, or as from `Recognizer.set_commands`.
    """
    if commands is not None:
        if graph is not None:
            raise UserError("graph has no effect with commands, which are a grammar of their own; "
                            "give one of the two", graph)
        recognizer = bare_recognizer(model, options, adapt, reject, lexicon, enhance)
        recognizer.set_commands(commands, fillers)
        return recognizer
    own = own_commands(model)
    if graph is None and own.commands is not None:
        if fillers or lexicon is not None:
            raise UserError("has commands of its own, with their fillers and pronunciations; give "
                            "commands too, or pack the model again", own.commands)
        packed = [] if own.fillers is None else read_command_file(own.fillers)
        return load(model, options, None, adapt, own.commands, [filler.text for filler in packed],
                    reject, None, enhance)
    # Before the model is read, which takes longer.
    refuse_without_commands(reject, tuple(fillers), lexicon is not None)
    loaded = load_model(model)
    directory = Path(graph) if graph else Path(model) / "graph"
    return _assembled(model, loaded, read_graph(directory, loaded, model), options, adapt, reject,
                      enhance=enhance)


def bare_recognizer(model: PathLike, options: SearchOptions | None = None,
                    adapt: AdaptOptions | None = None,
                    reject: RejectOptions | None = None,
                    lexicon: Lexicon | PathLike | None = None,
                    enhance: EnhanceOptions | None = None,
                    loaded: AcousticModel | None = None) -> Recognizer:
    """Load a model, or take one of this place that is `loaded`, for command lists set later."""
    return _assembled(model, loaded or load_model(model), None, options, adapt, reject, lexicon,
                      enhance)


def _assembled(model: PathLike, loaded: AcousticModel, grammar: GraphGrammar | None,
               options: SearchOptions | None, adapt: AdaptOptions | None,
               reject: RejectOptions | None,
               lexicon: Lexicon | PathLike | None = None,
               enhance: EnhanceOptions | None = None) -> Recognizer:
    """Put a model together with what lies beside it: calibration, confusions, words of commands."""
    calibration = load_calibration(model)
    if calibration is not None:
        calibration.columns(NAMES, Path(model) / CALIBRATION)
    # Both are there only where the model was calibrated.
    path = Path(model) / CONFUSIONS
    lexicon = own_commands(model).lexicon if lexicon is None else lexicon
    return Recognizer(loaded, grammar, options, adapt, calibration, reject,
                      load_confusions(path) if is_file(path) else None, lexicon, enhance)

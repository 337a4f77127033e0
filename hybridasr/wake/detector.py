"""Owns wake words: a stream of audio in, as it comes; the phrases that are said in it out.

    detector = WakeDetector("exp/dnn", ["小度小度"])
    for piece in microphone:
        for event in detector.accept(piece):
            print(event["wake"], event["start"], event["end"], event["confidence"])

Two stages, as products have. The first (`wake.first_stage`) runs always and is cheap. Where it
finds what may be a phrase, the full model hears the same audio again, and looks for the phrases in
the middle of anything else; for both, sounds of other languages than the phrases' count for less
(`wake.languages`). How sure it is, is how likely the sounds of the phrase are beside the
best sounds of each frame, as a geometric mean over the frames: 1 at most.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.confidence.command_grammar import RejectOptions
from hybridasr.confidence.measures import NAMES
from hybridasr.confidence.spoken import lexicon_of, spoken_commands
from hybridasr.corpus.command_list import Command, Item
from hybridasr.corpus.resample import Resampler
from hybridasr.errors import UserError
from hybridasr.lexicon.lexicon import Lexicon
from hybridasr.model.acoustic import AcousticModel
from hybridasr.model.directory import load_model
from hybridasr.options import option
from hybridasr.recognize.recognizer import Recognizer, bare_recognizer
from hybridasr.recognize.samples import Chunker, Piece, PieceReader, RawFormat
from hybridasr.recognize.session import CHUNK
from hybridasr.storage import PathLike, is_dir
from hybridasr.wake.first_stage import FirstStage
from hybridasr.wake.languages import favour_language
from hybridasr.wake.phrase_search import Hit

Event = dict[str, Any]

# Of the measures of a command, the mean log likelihood ratio of its frames.
_RATIO = NAMES.index("phone_ratio")
# The first stage of a model, where its directory has one.
FIRST = "wake"
# Seconds around a phrase that the second stage hears.
BEFORE, AFTER = 0.6, 0.2
# Seconds of audio that are kept for it: a phrase is shorter.
KEPT = 8.0


@dataclass(frozen=True)
class WakeOptions:
    """When a phrase counts as said."""

    first_threshold: float = option(-2.5, "least score of the first stage, whose best is 0: lower "
                                          "lets the second stage hear more")
    wake_threshold: float = option(0.3, "least confidence of a phrase in the second stage, 0 to 1")

    def __post_init__(self):
        if not -100 <= self.first_threshold <= 0:
            raise UserError(f"first-threshold is {self.first_threshold}; give a number from -100 "
                            "to 0")
        if not 0 <= self.wake_threshold <= 1:
            raise UserError(f"wake-threshold is {self.wake_threshold}; give a number from 0 to 1")


class WakeDetector:
    """Finds phrases in a stream of audio. Belongs to one thread at a time.

    However the audio is cut into pieces, the events are the same; memory does not grow.

    Parameters
    ----------
    model : path
        Directory of a network. Its sub-directory ``wake``, if it has one, is the model of the
        first stage: a small network with the same lexicon. Otherwise the model itself is.
    phrases : iterable of texts or commands
        As for `Recognizer.set_commands`: hanzi, pinyin or English; their own thresholds are of
        the confidence.
    options : WakeOptions, optional
    lexicon : Lexicon or path, optional
        As for `recognize.recognizer.load`.
    rate, full_scale, channel, raw
        As of `recognize.session.Session`.

    Raises
    ------
    UserError
        if a phrase cannot be said with the phones of the models, or one of them is no network.
    """

    def __init__(self, model: PathLike, phrases: Iterable[Item],
                 options: WakeOptions | None = None, lexicon: Lexicon | PathLike | None = None,
                 rate: int | None = None, full_scale: float = 1.0, channel: str | int = "mix",
                 raw: RawFormat | str | None = None):
        self._options, phrases = options or WakeOptions(), list(phrases)
        loaded = load_model(model)
        self._recognizer = _recognizer(model, loaded, phrases, lexicon)
        spoken = _pronunciations(self._recognizer)
        phones = {name for ways in spoken for way in ways for name in way}
        favoured = favour_language(loaded, phones)
        if favoured is not loaded:
            self._recognizer = _recognizer(model, favoured, phrases, lexicon)
        small = Path(model) / FIRST
        self._stage = FirstStage.of(
            favour_language(load_model(small), phones) if is_dir(small) else favoured, spoken,
            self._options.first_threshold)
        own = self._recognizer.model.features.sample_rate
        if self._stage.model.features.sample_rate != own:
            raise UserError(f"made for {self._stage.model.features.sample_rate} Hz, its model for "
                            f"{own} Hz; train both on the same features", small)
        self._rate = own
        self.begin(rate, full_scale, channel, raw)

    def begin(self, rate: int | None = None, full_scale: float = 1.0,
              channel: str | int = "mix", raw: RawFormat | str | None = None) -> None:
        """Begin another stream, of this form; what was heard of the last one is forgotten.

        Parameters as of `recognize.session.Session`.
        """
        self._reader = PieceReader(rate, self._rate, full_scale, channel, raw)
        self._begin()

    def copy(self) -> "WakeDetector":
        """Return a detector of the same phrases for another stream; the models are shared."""
        other = copy.copy(self)
        other.begin()
        return other

    @property
    def commands(self) -> tuple[Command, ...]:
        """The phrases."""
        return self._recognizer.commands

    @property
    def phrases(self) -> list[str]:
        """The texts of the phrases."""
        return [command.text for command in self._recognizer.commands]

    @property
    def rate(self) -> int:
        """Hertz at which the models hear."""
        return self._rate

    def warm_up(self) -> None:
        """Compile or load the kernels, so that the first phrase is found as quickly as others."""
        self._recognizer.warm_up()
        self._stage.stream().accept(np.zeros(self._rate // 2, np.float32))

    def accept(self, piece: Piece, rate: int | None = None) -> list[Event]:
        """Take the next piece of the stream; return the phrases that were found.

        Parameters and errors as of `recognize.session.Session.accept`.

        Returns
        -------
        list of dict
            ``wake`` (the text), ``id``, ``start`` and ``end`` (seconds of the stream),
            ``confidence``.
        """
        events: list[Event] = []
        for chunk in self._chunker.accept(self._reader.read(piece, rate)):
            events += self._advance(self._resampler.accept(chunk))
        return events

    def finish(self) -> list[Event]:
        """End the stream: return what is still found; another stream may begin."""
        rest = self._chunker.finish()
        events = self._advance(np.concatenate([self._resampler.accept(rest),
                                               self._resampler.finish()]))
        self._hits += self._first.finish()
        events += self._confirmed(ended=True)
        self._begin()
        return events

    def _begin(self) -> None:
        self._chunker = Chunker(max(1, round(self._reader.rate * CHUNK)))
        self._resampler = Resampler(self._reader.rate, self._rate)
        self._first = self._stage.stream()
        self._kept, self._place = np.zeros(0, np.float32), 0  # last samples, where they begin
        self._hits: list[Hit] = []  # not looked at by the second stage yet
        self._told = 0.0  # seconds at which the last phrase ended

    def _advance(self, samples: np.ndarray) -> list[Event]:
        self._kept = np.concatenate([self._kept, samples])
        surplus = max(0, len(self._kept) - round(KEPT * self._rate))
        self._kept, self._place = self._kept[surplus:], self._place + surplus
        self._hits += self._first.accept(samples)
        return self._confirmed(ended=False)

    def _confirmed(self, ended: bool) -> list[Event]:
        """Let the second stage hear the hits around which enough audio is there."""
        events = []
        shift = self._stage.model.features.frame_shift_ms / 1000
        seconds = (self._place + len(self._kept)) / self._rate
        while self._hits and (ended or self._hits[0].end * shift + AFTER <= seconds):
            hit = self._hits.pop(0)
            event = self._second(hit.begin * shift, hit.end * shift)
            # Two hits of one phrase, or of two that sound alike, are one.
            if event is not None and event["start"] >= self._told:
                self._told = event["end"]
                events.append(event)
        return events

    def _second(self, begin: float, end: float) -> Event | None:
        """Return the phrase that the full model hears about there, if one is probable enough."""
        first = max(0, round((begin - BEFORE) * self._rate) - self._place)
        last = round((end + AFTER) * self._rate) - self._place
        model = self._recognizer.model
        frames, _ = model.front_end.recording(self._kept[first:last])
        decoded = self._recognizer.decode(frames)
        decision = decoded.decision
        if decision is None or decision.command is None or decision.measures is None:
            return None
        least = decision.command.threshold
        least = self._options.wake_threshold if least is None else least
        confidence = float(np.exp(decision.measures[_RATIO]))
        if not confidence >= least or not decision.words:
            return None
        start, shift = (self._place + first) / self._rate, model.frame_shift
        return {"wake": decision.command.text, "id": decision.command.id,
                "start": round(start + decision.words[0].begin * shift, 3),
                "end": round(start + decision.words[-1].end * shift, 3),
                "confidence": confidence}


def _recognizer(place: PathLike, model: AcousticModel, phrases: list[Item],
                lexicon: Lexicon | PathLike | None) -> Recognizer:
    recognizer = bare_recognizer(place, reject=RejectOptions(anywhere=True), lexicon=lexicon,
                                 loaded=model)
    recognizer.set_commands(phrases)
    return recognizer


def _pronunciations(recognizer: Recognizer) -> list[tuple[tuple[str, ...], ...]]:
    """Return the ways to say each phrase, in phones by name."""
    grammar = recognizer.grammar
    commands = recognizer.commands
    words = {grammar.lang.words[word] for command in commands for word in command.words}
    lexicon = lexicon_of(replace(grammar.lang, pronunciations={
        word: grammar.lang.pronunciations[word] for word in words}))
    return [one.pronunciations for one in spoken_commands(list(commands), lexicon)]

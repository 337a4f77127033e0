"""Owns a stream of audio: pieces in, as they come; events out.

    session = recognizer.session(rate=16000)
    for piece in microphone:
        for event in session.accept(piece):
            print(event)

An event is what is new: ``{"partial": "words so far"}``, or a result (`recognize.results`) where an
utterance has ended. A session belongs to one thread at a time; model and grammar behind it are
shared by all.
"""

from typing import Any

import numpy as np

from hybridasr.confidence.decoded import Decoded
from hybridasr.confidence.verify import NO_SPEECH, TOO_SHORT
from hybridasr.corpus.enhance import Enhancer
from hybridasr.corpus.resample import Resampler
from hybridasr.decode.endpoint import EndpointOptions
from hybridasr.errors import UserError
from hybridasr.features.mfcc import FeatureStream
from hybridasr.features.online_cmvn import SpeechStats
from hybridasr.recognize.decoder import Decoder
from hybridasr.recognize.results import make_result
from hybridasr.recognize.samples import Chunker, Piece, PieceReader, RawFormat
from hybridasr.recognize.utterance import SpokenUtterance
from hybridasr.recognize.voice_gate import SPEAKER

Event = dict[str, Any]

# A recording whose loudest sample is below this (16-bit range) holds nothing but rounding.
SILENT_PEAK = 2.0
# Seconds that are worked on at a time, whatever pieces come: so that the result is the same to the
# last bit however the audio is cut. A result waits for so much at most.
CHUNK = 0.08
# Chunks from one look at the words so far to the next.
PARTIAL_CHUNKS = 3


class Speaker:
    """What is remembered of a speaker: how the voice and the microphone sound.

        speaker = Speaker()
        for path in paths:
            print(recognizer.recognize(path, speaker=speaker)["text"])

    It belongs to one thread at a time.
    """

    def __init__(self) -> None:
        self.stats: SpeechStats | None = None

    def remember(self, stats: SpeechStats | None) -> None:
        """Add what was heard in an utterance; None adds nothing."""
        if stats is not None:
            self.stats = stats if self.stats is None else self.stats + stats

    def forget(self) -> None:
        """Begin anew, as with a speaker who was never heard."""
        self.stats = None


class Session:
    """A stream of audio, utterance by utterance.

    Whatever the pieces are, they give the same events, to the last bit. Memory does not grow with
    the stream; that of an utterance does, which the rules of its end bound (rule5: 20 seconds).

    Parameters
    ----------
    decoder : Decoder
    rate : int, optional
        Hertz of the samples; default: the model's. Others are resampled.
    full_scale : float
        What samples that are floats have at full scale. As there is no looking ahead in a stream,
        it is not told by the values.
    nbest : int, optional
        See `Recognizer.recognize`.
    speaker : Speaker, optional
        Who speaks. What was heard of the speaker helps with what is said next; without one, each
        utterance is recognised on its own.
    endpoint : EndpointOptions, optional
        The rules by which an utterance ends; the next one begins there. None: it ends with
        `finish` alone.
    partials : bool
        Give the words so far, where they change.
    channel : "mix" or channel number
        What to do with several channels.
    raw : RawFormat or str, optional
        What bytes are; default: 16-bit little-endian samples of one channel.
    """

    def __init__(self, decoder: Decoder, rate: int | None = None, full_scale: float = 1.0,
                 nbest: int | None = None, speaker: Speaker | None = None,
                 endpoint: EndpointOptions | None = None, partials: bool = True,
                 channel: str | int = "mix", raw: RawFormat | str | None = None):
        if nbest is not None and nbest < 0:
            raise UserError(f"nbest is {nbest}; give 0 or more")
        if endpoint is not None and not decoder.model.streams:
            raise UserError("the network of this model hears an utterance as a whole (it has a "
                            "bidirectional layer), and cannot tell where one ends; give recordings "
                            "of one utterance each, or a model whose network streams")
        self._decoder, self._nbest, self._speaker = decoder, nbest, speaker
        self._endpoint, self._partials = endpoint, partials
        self._reader = PieceReader(rate, decoder.model.features.sample_rate, full_scale, channel,
                                   raw)
        self.decoded: Decoded | None = None  # what the last result was made of
        self._begin_stream()

    def _begin_stream(self) -> None:
        features = self._decoder.model.features
        self._chunker = Chunker(max(1, round(self._reader.rate * CHUNK)))
        self._resampler = Resampler(self._reader.rate, features.sample_rate)
        self._enhancer = Enhancer(self._decoder.enhance, features.sample_rate)
        self._features = FeatureStream(features)
        self._chunks = self._results = 0
        self._silent = False  # whether the last result was of silence
        self._spoken: list[np.ndarray] = []  # samples of the utterance, if its voice is looked at
        self._begin_utterance(0)

    def _begin_utterance(self, frame: int) -> None:
        before = self._speaker.stats if self._speaker else None
        watched = self._partials or self._endpoint is not None
        self._utterance = SpokenUtterance(self._decoder, before, self._nbest or 0, self._endpoint,
                                    watched)
        self._start = frame  # in the stream
        self._peak = 0.0
        self._heard = False  # whether there was a sample
        self._text = ""

    def accept(self, piece: Piece, rate: int | None = None) -> list[Event]:
        """Take the next piece of the stream; return what is new.

        Parameters
        ----------
        piece : bytes, or array (num_samples,) or (num_samples, channels)
            Any number of samples. Integers as for `samples.to_16_bit_range`, floats up to the
            full scale of the session, bytes as its raw format says.
        rate : int, optional
            Hertz, if the caller knows: a rate other than the session's is refused.

        Raises
        ------
        UserError
            if the samples are not finite or not in range, or the rate is another. Nothing of the
            piece is taken then, and the stream goes on with the next one.
        """
        events: list[Event] = []
        for chunk in self._chunker.accept(self._reader.read(piece, rate)):
            events += self._advance(chunk)
        return events

    def finish(self) -> list[Event]:
        """End the stream: return the last results; another stream may begin.

        One result at least, if there was none before.

        Raises
        ------
        UserError
            if there is nothing to decode with.
        """
        rest = self._chunker.finish()
        self._look_at(rest)
        resampled = np.concatenate([self._resampler.accept(rest), self._resampler.finish()])
        self._keep(resampled)
        enhanced = np.concatenate([self._enhancer.accept(resampled), self._enhancer.finish()])
        self._utterance.accept(np.concatenate([self._features.accept(enhanced),
                                               self._features.finish()]))
        decoded, stats = self._utterance.finish()
        result = self._result(decoded, stats, "finish", self._utterance.length)
        # What is left behind the last utterance is no other one, if nothing was said.
        nothing = self._results > 0 and result["reason"] in (NO_SPEECH, TOO_SHORT)
        self._begin_stream()
        return [] if nothing else [result]

    def partial_words(self) -> list[tuple[str, float, float]]:
        """Return the words so far as (word, begin, end), in seconds of the stream."""
        start = self._start * self._decoder.model.features.frame_shift_ms / 1000
        return [(word, start + begin, start + end)
                for word, begin, end in self._utterance.times()]

    def forget(self) -> None:
        """Forget the speaker, if the session remembers one; another goes on.

        An utterance that has begun is not changed.
        """
        if self._speaker:
            self._speaker.forget()
        if not self._heard:
            self._begin_utterance(self._start)

    def _advance(self, chunk: np.ndarray) -> list[Event]:
        """Take one chunk through all steps."""
        self._look_at(chunk)
        resampled = self._resampler.accept(chunk)
        self._keep(resampled)
        enhanced = self._enhancer.accept(resampled)
        self._utterance.accept(self._features.accept(enhanced))
        self._chunks += 1
        if self._endpoint is not None and (rule := self._utterance.rule()) is not None:
            frames = self._utterance.frames
            decoded, stats, rest = self._utterance.cut()
            result = self._result(decoded, stats, rule, frames)
            self._begin_utterance(self._start + frames)
            self._utterance.accept(rest)
            # Of a silence that goes on one result is enough.
            silent = result["reason"] == NO_SPEECH
            told, self._silent = not (silent and self._silent), silent
            self._results += told
            return [result] if told else []
        return self._partial() if self._partials and self._chunks % PARTIAL_CHUNKS == 0 else []

    def _partial(self) -> list[Event]:
        """Return the words so far, if there are new ones."""
        text = " ".join(self._utterance.words())
        if text == self._text:
            return []
        self._text = text
        return [{"partial": text}]

    def _look_at(self, samples: np.ndarray) -> None:
        if len(samples):
            self._heard = True
            self._peak = max(self._peak, float(np.abs(samples).max()))

    def _keep(self, samples: np.ndarray) -> None:
        if self._decoder.voice is not None:
            self._spoken.append(samples)

    def _result(self, decoded: Decoded, stats: SpeechStats | None, rule: str,
                frames: int) -> Event:
        # Dither makes noise of digital silence, and a search may hear something in it.
        if self._heard and self._peak < SILENT_PEAK:
            decoded = self._decoder.grammar.empty(NO_SPEECH, True)
        self.decoded = decoded
        features = self._decoder.model.features
        shift = features.frame_shift_ms / 1000
        result = make_result(decoded, self._nbest, self._start * shift)
        if self._decoder.voice is not None:
            spoken, end = np.concatenate(self._spoken), frames * features.shift_samples
            result = self._decoder.voice.checked(
                result, spoken if rule == "finish" else spoken[:end])
            self._spoken = [spoken[end:]]
        # A noise says nothing of the speaker, and another speaker's voice nothing of this one's.
        if self._speaker and result["reason"] not in (NO_SPEECH, TOO_SHORT, SPEAKER):
            self._speaker.remember(stats)
        if self._endpoint is not None:
            result |= {"start": round(self._start * shift, 3),
                       "end": round((self._start + frames) * shift, 3), "end_reason": rule}
        return result

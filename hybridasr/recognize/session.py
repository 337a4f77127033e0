"""Owns a stream of audio: samples in, as they come; a result out when an utterance ends.

    session = recognizer.session()
    for samples in microphone:
        session.accept(samples)
    result = session.finish()

A session belongs to one thread at a time; model and grammar behind it are shared by all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybridasr.confidence.decoded import Decoded
from hybridasr.confidence.verify import NO_SPEECH, TOO_SHORT
from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.features.online_cmvn import SpeechStats
from hybridasr.features.pipeline import Frames
from hybridasr.model.acoustic import AcousticModel
from hybridasr.model.adaptation import AdaptOptions, speaker_adaptation
from hybridasr.recognize.graph_grammar import Grammar
from hybridasr.recognize.results import make_result
from hybridasr.recognize.samples import to_16_bit_range

# A recording whose loudest sample is below this (16-bit range) holds nothing but rounding.
SILENT_PEAK = 2.0


@dataclass(frozen=True, eq=False)
class Decoder:
    """What sessions decode with; nothing in it changes, so that threads share it.

    Attributes
    ----------
    options : SearchOptions
        With an acoustic scale.
    """

    model: AcousticModel
    grammar: Grammar
    options: SearchOptions
    adapt: AdaptOptions

    def decode(self, utterances: Sequence[Frames], nbest: int = 0) -> list[Decoded]:
        """Decode utterances of one speaker; a system that adapts does so to all of them.

        Parameters
        ----------
        utterances : sequence of Frames
            As from `features.feature_set.FeatureBlock.frames`.
        nbest : int
            As for `Grammar.decode`.
        """
        model = self.model
        speaker = speaker_adaptation(
            model, [model.final_features(frames.features) for frames in utterances], self.adapt)
        while True:
            results = []
            for feats, frames in zip(speaker.features, utterances, strict=True):
                loglikes = speaker.scorer.loglikes(feats)
                results.append(self.grammar.decode(loglikes, frames.levels, self.options, nbest))
            if not speaker.adapt([self._senones(decoded) for decoded in results]):
                return results

    def _senones(self, decoded: Decoded) -> np.ndarray | None:
        """Return the transition-ids that were decoded; None if they are not all the model's.

        The filler says nothing of how the speaker says a phone.
        """
        path = decoded.path
        if path is None or path.transition_ids.max() > self.model.transitions.num_tids:
            return None
        return path.transition_ids


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
    """A stream of audio, utterance by utterance; each is recognised when it ends.

    For now it holds the samples until then; the result does not depend on how they were cut.

    Parameters
    ----------
    full_scale : float
        What samples that are floats have at full scale. As there is no looking ahead in a stream,
        it is not told by the values.
    nbest : int, optional
        See `Recognizer.recognize`.
    speaker : Speaker, optional
        Who speaks. What was heard of the speaker helps with what is said next; without one, each
        utterance is recognised on its own.
    """

    def __init__(self, decoder: Decoder, full_scale: float = 1.0, nbest: int | None = None,
                 speaker: Speaker | None = None):
        if nbest is not None and nbest < 0:
            raise UserError(f"nbest is {nbest}; give 0 or more")
        self._decoder, self._full_scale, self._nbest = decoder, full_scale, nbest
        self._speaker = speaker
        self._parts: list[np.ndarray] = []

    def accept(self, samples: np.ndarray) -> None:
        """Take the next samples of the utterance.

        Parameters
        ----------
        samples : array (num_samples,)
            At the rate of the model, of one channel; any number of them. Integers as for
            `samples.to_16_bit_range`, floats up to the full scale of the session.

        Raises
        ------
        UserError
            if the samples are not finite or not in range.
        """
        samples = np.asarray(samples)
        if samples.ndim != 1:
            raise UserError(f"array of shape {samples.shape}; give the samples of one channel")
        self._parts.append(to_16_bit_range(samples, self._full_scale))

    def finish(self) -> dict[str, Any]:
        """End the utterance and return its result (`results.make_result`); the next may begin.

        Raises
        ------
        UserError
            if there is nothing to decode with.
        """
        # The empty array is for an utterance without any piece.
        samples = np.concatenate([np.zeros(0, np.float32), *self._parts])
        self._parts = []
        decoder = self._decoder
        # Dither would make noise of digital silence, and a search would hear something in it.
        if len(samples) and np.abs(samples).max() < SILENT_PEAK:
            return make_result(decoder.grammar.empty(NO_SPEECH, True), self._nbest)
        before = self._speaker.stats if self._speaker else None
        frames, stats = decoder.model.front_end.recording(samples, before)
        result = make_result(decoder.decode([frames], self._nbest or 0)[0], self._nbest)
        # A noise says nothing of the speaker.
        if self._speaker and result["reason"] not in (NO_SPEECH, TOO_SHORT):
            self._speaker.remember(stats)
        return result

    def forget(self) -> None:
        """Forget the speaker, if the session remembers one; another goes on."""
        if self._speaker:
            self._speaker.forget()

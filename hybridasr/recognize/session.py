"""Owns a stream of audio: samples in, as they come; one result out.

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
from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.features.pipeline import frame_levels, recognition_features
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

    def decode(self, utterances: Sequence[np.ndarray], nbest: int = 0) -> list[Decoded]:
        """Decode utterances of one speaker; a system that adapts does so to all of them.

        Parameters
        ----------
        utterances : sequence of float32 (num_frames, dim)
            As from `features.pipeline.load_feats`.
        nbest : int
            As for `Grammar.decode`.
        """
        model = self.model
        # Levels are of the features as they are; a transform would hide them.
        levels = [frame_levels(feats, model.features, model.pipeline) for feats in utterances]
        speaker = speaker_adaptation(
            model, [model.final_features(feats) for feats in utterances], self.adapt)
        while True:
            results = []
            for feats, level in zip(speaker.features, levels, strict=True):
                loglikes = speaker.scorer.loglikes(feats)
                results.append(self.grammar.decode(loglikes, level, self.options, nbest))
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


class Session:
    """One stream of audio, which is recognised when it ends.

    For now it holds the samples until then; the result does not depend on how they were cut.

    Parameters
    ----------
    full_scale : float
        What samples that are floats have at full scale. As there is no looking ahead in a stream,
        it is not told by the values.
    nbest : int, optional
        See `Recognizer.recognize`.
    name : str
        Seeds the dither of the features.
    """

    def __init__(self, decoder: Decoder, full_scale: float = 1.0, nbest: int | None = None,
                 name: str = "stream"):
        if nbest is not None and nbest < 0:
            raise UserError(f"nbest is {nbest}; give 0 or more")
        self._decoder, self._full_scale, self._nbest = decoder, full_scale, nbest
        self._name = name
        self._parts: list[np.ndarray] | None = []

    def accept(self, samples: np.ndarray) -> None:
        """Take the next samples of the stream.

        Parameters
        ----------
        samples : array (num_samples,)
            At the rate of the model, of one channel; any number of them. Integers as for
            `samples.to_16_bit_range`, floats up to the full scale of the session.

        Raises
        ------
        UserError
            if the session is finished, or the samples are not finite or not in range.
        """
        if self._parts is None:
            raise UserError("the session is finished; begin a new one")
        samples = np.asarray(samples)
        if samples.ndim != 1:
            raise UserError(f"array of shape {samples.shape}; give the samples of one channel")
        self._parts.append(to_16_bit_range(samples, self._full_scale))

    def finish(self) -> dict[str, Any]:
        """End the stream and return its result (`results.make_result`).

        Raises
        ------
        UserError
            if the session is finished already, or there is nothing to decode with.
        """
        if self._parts is None:
            raise UserError("the session is finished; begin a new one")
        # The empty array is for a stream without any piece.
        samples = np.concatenate([np.zeros(0, np.float32), *self._parts])
        self._parts = None
        decoder = self._decoder
        # Dither would make noise of digital silence, and a search would hear something in it.
        if len(samples) and np.abs(samples).max() < SILENT_PEAK:
            return make_result(decoder.grammar.empty("no-speech", True), self._nbest)
        model = decoder.model
        feats = recognition_features(samples, model.features, model.pipeline, self._name,
                                     model.cmvn)
        return make_result(decoder.decode([feats], self._nbest or 0)[0], self._nbest)

"""Owns one utterance of a stream: raw features in, as they come; what was decoded out.

All that belongs to an utterance begins with it: normalisation, network and search. So it is decoded
as it would be on its own, wherever in a stream it is.
"""

import numpy as np

from hybridasr.confidence.decoded import Decoded
from hybridasr.decode.endpoint import EndpointOptions
from hybridasr.decode.search import Ending
from hybridasr.features.online_cmvn import SpeechStats
from hybridasr.features.pipeline import Frames
from hybridasr.recognize.decoder import Decoder

# Frames that the probability of speech is averaged over.
SMOOTHING = 8.0
# Frames that wait for later ones count as silence too where they are as quiet: no louder than the
# silence before them (natural log of power), of which there must be so many frames.
NO_LOUDER, LEAST_SILENCE = 0.5, 15


class SpokenUtterance:
    """An utterance that is decoded as its frames come, or, where it must be, when it ends.

    Parameters
    ----------
    decoder : Decoder
    before : SpeechStats, optional
        What is known of the speaker.
    nbest : int
        As for `Grammar.begin`.
    endpoint : EndpointOptions, optional
        The rules of `rule`.
    watched : bool
        Whether somebody asks for `words` or `rule`. Where an utterance has to be waited for, it
        is then also decoded as it comes, as well as that can be done: the words and the end are of
        this, the result is of the whole.
    """

    def __init__(self, decoder: Decoder, before: SpeechStats | None = None, nbest: int = 0,
                 endpoint: EndpointOptions | None = None, watched: bool = True):
        self._decoder, self._before, self._nbest = decoder, before, nbest
        self._endpoint = endpoint or EndpointOptions()
        self._waits = decoder.waits
        self._pass = _Pass(decoder, before, nbest, self._endpoint) \
            if watched or not self._waits else None
        # Raw frames: all, if they are waited for, otherwise those that are not decoded yet.
        self._raw = np.zeros((0, decoder.model.features.dim), np.float32)
        self._levels: list[np.ndarray] = []

    def accept(self, raw: np.ndarray) -> None:
        """Take the next raw features, float32 (num_frames, dim)."""
        self._levels.append(self._decoder.model.front_end.levels(raw))
        self._raw = np.concatenate([self._raw, raw])
        if self._pass is None:
            return
        decoded = self._pass.accept(raw)
        if not self._waits:
            self._raw = self._raw[decoded:]

    def words(self) -> list[str]:
        """Return the words so far, which may change."""
        return [] if self._pass is None else self._pass.search.partial()

    def times(self) -> list[tuple[str, float, float]]:
        """Return the words so far as (word, begin, end), in seconds of the utterance."""
        return [] if self._pass is None else self._pass.search.partial_times()

    def rule(self) -> str | None:
        """Return the name of the rule by which the utterance has ended, None if it goes on."""
        if self._pass is None:
            return None
        shift = self._decoder.model.features.frame_shift_ms / 1000
        ending, speechless = self._pass.ending(), self._pass.speechless
        pending = self._pending_silence(ending.silence)
        # They follow the last frames that are decoded, whose silence goes on.
        ending = Ending(ending.frames + pending, ending.silence + pending, ending.cost,
                        ending.final_cost)
        return self._endpoint.rule(ending, speechless + pending * (speechless > 0), shift)

    def _pending_silence(self, silence: int) -> int:
        """Return how many of the frames that are not decoded yet go on with the silence.

        The network looks ahead at them, which the end of speech need not wait for.
        """
        count = self.length - self.frames
        if silence < LEAST_SILENCE or count == 0:
            return 0
        last, parts = 0, []
        for levels in reversed(self._levels):
            parts.append(levels)
            last += len(levels)
            if last >= silence + count:
                break
        levels = np.concatenate(parts[::-1])
        # The first of them may still be of the word that dies away.
        before, waiting = levels[-silence - count:-count][silence // 3:], levels[-count:]
        loud = np.flatnonzero(waiting > before.max() + NO_LOUDER)
        return int(loud[0]) if len(loud) else count

    def cut(self) -> tuple[Decoded, SpeechStats | None, np.ndarray]:
        """End the utterance with the frames that are decoded.

        Returns
        -------
        (Decoded, what was heard of the speaker, raw features of the frames after it)
        """
        assert self._pass is not None
        if self._waits:
            count = self._pass.frames
            decoded, stats = self._whole(self._raw[:count])
            return decoded, stats, self._raw[count:]
        levels = np.concatenate(self._levels)[:self._pass.frames]
        return self._decoded(levels), self._pass.input.stats, self._raw

    def finish(self) -> tuple[Decoded, SpeechStats | None]:
        """End the utterance with all of its frames: (Decoded, what was heard of the speaker)."""
        if self._waits:
            return self._whole(self._raw)
        assert self._pass is not None
        self._pass.finish()
        levels = np.concatenate([np.zeros(0), *self._levels])
        return self._decoded(levels), self._pass.input.stats

    @property
    def frames(self) -> int:
        """Frames that are decoded."""
        return 0 if self._pass is None else self._pass.frames

    @property
    def length(self) -> int:
        """Frames that were taken."""
        return sum(map(len, self._levels))

    def _decoded(self, levels: np.ndarray) -> Decoded:
        assert self._pass is not None
        return self._pass.search.finish(self._decoder.model.score_levels(levels))

    def _whole(self, raw: np.ndarray) -> tuple[Decoded, SpeechStats | None]:
        front_end = self._decoder.model.front_end
        stream = front_end.stream(self._before)
        features = np.concatenate([stream.accept(raw), stream.finish()])
        frames = Frames(features, front_end.levels(raw))
        return self._decoder.decode([frames], self._nbest)[0], stream.stats


class _Pass:
    """From raw features to the search, as they come; everything counts frames of the features.

    Attributes
    ----------
    frames : int
        That are decoded: a score stands for the `subsampling` frames from its own on.
    speechless : int
        Last frames without speech.
    """

    def __init__(self, decoder: Decoder, before: SpeechStats | None, nbest: int,
                 endpoint: EndpointOptions):
        self._model = model = decoder.model
        self.input = model.front_end.stream(before, provisional=True)
        # What is not adapted yet has its own mixtures.
        scorer = model.scorer() if model.adaptation is None else model.adaptation.scorer
        self._scores = scorer.stream()
        self.search = decoder.grammar.begin(decoder.options, nbest)
        self.frames = self.speechless = 0
        self._taken = self._scored = 0  # raw frames, scores
        self._least = endpoint.speech.max_probability
        self._speech = 0.0
        # Nothing to look at without a network, or without a silence of its own.
        self._silence = np.array([] if model.nnet is None else model.silence_pdfs, np.int64)
        if model.nnet is not None:
            self._silence_priors = model.nnet.log_priors[self._silence]
        # The same in time, however many frames a score stands for.
        self._change = 1.0 - (1.0 - 1.0 / SMOOTHING) ** model.subsampling

    def accept(self, raw: np.ndarray) -> int:
        """Take raw features; return how many frames were decoded."""
        before = self.frames
        self._taken += len(raw)
        features = self._model.final_features(self.input.accept(raw))
        self._advance(self._scores.accept(features))
        return self.frames - before

    def finish(self) -> None:
        """Decode the frames that waited for later ones."""
        self._advance(self._scores.accept(self._model.final_features(self.input.finish())))
        self._advance(self._scores.finish())

    def ending(self) -> Ending:
        """Return how the best path so far ends."""
        ending, each = self.search.ending(), self._model.subsampling
        return Ending(ending.frames * each, ending.silence * each, ending.cost, ending.final_cost)

    def _advance(self, loglikes: np.ndarray) -> None:
        self.search.accept(loglikes)
        each = self._model.subsampling
        self._scored += len(loglikes)
        # The frames that the last score stands for may not have come yet.
        self.frames = min(self._scored * each, self._taken)
        if len(self._silence):
            posteriors = np.exp(loglikes[:, self._silence] + self._silence_priors)
            for probability in (1.0 - posteriors.sum(axis=1, dtype=np.float64)).tolist():
                self._speech += (probability - self._speech) * self._change
                self.speechless = self.speechless + each if self._speech <= self._least else 0

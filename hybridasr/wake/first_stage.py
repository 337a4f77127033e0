"""Owns the first stage of wake words: audio in, as it comes; phrases that may have been said out.

A small network is enough, as all that is found is looked at again. The stream is cut at its
silences, each stretch with a running mean of its own, as the network has been trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybridasr.errors import UserError
from hybridasr.features.mfcc import FeatureStream
from hybridasr.model.acoustic import AcousticModel
from hybridasr.wake.phone_classes import PhoneClasses, class_name, phone_classes
from hybridasr.wake.phrase_search import Hit, PhraseSearch

# Frames of silence that end a stretch.
SILENCE = 100
# A hit is given when so many frames have brought no better one.
SETTLE = 10


@dataclass(frozen=True, eq=False)
class FirstStage:
    """A network and the phrases that it listens for; the same for all streams.

    Attributes
    ----------
    chains : list of (phrase, columns)
        As of `PhraseSearch`, columns of the scores of `classes`.
    least : float
        Score of a hit, at least.
    """

    model: AcousticModel
    classes: PhoneClasses
    chains: list[tuple[int, list[int]]]
    least: float

    @classmethod
    def of(cls, model: AcousticModel, pronunciations: Sequence[Sequence[Sequence[str]]],
           least: float) -> "FirstStage":
        """Make the first stage of a model.

        Parameters
        ----------
        pronunciations : sequence, for each phrase, of its pronunciations
            Phones by name, with their tones.

        Raises
        ------
        UserError
            if the model is no network, or one that does not stream, or lacks a phone.
        """
        if not model.streams:
            raise UserError("a network with a bidirectional layer hears an utterance as a whole; "
                            "train the first stage with one that streams")
        classes = phone_classes(model)
        chains = []
        for phrase, ways in enumerate(pronunciations):
            # Ways that differ in their tones alone are one.
            for names in dict.fromkeys(tuple(map(class_name, way)) for way in ways):
                lacking = [name for name in names if name not in classes.columns]
                if lacking:
                    raise UserError(f"the first stage does not know the phone {lacking[0]}; train "
                                    "it with the lexicon of the model")
                chains.append((phrase, [column for name in names
                                        for column in classes.columns[name]]))
        return cls(model, classes, chains, least)

    def stream(self) -> "FirstStageStream":
        """Begin a stream of audio."""
        return FirstStageStream(self)


class FirstStageStream:
    """Phrases in audio that comes in pieces; memory does not grow."""

    def __init__(self, stage: FirstStage):
        self._stage = stage
        self._features = FeatureStream(stage.model.features)
        lang = stage.model.lang
        self._silence = [column for phone in lang.silence_phones
                         for column in stage.classes.columns[class_name(lang.phone_name(phone))]]
        self._frames = 0  # of raw features
        self._begin()

    def _begin(self) -> None:
        """Begin a stretch between two silences."""
        model = self._stage.model
        assert model.nnet is not None
        self._start = self._frames
        self._input = model.front_end.stream(provisional=True)
        self._scores = model.nnet.stream()
        self._search = PhraseSearch(self._stage.chains, self._stage.least,
                                    max(1, round(SETTLE / model.subsampling)))
        self._silent = 0  # last frames of silence

    def accept(self, samples: np.ndarray) -> list[Hit]:
        """Take the next samples; return the hits, in frames of the stream.

        Parameters
        ----------
        samples : float32 (num_samples,)
            At the rate of the model, in 16-bit range.
        """
        raw = self._features.accept(samples)
        self._frames += len(raw)
        final = self._stage.model.final_features
        hits = self._searched(self._scores.accept(final(self._input.accept(raw))))
        if self._silent >= SILENCE:
            hits += self._ended()
            self._begin()
        return hits

    def finish(self) -> list[Hit]:
        """End the stream: return the last hits; another may begin."""
        raw = self._features.finish()
        self._frames += len(raw)
        final = self._stage.model.final_features
        hits = self._searched(self._scores.accept(final(self._input.accept(raw)))) + self._ended()
        self._features, self._frames = FeatureStream(self._stage.model.features), 0
        self._begin()
        return hits

    def _ended(self) -> list[Hit]:
        """End a stretch: return its last hits."""
        last = self._scores.accept(self._stage.model.final_features(self._input.finish()))
        hits = self._searched(np.concatenate([last, self._scores.finish()]))
        return hits + self._placed(self._search.finish())

    def _searched(self, loglikes: np.ndarray) -> list[Hit]:
        if len(loglikes) == 0:
            return []
        nnet = self._stage.model.nnet
        assert nnet is not None
        scores = self._stage.classes.scores(loglikes, nnet.log_priors)
        silent = scores[:, self._silence].max(axis=1) >= 0  # the best of all classes
        spoken, each = np.flatnonzero(~silent), self._stage.model.subsampling
        self._silent = each * (len(silent) - 1 - int(spoken[-1])) if len(spoken) else (
            self._silent + each * len(silent))
        return self._placed(self._search.accept(scores))

    def _placed(self, hits: list[Hit]) -> list[Hit]:
        each = self._stage.model.subsampling  # frames that a score stands for
        return [hit._replace(begin=self._start + each * hit.begin,
                             end=self._start + each * hit.end) for hit in hits]

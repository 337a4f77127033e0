"""Owns what sessions decode with: model, grammar, options; decodes whole utterances."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybridasr.confidence.decoded import Decoded
from hybridasr.corpus.enhance import EnhanceOptions
from hybridasr.decode.search import SearchOptions
from hybridasr.features.pipeline import Frames
from hybridasr.model.acoustic import AcousticModel
from hybridasr.model.adaptation import AdaptOptions, speaker_adaptation, works_by_speaker
from hybridasr.recognize.graph_grammar import Grammar
from hybridasr.recognize.voice_gate import VoiceGate


@dataclass(frozen=True, eq=False)
class Decoder:
    """What sessions decode with; nothing in it changes, so that threads share it.

    Attributes
    ----------
    options : SearchOptions
        With an acoustic scale.
    enhance : EnhanceOptions
        What sessions do to the samples.
    voice : VoiceGate, optional
        Whose voice sessions look for.
    """

    model: AcousticModel
    grammar: Grammar
    options: SearchOptions
    adapt: AdaptOptions
    enhance: EnhanceOptions = EnhanceOptions()
    voice: VoiceGate | None = None

    @property
    def waits(self) -> bool:
        """Whether an utterance is decoded only when all of it is there.

        So it is where it is normalised by all of its frames, or adapted to.
        """
        return (self.model.front_end.normalization.waits or self.model.adaptation is not None
                or works_by_speaker(self.model, self.adapt))

    def decode(self, utterances: Sequence[Frames], nbest: int = 0) -> list[Decoded]:
        """Decode utterances of one speaker; a system that adapts does so to all of them.

        Parameters
        ----------
        utterances : sequence of Frames
            As from `features.feature_set.FeatureBlock.frames`.
        nbest : int
            As for `Grammar.begin`.
        """
        model = self.model
        speaker = speaker_adaptation(
            model, [model.final_features(frames.features) for frames in utterances], self.adapt)
        while True:
            results = []
            for feats, frames in zip(speaker.features, utterances, strict=True):
                search = self.grammar.begin(self.options, nbest)
                search.accept(speaker.scorer.loglikes(feats))
                results.append(search.finish(model.score_levels(frames.levels)))
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

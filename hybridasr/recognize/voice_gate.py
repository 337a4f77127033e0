"""Owns what the voice of an utterance does to its result."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from hybridasr.confidence.verify import NO_SPEECH, TOO_SHORT
from hybridasr.voice.speaker_check import VoiceProfile

SPEAKER = "speaker"  # the reason of a result: another voice


@dataclass(frozen=True, eq=False)
class VoiceGate:
    """Scores utterances by a profile, and rejects those below a threshold, if there is one."""

    profile: VoiceProfile
    threshold: float | None = None

    def checked(self, result: dict[str, Any], samples: np.ndarray) -> dict[str, Any]:
        """Return the result of an utterance with `speaker_score`, rejected where it falls short.

        Parameters
        ----------
        samples : float32 (num_samples,)
            The utterance, in 16-bit range at the rate of the profile.
        """
        silent = result["reason"] in (NO_SPEECH, TOO_SHORT)
        score = None if silent else self.profile.score(samples)
        result = result | {"speaker_score": None if score is None else round(score, 3)}
        if self.threshold is None or not result["accepted"]:
            return result
        # A word that is too short to tell the voice by is nobody's.
        if score is None or score < self.threshold:
            return result | {"accepted": False, "reason": SPEAKER}
        return result

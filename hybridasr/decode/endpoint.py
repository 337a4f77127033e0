"""Owns the end of speech: the rules that tell from a search whether an utterance has ended.

Kaldi's five rules, with its names and defaults (online2/online-endpoint.h): an utterance ends where
one of them holds. A rule looks at the silence at the end of the best path, at what it costs to end
there, and at the length. One more rule asks the acoustic model in place of the search: where the
probability of speech stays low, speech has ended, whatever the words are taken for.
"""

from dataclasses import dataclass, field, fields, replace

import numpy as np

from hybridasr.decode.search import Ending
from hybridasr.errors import UserError

# As in Vosk: what a mode makes of the waits of the rules 2, 3, 4 and of the speech rule.
MODES = {"short": 0.75, "default": 1.0, "long": 1.5, "very-long": 4.0}


@dataclass(frozen=True)
class EndpointRule:
    """Kaldi's OnlineEndpointRule: an utterance ends if all of these hold.

    Attributes
    ----------
    must_contain_nonsilence : bool
        Something else than silence was recognised.
    min_trailing_silence : float
        Seconds of silence at the end, at least.
    max_relative_cost : float
        Of ending here, beside going on, at most (natural log).
    min_utterance_length : float
        Seconds, at least.
    """

    must_contain_nonsilence: bool = True
    min_trailing_silence: float = 1.0
    max_relative_cost: float = np.inf
    min_utterance_length: float = 0.0

    def __post_init__(self):
        for one in fields(self):
            if not getattr(self, one.name) >= 0:  # neither NaN
                raise UserError(f"endpoint option {one.name.replace('_', '-')} is "
                                f"{getattr(self, one.name)}; give 0 or more")

    def holds(self, ending: Ending, shift: float) -> bool:
        """Return whether an utterance that ends so, with frames of `shift` seconds, has ended."""
        # A hair less, for seconds that are no whole number of frames to the last bit.
        silence, length = ending.silence * shift + 1e-9, ending.frames * shift + 1e-9
        return (silence >= self.min_trailing_silence
                and length >= self.min_utterance_length
                and (ending.silence < ending.frames or not self.must_contain_nonsilence)
                and ending.relative_cost <= self.max_relative_cost)


@dataclass(frozen=True)
class SpeechRule:
    """The rule of the acoustic model: after speech, none for a while.

    Attributes
    ----------
    min_trailing_silence : float
        Seconds without speech; 0 switches the rule off.
    max_probability : float
        Of speech in a frame that counts as one without.
    """

    min_trailing_silence: float = 0.7
    max_probability: float = 0.5

    def __post_init__(self):
        if not self.min_trailing_silence >= 0 or not 0 <= self.max_probability <= 1:
            raise UserError(f"speech rule of {self.min_trailing_silence} seconds below a "
                            f"probability of {self.max_probability}; give seconds from 0, and a "
                            "probability")

    def holds(self, ending: Ending, speechless: int, shift: float) -> bool:
        """Return whether an utterance with `speechless` last frames without speech has ended.

        The search must have found something before them.
        """
        return (0 < self.min_trailing_silence <= speechless * shift + 1e-9
                and ending.frames - ending.silence > 0 and ending.frames > speechless)


@dataclass(frozen=True)
class EndpointOptions:
    """Kaldi's OnlineEndpointConfig, and the rule of the acoustic model.

    >>> EndpointOptions().rule2.min_trailing_silence
    0.5
    >>> EndpointOptions.of_mode("long").rule2.min_trailing_silence
    0.75
    """

    rule1: EndpointRule = EndpointRule(False, 5.0)
    rule2: EndpointRule = EndpointRule(True, 0.5, 2.0)
    rule3: EndpointRule = EndpointRule(True, 1.0, 8.0)
    rule4: EndpointRule = EndpointRule(True, 2.0)
    rule5: EndpointRule = EndpointRule(False, 0.0, min_utterance_length=20.0)
    speech: SpeechRule = field(default_factory=SpeechRule)

    @classmethod
    def of_mode(cls, mode: str) -> "EndpointOptions":
        """Return the options of a mode: short, default, long or very long waits."""
        if mode not in MODES:
            raise UserError(f"endpoint mode '{mode}'; give one of {', '.join(MODES)}")
        options, factor = cls(), MODES[mode]
        scaled = {name: replace(getattr(options, name), min_trailing_silence=factor * getattr(
            options, name).min_trailing_silence) for name in ("rule2", "rule3", "rule4", "speech")}
        return replace(options, **scaled)

    def rule(self, ending: Ending, speechless: int, shift: float) -> str | None:
        """Return the name of the first rule by which an utterance has ended, None if it goes on.

        Parameters
        ----------
        ending : Ending
            Of the search.
        speechless : int
            Last frames without speech, as of `SpeechRule`.
        shift : float
            Seconds a frame.
        """
        for name in ("rule1", "rule2", "rule3", "rule4", "rule5"):
            if getattr(self, name).holds(ending, shift):
                return name
        return "speech" if self.speech.holds(ending, speechless, shift) else None

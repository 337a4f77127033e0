"""Owns what was said in a whole recording, however long: its utterances, or its commands."""

from dataclasses import dataclass
from typing import Any

from hybridasr.decode.endpoint import EndpointOptions
from hybridasr.progress import logger
from hybridasr.recognize.recognizer import Recognizer
from hybridasr.recognize.samples import Audio, RawFormat, read_samples
from hybridasr.recognize.session import Speaker

# Seconds up to which a recording without rules for the end of speech is one utterance.
LONGEST_UTTERANCE = 30.0


@dataclass(frozen=True)
class TranscriptOptions:
    """How a recording is read and cut.

    Attributes
    ----------
    channel, strict_rate, raw
        See `samples.read_samples`.
    nbest : int or None
        As for `Recognizer.recognize`.
    endpoint : EndpointOptions or None
        The rules by which an utterance ends. None: a recording is one utterance, except where a
        graph decides and it is longer than `LONGEST_UTTERANCE`: then the default rules hold.
    continuous : bool
        Give the accepted commands and nothing else, by the default rules if there are none.
    """

    channel: str | int = "mix"
    strict_rate: bool = False
    raw: RawFormat | None = None
    nbest: int | None = None
    endpoint: EndpointOptions | None = None
    continuous: bool = False


@dataclass(frozen=True)
class Transcript:
    """The results of a recording of `seconds`, in their order; see `recognize.results`."""

    seconds: float
    results: list[dict[str, Any]]


def transcribe(recognizer: Recognizer, audio: Audio, options: TranscriptOptions | None = None,
               speaker: Speaker | None = None, name: str = "the recording") -> Transcript:
    """Recognise a recording, utterance by utterance.

    Parameters
    ----------
    audio : see `samples.read_samples`
    speaker : Speaker, optional
        Who speaks; remembers this recording for the next ones.
    name : str
        What warnings call the recording.

    Raises
    ------
    UserError
        as `Recognizer.recognize`.
    """
    options = options or TranscriptOptions()
    rate = recognizer.model.features.sample_rate
    samples = read_samples(audio, None, rate, options.channel, options.strict_rate, options.raw)
    seconds = len(samples) / rate
    endpoint = options.endpoint
    if endpoint is None and (options.continuous or seconds > LONGEST_UTTERANCE):
        if options.continuous or not recognizer.commands:
            endpoint = EndpointOptions()
        else:
            logger.warning("%s: %.0f s are taken for one command; give --continuous to find every "
                           "command in it", name, seconds)
    results = recognizer.utterances(samples, options.nbest, speaker, endpoint)
    if options.continuous:
        results = [_without_pauses(result) for result in results if result["accepted"]]
    return Transcript(seconds, results)


def _without_pauses(result: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a command with the times of its words."""
    words = result["result"]
    return result | ({"start": words[0]["start"], "end": words[-1]["end"]} if words else {})

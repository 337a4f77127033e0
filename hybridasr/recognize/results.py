"""Owns the results: what was decoded, as a dict with Vosk's field names, ready for JSON.

    text            the words, or the command as the list has it
    confidence      probability that the command is right; null without a calibration. Of a graph,
                    where alternatives were asked for, the share of the words in the lattice, which
                    is surer than it should be; otherwise null
    accepted        whether to act on it
    reason          null, or why not: filler, low-confidence, no-speech, too-short, speaker
    partial         whether the audio ended before a whole sentence of the grammar
    result          the words, each with start and end in seconds and conf
    alternatives    other texts, best first, each with its confidence
    id              with a command list: the id of the command
    slots           with a command list: what its grammar tells of the command, name -> value
    speaker_score   with a profile: log odds that its speaker speaks; null if nobody does, or the
                    speech is too short

Results of a stream whose utterances end by rules also have

    start, end      seconds of the utterance within the stream, as all its times are
    end_reason      the rule that ended it: rule1 to rule5, speech; or finish

A command that is not accepted for its low confidence, or its speaker, is in text nevertheless.
"""

from typing import Any

from hybridasr.confidence.decoded import Decoded
from hybridasr.confidence.verify import LOW


def make_result(decoded: Decoded, nbest: int | None = None, start: float = 0.0
                ) -> dict[str, Any]:
    """Return the result of an utterance.

    Parameters
    ----------
    nbest : int, optional
        Give at most so many alternatives; None: all that there are.
    start : float
        Where the utterance begins, in seconds.

    Examples
    --------
    >>> decoded = Decoded(["open"], [("open", 0.1, 0.52)], True, None)
    >>> result = make_result(decoded)
    >>> result["text"], result["accepted"], result["reason"]
    ('open', True, None)
    >>> result["result"]
    [{'word': 'open', 'start': 0.1, 'end': 0.52, 'conf': None}]
    >>> make_result(Decoded([], [], True, None, reason="no-speech"))["accepted"]
    False
    """
    result = {
        "text": " ".join(decoded.words), "confidence": None,
        "accepted": decoded.reason is None, "reason": decoded.reason,
        "partial": not decoded.complete, "result": _words(decoded, start),
        "alternatives": [{"text": " ".join(words), "confidence": share} for words, share
                         in zip(decoded.alternatives, _shares(decoded), strict=True)]}
    if decoded.shares:
        result["confidence"] = _rounded(decoded.shares[0])
    if decoded.decision is not None:
        result |= _command_fields(decoded, start)
    result["alternatives"] = result["alternatives"][:nbest]
    return result


def shift_times(result: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return a result, or a wake word, whose times are `seconds` later.

    >>> shift_times({"text": "on", "start": 0.0, "end": 1.5, "result": [
    ...     {"word": "on", "start": 0.5, "end": 1.0, "conf": None}]}, 10)["result"]
    [{'word': 'on', 'start': 10.5, 'end': 11.0, 'conf': None}]
    """
    def moved(entry: dict[str, Any]) -> dict[str, Any]:
        return entry | {name: round(entry[name] + seconds, 3) for name in ("start", "end")
                        if name in entry}

    words = {"result": [moved(word) for word in result["result"]]} if "result" in result else {}
    return moved(result) | words


def _words(decoded: Decoded, start: float) -> list[dict[str, Any]]:
    # Words that do not match their phones have no times, and which they are is not known.
    shares = decoded.word_shares if len(decoded.word_shares) == len(decoded.times) else (
        [None] * len(decoded.times))
    return [{"word": word, "start": round(start + begin, 3), "end": round(start + end, 3),
             "conf": _rounded(share)}
            for (word, begin, end), share in zip(decoded.times, shares, strict=True)]


def _shares(decoded: Decoded) -> list[float | None]:
    """Return the shares of the alternatives, None where there are none."""
    shares = [_rounded(share) for share in decoded.shares[1:]]
    return shares or [None] * len(decoded.alternatives)


def _command_fields(decoded: Decoded, start: float) -> dict[str, Any]:
    """Return the fields that are different with a command list."""
    decision = decoded.decision
    assert decision is not None
    # What is taken for no command is not shown as one; which of two it was may be asked back.
    shown = decision.command if decision.reason in (None, LOW) else None
    words = _words(decoded, start) if shown else []
    # Without a calibration there are no probabilities, and conf stays null.
    for entry, probability in zip(words, decision.word_probabilities, strict=False):
        entry["conf"] = round(probability, 4)
    alternatives = decision.alternatives
    if shown is None and decision.command is not None:
        alternatives = [(decision.command, decision.probability), *alternatives]
    return {"text": shown.text if shown else "", "id": shown.id if shown else None,
            "slots": dict(shown.slots) if shown else {},
            "confidence": _rounded(decision.probability), "result": words,
            "alternatives": [{"text": command.text, "id": command.id, "slots": dict(command.slots),
                              "confidence": _rounded(probability)}
                             for command, probability in alternatives]}


def _rounded(probability: float | None) -> float | None:
    return None if probability is None else round(probability, 4)

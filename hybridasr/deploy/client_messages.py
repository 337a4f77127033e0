"""Owns messages of WebSocket clients: what they may hold, how they are refused, how much comes."""

import json
import re
from collections.abc import Mapping
from typing import Any

from hybridasr.deploy.serve_options import ServeOptions
from hybridasr.errors import UserError

_SWITCHES = ("words", "partials")


def control_message(message: str) -> dict[str, Any]:
    """Return the object of a text message: with ``config``, an object, or ``eof``.

    >>> control_message('{"eof" : 1}')
    {'eof': 1}

    Raises
    ------
    UserError
        if it is neither.
    """
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict) and ("eof" in value or isinstance(value.get("config"), dict)):
        return value
    raise UserError('a text that is not understood; send {"config": {...}}, {"eof": 1} or audio as '
                    "binary messages")


def checked_config(value: Mapping[str, Any], kinds: Mapping[str, tuple[type, ...]],
                   under_way: bool) -> dict[str, Any]:
    """Return the configuration of a message, without what is null.

    Raises
    ------
    UserError
        if it comes in the middle of audio, or an entry is of another type.
    """
    if under_way:
        raise UserError("config in the middle of audio; send it first")
    # Some clients send null for what they do not want.
    config = {name: one for name, one in value["config"].items() if one is not None}
    for name, types in kinds.items():
        one = config.get(name)
        if one is not None and (not isinstance(one, types)
                                or (isinstance(one, bool) and name not in _SWITCHES)):
            raise UserError(f"config: {name} is {json.dumps(one, ensure_ascii=False)[:40]}, "
                            f"not of type {types[0].__name__}")
    return config


def checked_phrases(phrases: list[Any], options: ServeOptions) -> None:
    """Refuse more phrases than a client may give: making their grammar takes time."""
    if len(phrases) > options.max_phrases:
        raise UserError(f"{len(phrases)} phrases; give at most {options.max_phrases}, or start "
                        "the server with --max-phrases")


def error_message(error: UserError) -> str:
    """Return the JSON text of an error.

    >>> error_message(UserError("no such word; add it to a lexicon (--lexicon FILE)"))
    '{"error": "no such word; add it to a lexicon"}'
    """
    # An option of the command line is nothing that a client could give.
    line = re.sub(r" \(--[\w-]+( [A-Z]+)?\)", "", str(error).splitlines()[0])
    # A text from JSON may hold halves of characters, which cannot be sent back.
    line = line.encode("utf-8", "replace").decode()
    return json.dumps({"error": line}, ensure_ascii=False)


class AudioLimit:
    """Counts the seconds that a client has sent.

    Attributes
    ----------
    seconds : float
    """

    def __init__(self, options: ServeOptions):
        self.seconds, self._most = 0.0, options.max_seconds

    def add(self, seconds: float) -> None:
        """Count more seconds.

        Raises
        ------
        UserError
            if that is more than a client may send.
        """
        self.seconds += seconds
        if self.seconds > self._most:
            raise UserError(f"more than {self._most:g} s of audio; connect again")

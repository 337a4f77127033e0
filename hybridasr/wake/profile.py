"""Owns the profile of wake words: phrases with the thresholds that were chosen for them."""

from collections.abc import Sequence

from hybridasr.corpus.command_list import Command, make_commands
from hybridasr.errors import UserError
from hybridasr.storage import PathLike, read_json, write_json


def write_profile(path: PathLike, phrases: Sequence[Command], first_threshold: float) -> None:
    """Write phrases with their thresholds, for `read_profile`."""
    write_json(path, {"first_threshold": first_threshold, "phrases": [
        {"text": phrase.text, "id": phrase.id, "threshold": phrase.threshold}
        for phrase in phrases]})


def read_profile(path: PathLike) -> tuple[list[Command], float]:
    """Read what `write_profile` has written: (phrases, threshold of the first stage).

    Raises
    ------
    UserError
        if there is no such file, or it is damaged.
    """
    contents = read_json(path)
    try:
        return make_commands(contents["phrases"], path), float(contents["first_threshold"])
    except (KeyError, TypeError, ValueError):
        raise UserError("no profile of wake words; write it with 'hybridasr wake --background'",
                        path) from None

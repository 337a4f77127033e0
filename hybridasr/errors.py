"""Owns the one exception type for what the user can mend.

The command line prints its message as one line on stderr and exits with 1.
Message template: ``<file>:<line>: <key> <what is wrong, with both values>; <how to mend>``.
"""

import shlex
from pathlib import Path

MAX_NAMED = 10  # utterances, words or files named in one line


class UserError(Exception):
    """Something in the input, the options or the machine that the user can mend.

    Parameters
    ----------
    message : str
        What is wrong, and after a semicolon how to mend it.
    path : path, optional
        The file or directory at fault; printed in front.
    line : int, optional
        Line in that file, from 1.
    """

    def __init__(self, message: str, path: str | Path | None = None, line: int | None = None):
        place = "" if path is None else f"{path}: " if line is None else f"{path}:{line}: "
        super().__init__(place + message)
        self.path = path
        self.line = line

    def __reduce__(self):
        # Worker processes pickle errors: rebuild from the finished line.
        return (UserError, (str(self),))


def shell_command(*words: str | Path) -> str:
    """Return a command for a message, between marks, so that it can be copied into a shell.

    >>> print(shell_command("hybridasr", "fix-data", "data/train"))
    'hybridasr fix-data data/train'
    >>> print(shell_command("hybridasr", "fix-data", "my data"))
    `hybridasr fix-data 'my data'`
    """
    line = shlex.join(map(str, words))
    return f"'{line}'" if "'" not in line else f"`{line}`"


def name_some(names: list[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - MAX_NAMED
    return " ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")

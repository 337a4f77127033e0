"""Owns the errors that the user can mend: one type, and a kind each for who must tell them apart.

The command line prints the message of any of them as one line on stderr and exits with 1.
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

    def within(self, context: str) -> "UserError":
        """Return an error of the same kind whose line begins with `context`.

        >>> str(DamagedFile("is empty; record it again", "a.wav").within("utterance 'u1'"))
        "utterance 'u1': a.wav: is empty; record it again"
        """
        return _rebuild(type(self), f"{context}: {self}", self.path, self.line)

    def __reduce__(self):
        # Worker processes pickle errors: the line is already whole, the place stands in it.
        return _rebuild, (type(self), str(self), self.path, self.line)


class NotEnoughData(UserError):
    """There is too little to train, to calibrate or to choose from: more data mends it."""


class DamagedFile(UserError):
    """A file is not what its name or its header says; made or copied anew, it is."""


class ResourceError(UserError):
    """The machine gave out: a full disk, no memory, a worker process that died.

    Whoever goes on without a part that could not be made must not go on after this one.
    """


def _rebuild(kind: type[UserError], text: str, path: str | Path | None,
             line: int | None) -> UserError:
    error = kind(text)
    error.path, error.line = path, line
    return error


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
    """Return the first names, and how many more there are.

    >>> name_some([f"u{number}" for number in range(12)])
    'u0 u1 u2 u3 u4 u5 u6 u7 u8 u9 and 2 more'
    """
    more = len(names) - MAX_NAMED
    return " ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")

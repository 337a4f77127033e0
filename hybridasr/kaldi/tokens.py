"""Owns reading of Kaldi's text files token by token, with errors that say file, line and token.

A token is any text between white space. Vectors and matrices (``[ numbers ]``) are
converted at once, not number by number.
"""

import re
from pathlib import Path

import numpy as np

from hybridasr.errors import UserError
from hybridasr.storage import PathLike, read_packed, read_text

_TOKEN = re.compile(r"\s*(\S+)")
_LARGEST = 2**31 - 1  # Kaldi's whole numbers have 32 bits
_REMEDY = "restore the file, or copy it from Kaldi's again with --binary=false"


class TokenReader:
    """A cursor over the tokens of one text."""

    def __init__(self, text: str, source: PathLike):
        self.text = text
        self.source = source
        self.place = 0  # where the next token is looked for

    def error(self, message: str, place: int | None = None) -> UserError:
        """Return an error at the first token from `place` on (default: at the next token)."""
        token = _TOKEN.match(self.text, self.place if place is None else place)
        at = token.start(1) if token else len(self.text.rstrip())
        line = self.text.count("\n", 0, at) + 1
        return UserError(f"{message}; {_REMEDY}", self.source, line)

    def peek(self) -> str:
        """Return the next token without taking it; empty at the end."""
        token = _TOKEN.match(self.text, self.place)
        return token[1] if token else ""

    def take(self, wanted: str) -> str:
        """Take the next token; the error at the end of the text names `wanted`."""
        token = _TOKEN.match(self.text, self.place)
        if not token:
            raise self.error(f"ends where {wanted} is expected")
        self.place = token.end()
        return token[1]

    def expect(self, *tokens: str) -> str:
        """Take the next token, which must be one of `tokens`."""
        token = self.peek()
        if token not in tokens:
            wanted = " or ".join(f"'{token}'" for token in tokens)
            raise self.error(f"{wanted} is expected, '{token}' found" if token
                             else f"ends where {wanted} is expected")
        return self.take(token)

    def integer(self, name: str, least: int | None = None) -> int:
        """Take a whole number called `name`, at least `least`."""
        token = self.peek()
        try:
            value = int(token)
        except ValueError:
            raise self.error(f"{name} is expected, '{token}' found" if token
                             else f"ends where {name} is expected") from None
        if least is not None and value < least:
            raise self.error(f"{name} is {value}, at least {least} is expected")
        if abs(value) > _LARGEST:
            raise self.error(f"{name} is {value}, at most {_LARGEST} is expected")
        self.take(name)
        return value

    def numbers(self, name: str, size: int | None = None) -> np.ndarray:
        """Take ``[ numbers ]`` called `name`, `size` of them: float64 (size,), all finite."""
        begin = self.place
        self.expect("[")
        end = self.text.find("]", self.place)
        if end < 0:
            raise self.error(f"{name} has no ']'", begin)
        tokens = self.text[self.place:end].split()
        # One conversion in C for the whole vector: token by token, a large model takes minutes.
        try:
            values = np.array(tokens, np.float64)
        except ValueError:
            raise self._not_a_number(name) from None
        if not np.isfinite(values).all():
            raise self._not_a_number(name)
        if size is not None and len(values) != size:
            raise self.error(f"{name} has {len(values)} numbers, {size} are expected", begin)
        self.place = end + 1
        return values

    def until(self, token: str) -> str:
        """Take the text up to `token`, and the token itself."""
        end = self.text.find(token, self.place)
        if end < 0:
            raise self.error(f"'{token}' is expected after this line and never comes")
        text = self.text[self.place:end]
        self.place = end + len(token)
        return text

    def finish(self) -> None:
        """Raise an error unless every token is taken."""
        if self.peek():
            raise self.error(f"the end is expected, '{self.peek()}' found")

    def _not_a_number(self, name: str) -> UserError:
        """Name the first token from the cursor on that is no finite number."""
        while True:
            place = self.place
            token = self.take("]")
            try:
                finite = np.isfinite(float(token))
            except ValueError:
                finite = False
            if not finite:
                return self.error(f"{name} has '{token}' where a number is expected", place)


def open_tokens(path: PathLike) -> TokenReader:
    """Open a text file of Kaldi's, gzipped if its name ends in ``.gz``.

    Raises
    ------
    UserError
        if it is missing, not text (Kaldi's binary form included) or a damaged gzip file.
    """
    path = Path(path)
    if path.suffix != ".gz":
        if path.is_file():
            # Looked at before the text is decoded, so that the message names the real cause.
            with path.open("rb") as file:
                _refuse_binary(file.read(2), path)
        return TokenReader(read_text(path), path)
    data = read_packed(path)
    _refuse_binary(data[:2], path)
    try:
        return TokenReader(data.decode("utf-8"), path)
    except UnicodeDecodeError:
        raise UserError(f"is not text once unpacked; {_REMEDY}", path) from None


def _refuse_binary(start: bytes, path: Path) -> None:
    if start == b"\0B":
        raise UserError("is in Kaldi's binary form; copy it with --binary=false (gmm-copy, "
                        "copy-transition-model, copy-tree)", path)

"""Owns texts as word ids: files of any size in, arrays of tokens out, in memory or on disk.

A text is an int32 array of ids in which each sentence ends with the token `BREAK`. Files are read
in blocks of whole lines, and no loop runs over words in Python.
"""

import gzip
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from hybridasr.corpus.text import normalize_text
from hybridasr.errors import DamagedFile, UserError
from hybridasr.lm.ngram import BEGIN, END
from hybridasr.storage import PathLike, decode_text, read_error

BREAK = 0
"""Id of the end of a line in a token array."""
_BLOCK = 4 << 20  # bytes of text that are read at once
_BREAK_WORD = "\0"  # no text holds it


class WordIds(dict):
    """Ids of words, given in the order in which the words come; 0 is the end of a line."""

    def __init__(self) -> None:
        super().__init__({_BREAK_WORD: BREAK})

    def __missing__(self, word: str) -> int:
        number = len(self)
        self[word] = number
        return number

    def tokens(self, words: Sequence[str]) -> np.ndarray:
        """Return the int32 ids of words; a new word gets a new id."""
        return np.fromiter(map(self.__getitem__, words), np.int32, len(words))


class Scratch:
    """A place for large arrays: memory, or files in a temporary folder that goes when it ends.

    Parameters
    ----------
    on_disk : bool
    """

    def __init__(self, on_disk: bool):
        self._folder = tempfile.TemporaryDirectory(prefix="hybridasr-lm-") if on_disk else None
        self._count = 0

    def __enter__(self) -> "Scratch":
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def on_disk(self) -> bool:
        """Whether arrays are files."""
        return self._folder is not None

    def empty(self, size: int, dtype: type) -> np.ndarray:
        """Return an array of one dimension with any values."""
        if self._folder is None or not size:
            return np.empty(size, dtype)
        self._count += 1
        return np.memmap(Path(self._folder.name) / str(self._count), dtype, "w+", shape=(size,))

    def keep(self, array: np.ndarray) -> np.ndarray:
        """Return a copy of an array that lies in this place; in memory, the array itself."""
        if self._folder is None:
            return array
        kept = self.empty(len(array), array.dtype.type)
        kept[:] = array
        return kept


def file_tokens(path: PathLike, ids: WordIds, skip_first: bool = False) -> Iterator[np.ndarray]:
    """Read a text of one sentence a line; yield its tokens block by block.

    Parameters
    ----------
    path : path
        UTF-8, plain or gzipped.
    ids : WordIds
        Gets the words that it lacks.
    skip_first : bool
        Whether each line begins with the id of an utterance.

    Raises
    ------
    UserError
        if the file cannot be read, or naming the line that holds <s> or </s>.
    """
    line = 0
    for block in _line_blocks(path):
        try:
            text = block.decode("utf-8")
        except UnicodeDecodeError:
            _refuse_bytes(block, path, line)
        yield _block_tokens(normalize_text(text.removeprefix("\ufeff")), ids, skip_first, path,
                            line)
        line += block.count(b"\n")


def sentence_tokens(sentences: Iterable[Sequence[str]], ids: WordIds) -> Iterator[np.ndarray]:
    """Yield the tokens of sentences in memory, block by block.

    Raises
    ------
    UserError
        if a sentence holds <s> or </s>.
    """
    words: list[str] = []
    for number, sentence in enumerate(sentences, 1):
        if BEGIN in sentence or END in sentence:
            raise UserError(f"sentence {number} holds {BEGIN} or {END}; leave them out, they are "
                            "added")
        words += sentence
        words.append(_BREAK_WORD)
        if len(words) > _BLOCK // 8:
            yield ids.tokens(words)
            words = []
    if words:
        yield ids.tokens(words)


def without_blank_lines(tokens: np.ndarray) -> np.ndarray:
    """Drop the ends of lines that hold no word; `tokens` begins at the begin of a line.

    >>> without_blank_lines(np.array([0, 3, 0, 0, 4, 0])).tolist()
    [3, 0, 4, 0]
    """
    ends = tokens == BREAK
    return tokens[~(ends & np.concatenate([[True], ends[:-1]]))]


def split_sentences(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put a place for <s> in front of each sentence.

    Parameters
    ----------
    tokens : integer array
        Whole sentences, each with `BREAK` at its end.

    Returns
    -------
    padded : integer array
        `BREAK` at each begin and each end.
    begins : bool array

    >>> padded, begins = split_sentences(np.array([5, 6, 0, 7, 0]))
    >>> padded.tolist(), np.flatnonzero(begins).tolist()
    ([0, 5, 6, 0, 0, 7, 0], [0, 4])
    """
    ends = np.flatnonzero(tokens == BREAK)
    starts = np.concatenate([[0], ends[:-1] + 1])
    begins = np.zeros(len(tokens) + len(starts), bool)
    begins[starts + np.arange(len(starts))] = True
    padded = np.zeros(len(begins), tokens.dtype)
    padded[~begins] = tokens
    return padded, begins


def _block_tokens(text: str, ids: WordIds, skip_first: bool, path: PathLike,
                  line: int) -> np.ndarray:
    """Return the tokens of some whole lines, of which the first follows line number `line`."""
    if skip_first:
        parts = (row.split(None, 1) for row in text.split("\n"))
        text = "\n".join(part[1] if len(part) == 2 else "" for part in parts)
    # The break becomes a word of its own, so that one split makes all tokens of the block.
    words = text.replace("\n", f" {_BREAK_WORD} ").split()
    if any(mark in text for mark in (BEGIN, END, _BREAK_WORD)):
        _refuse_marks(text, path, line)
    tokens = ids.tokens(words)
    return without_blank_lines(tokens)


def _refuse_marks(text: str, path: PathLike, line: int) -> None:
    for number, row in enumerate(text.split("\n"), line + 1):
        if _BREAK_WORD in row:
            raise DamagedFile("holds a null character; save it as plain text", path, number)
        for mark in (BEGIN, END):
            if mark in row.split():
                raise UserError(f"holds {mark}; leave it out, it is added", path, number)


def _refuse_bytes(block: bytes, path: PathLike, line: int) -> None:
    try:
        decode_text(block, path)
    except DamagedFile as error:
        # The line counts from the begin of the block.
        again = str(error).removeprefix(f"{path}:{error.line}: ")
        raise DamagedFile(again, path, line + error.line) from None


def _line_blocks(path: PathLike) -> Iterator[bytes]:
    """Yield blocks of whole lines, the last with a line end too."""
    try:
        with _open(path) as file:
            rest = b""
            while block := file.read(_BLOCK):
                cut = block.rfind(b"\n") + 1
                if cut:
                    yield rest + block[:cut]
                    rest = block[cut:]
                else:
                    rest += block
            if rest:
                yield rest + b"\n"
    except FileNotFoundError:
        raise UserError("no such file; check the path", path) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DamagedFile(f"cannot be unpacked ({error}); make it again, or copy it again",
                          path) from None
    except OSError as error:
        raise read_error(error, path) from None


def _open(path: PathLike) -> IO[bytes]:
    return gzip.open(path, "rb") if Path(path).suffix == ".gz" else open(path, "rb")

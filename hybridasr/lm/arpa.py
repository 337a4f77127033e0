"""Owns ARPA files: n-gram models as text, log10 probabilities and backoffs."""

import gzip
import math
import re
import zlib
from pathlib import Path

from hybridasr.corpus.text import normalize_text
from hybridasr.errors import UserError
from hybridasr.lm.ngram import BEGIN, END, NEVER, NgramModel
from hybridasr.storage import PathLike, read_text, write_text


def write_arpa(path: PathLike, model: NgramModel) -> None:
    """Write a model as ARPA text."""
    lines = ["", "\\data\\"]
    lines += [f"ngram {n}={len(table)}" for n, table in enumerate(model.ngrams, 1)]
    for n, table in enumerate(model.ngrams, 1):
        lines += ["", f"\\{n}-grams:"]
        for ngram, (probability, backoff) in table.items():
            # The format leaves out the backoff of the longest n-grams, which have none, and that
            # of 0.
            tail = "" if n == model.order or backoff == 0 else f"\t{backoff:.7g}"
            lines.append(f"{probability:.7g}\t{' '.join(ngram)}{tail}")
    write_text(path, "\n".join([*lines, "", "\\end\\"]) + "\n")


def read_arpa(path: PathLike) -> NgramModel:
    r"""Read ARPA text, plain or gzipped.

    Raises
    ------
    UserError
        with file and line: no \data\ or \end\, a field that is no number, too few words, a count
        that differs from the one announced, a reserved word, an n-gram of an unlisted word; or
        if the sentence's begin or end is no word of the model.
    """
    announced: list[int] = []
    tables: list[dict[tuple[str, ...], tuple[float, float]]] = []
    section = None  # None before \data\, 0 in it, n in \n-grams:, -1 after \end\
    for number, line in enumerate(_text(path).splitlines(), 1):
        # Words are compared with those of transcripts, so they take the same Unicode form.
        line = normalize_text(line).strip()
        heading = re.fullmatch(r"\\(\d+)-grams:", line)
        if section == -1 or not line:
            continue
        if line == "\\data\\":
            section = 0
        elif section is None:
            continue  # comments in front
        elif line == "\\end\\":
            _check_count(announced, tables, path, number)
            section = -1
        elif heading:
            _check_count(announced, tables, path, number)
            section = int(heading[1])
            if section != len(tables) + 1 or section > len(announced):
                raise UserError(f"section {line} comes out of order or was not announced in "
                                "\\data\\; restore the file", path, number)
            tables.append({})
        elif section == 0:
            announced.append(_announced(line, len(announced) + 1, path, number))
        else:
            ngram, entry = _entry(line, section, path, number)
            _check_words(ngram, tables, path, number)
            tables[-1][ngram] = entry
    if section != -1:
        missing = "\\data\\" if section is None else "\\end\\"
        raise UserError(f"{missing} is missing: not an ARPA file, or cut short; restore it", path)
    if not tables or len(tables) != len(announced):
        raise UserError(f"{len(announced)} orders announced, {len(tables)} found; restore the "
                        "file", path)
    _check_marks(tables, path)
    return NgramModel(tables)


def _check_words(ngram: tuple[str, ...], tables: list, path: PathLike, number: int) -> None:
    for word in ngram:
        # In a graph <eps> would be no word at all, and #0 would be read as a backoff arc.
        if word == "<eps>" or re.fullmatch(r"#\d+", word):
            raise UserError(f"'{word}' is a word of the model, but a reserved symbol of graphs; "
                            "rename it in the text that the model is made from", path, number)
        if len(ngram) > 1 and (word,) not in tables[0]:
            raise UserError(f"'{word}' is in a {len(ngram)}-gram and not among the 1-grams; "
                            "restore the file", path, number)
    if ngram in tables[-1]:
        raise UserError(f"'{' '.join(ngram)}' is there twice; restore the file", path, number)


def _check_marks(tables: list, path: PathLike) -> None:
    """Refuse a model without begin or end of a sentence; unigrams need no begin."""
    for mark in (END, BEGIN)[:1 if len(tables) == 1 else 2]:
        if (mark,) in tables[0]:
            continue
        other = next((word for (word,) in tables[0] if word.lower() == mark), None)
        mend = (f", but {other}; write {mark}" if other
                else "; make it of sentences with their begin and end")
        raise UserError(f"has no {mark} among its 1-grams{mend}", path)


def _announced(line: str, order: int, path: PathLike, number: int) -> int:
    match = re.fullmatch(rf"ngram\s+{order}\s*=\s*(\d+)", line)
    if not match:
        raise UserError(f"'{line}' is not 'ngram {order}=COUNT'; restore the file", path, number)
    return int(match[1])


def _check_count(announced: list[int], tables: list, path: PathLike, number: int) -> None:
    if tables and len(tables[-1]) != announced[len(tables) - 1]:
        raise UserError(f"{announced[len(tables) - 1]} {len(tables)}-grams announced, "
                        f"{len(tables[-1])} found; restore the file", path, number)


def _entry(line: str, order: int, path: PathLike, number: int
           ) -> tuple[tuple[str, ...], tuple[float, float]]:
    fields = line.split()
    if not order + 1 <= len(fields) <= order + 2:
        raise UserError(f"'{line}' is not a probability, {order} words and perhaps a backoff; "
                        "restore the file", path, number)
    try:
        probability = float(fields[0])
        backoff = float(fields[order + 1]) if len(fields) == order + 2 else 0.0
    except ValueError:
        raise UserError(f"'{line}' has a number that is none; restore the file", path,
                        number) from None
    if probability == -math.inf:  # another way to write it
        probability = NEVER
    if not (probability <= 0 and math.isfinite(backoff)):
        raise UserError(f"log10 probability {fields[0]} is above 0 or not a number, or the backoff "
                        f"{backoff:g} is none; restore the file", path, number)
    return tuple(fields[1:order + 1]), (probability, backoff)


def _text(path: PathLike) -> str:
    if Path(path).suffix != ".gz":
        return read_text(path)
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        raise UserError("no such file; check the path", path) from None
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise UserError(f"cannot be unpacked ({error}); restore the file", path) from None

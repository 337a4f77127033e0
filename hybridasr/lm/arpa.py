"""Owns ARPA files: n-gram models as text, log10 probabilities and backoffs.

Files of SRILM, KenLM and the CMU toolkit are read: tabs or spaces, comments in front, missing
backoffs, -99 or -inf, marks in any case.
"""

import gzip
import re
from collections.abc import Iterator

import numpy as np

from hybridasr.corpus.text import normalize_text
from hybridasr.errors import UserError
from hybridasr.lexicon.lexicon import UNKNOWN_WORD
from hybridasr.lm.arpa_lines import ArpaTables, finite_log10, read_arpa_lines
from hybridasr.lm.ngram import BEGIN, END, RESERVED, NgramModel, model_of_ngrams
from hybridasr.storage import PathLike, atomic_write, read_packed

_BLOCK = 16 << 20  # bytes of a section that are split at once
_HEADING = re.compile(rb"\\(?:data\\|end\\|(\d+)-grams:)")
_SPACE = np.isin(np.arange(256), list(b" \t\r\n\v\f"))


def write_arpa(path: PathLike, model: NgramModel) -> None:
    """Write a model as ARPA text, gzipped if the name ends in ``.gz``."""
    packed = str(path).endswith(".gz")
    with atomic_write(path, "wb") as file:
        # No time and no name in the packed file: the same model gives the same bytes.
        out = gzip.GzipFile("", "wb", 6, file, 0) if packed else file
        for text in _arpa_text(model):
            out.write(text.encode())
        if packed:
            out.close()


def read_arpa(path: PathLike) -> NgramModel:
    """Read ARPA text, plain or gzipped.

    Raises
    ------
    UserError
        as from `read_arpa_lines`, or if the sentence's begin or end is no word of the model.
    """
    data = read_packed(path).removeprefix(b"\xef\xbb\xbf")
    try:
        tables = _read_sections(data)
        if tables is not None:
            return _make_model(tables, path)
    except ValueError:  # an n-gram that is there twice, bytes that are not UTF-8
        pass
    return _make_model(read_arpa_lines(data, path), path)


def _arpa_text(model: NgramModel) -> Iterator[str]:
    heads = [f"ngram {order}={count}\n" for order, count in enumerate(model.num_ngrams, 1)]
    yield "\n\\data\\\n" + "".join(heads)
    texts = list(model.words)
    for order in range(1, model.order + 1):
        if order > 1:
            texts = [f"{texts[history]} {model.words[word]}" for history, word in zip(
                model.histories(order).tolist(), model.last_words(order).tolist(), strict=True)]
        yield f"\n\\{order}-grams:\n"
        probs = model.log10_probs[order - 1].tolist()
        if order == model.order:
            yield "".join([f"{prob:.7g}\t{text}\n" for prob, text in zip(probs, texts,
                                                                          strict=True)])
            break
        # The format leaves out a backoff of 0, and that of the longest n-grams, which have none.
        backoffs = [f"\t{value:.7g}" if value else ""
                    for value in model.log10_backoffs[order - 1].tolist()]
        yield "".join([f"{prob:.7g}\t{text}{backoff}\n"
                       for prob, text, backoff in zip(probs, texts, backoffs, strict=True)])
    yield "\n\\end\\\n"


def _make_model(tables: ArpaTables, path: PathLike) -> NgramModel:
    """Make a model of tables; `ValueError` if an n-gram is there twice."""
    words = _with_usual_marks(tables.words)
    # Unigrams need no begin of a sentence.
    for mark in (END, BEGIN)[:1 if len(tables.ngrams) == 1 else 2]:
        if mark not in words:
            raise UserError(f"has no {mark} among its 1-grams; make it of sentences with their "
                            "begin and end", path)
    return model_of_ngrams(words, tables.ngrams, tables.log10_probs, tables.log10_backoffs)


def _with_usual_marks(words: list[str]) -> list[str]:
    """Write <S>, </S>, <unk> as <s>, </s>, <UNK>, unless the model has both."""
    known = set(words)
    usual = {mark.lower(): mark for mark in (BEGIN, END, UNKNOWN_WORD)}
    other = {word: usual[word.lower()] for word in words if word.lower() in usual}
    return [other[word] if word in other and other[word] not in known else word for word in words]


def _read_sections(data: bytes) -> ArpaTables | None:
    """Read the sections of ARPA text as arrays; None if anything is not as it should be."""
    headings = list(_headings(data))
    texts = [text for _, _, text in headings]
    order = len(texts) - 2
    if order < 1 or texts != [b"\\data\\", *(b"\\%d-grams:" % n for n in range(1, order + 1)),
                              b"\\end\\"]:
        return None
    bodies = [data[begin:end] for (_, begin, _), (end, _, _) in zip(headings, headings[1:],
                                                                   strict=False)]
    announced = [re.fullmatch(rb"ngram\s+%d\s*=\s*(\d+)" % n, line.strip())
                 for n, line in enumerate(filter(None, map(bytes.strip, bodies[0].split(b"\n"))),
                                          1)]
    if len(announced) != order or not all(announced):
        return None
    tables, ids = ArpaTables(), {}
    for length, body in enumerate(bodies[1:], 1):
        parts = [_read_block(block, length, ids) for block in _blocks(body)]
        if None in parts or sum(len(part[1]) for part in parts) != int(announced[length - 1][1]):
            return None
        if length == 1:
            tables.words = [normalize_text(word.decode()) for word in ids]
            if not _usable(tables.words):
                return None
        tables.add(*(np.concatenate([part[column] for part in parts]) if parts
                     else np.empty((0, length) if column == 0 else 0)
                     for column in range(3)))
    return tables


def _headings(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    r"""Yield begin, end and text of the lines from \data\ to \end\ that begin a section."""
    inside = False
    for match in _HEADING.finditer(data):
        begin = data.rfind(b"\n", 0, match.start()) + 1
        end = data.find(b"\n", match.end())
        end = len(data) if end < 0 else end
        if data[begin:end].strip() != match[0] or not (inside or match[0] == b"\\data\\"):
            continue
        inside = True
        yield begin, end, match[0]
        if match[0] == b"\\end\\":
            return


def _usable(words: list[str]) -> bool:
    return len(set(words)) == len(words) and not any(
        RESERVED.fullmatch(word) or len(word.split()) != 1 for word in words)


def _blocks(body: bytes) -> Iterator[bytes]:
    """Cut a section into blocks of whole lines."""
    begin = 0
    while begin < len(body):
        end = body.find(b"\n", begin + _BLOCK)
        end = len(body) if end < 0 else end + 1
        yield body[begin:end]
        begin = end


def _read_block(block: bytes, order: int, ids: dict[bytes, int]
                ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return ids, probabilities and backoffs of some lines; None if one is not as it should be.

    `ids` gets the words of unigrams, as they are written.
    """
    fields, first, long = _split_lines(block, order)
    if fields is None:
        return None
    try:
        probs = np.array(list(map(float, fields[first])))
        backoffs = np.zeros(len(first))
        backoffs[long] = list(map(float, fields[first[long] + order + 1]))
    except ValueError:
        return None
    if not (probs <= 0).all() or not (backoffs < np.inf).all():
        return None
    columns = np.empty((len(first), order), np.int64)
    for place in range(order):
        words = fields[first + 1 + place].tolist()
        if order == 1:
            ids.update(zip(words, range(len(ids), len(ids) + len(words)), strict=True))
        try:
            columns[:, place] = list(map(ids.__getitem__, words))
        except KeyError:  # unlisted, or in another Unicode form
            return None
    return columns, finite_log10(probs), finite_log10(backoffs)


def _split_lines(block: bytes, order: int
                 ) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Return the fields of some lines, where each line's begin, and which have a backoff.

    The fields are None if a line has too few or too many.
    """
    codes = np.frombuffer(block + b"\n", np.uint8)
    space = _SPACE[codes]
    begins = ~space
    begins[1:] &= space[:-1]
    # Fields in front of each line end, then in each line.
    ends = np.searchsorted(np.flatnonzero(begins), np.flatnonzero(codes == 10))
    sizes = np.diff(ends, prepend=0)
    first = (ends - sizes)[sizes > 0]
    sizes = sizes[sizes > 0]
    long = np.flatnonzero(sizes == order + 2)
    if not np.isin(sizes, (order + 1, order + 2)).all():
        return None, first, long
    fields = np.empty(int(sizes.sum()), object)
    fields[:] = block.split()
    return fields, first, long

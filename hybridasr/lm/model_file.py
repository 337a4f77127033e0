"""Owns files of n-gram models, whatever their form: ARPA text, gzipped or not, and binary."""

from pathlib import Path

from hybridasr.lm.arpa import read_arpa, write_arpa
from hybridasr.lm.binary_lm import MAGIC, read_binary_lm, write_binary_lm
from hybridasr.lm.ngram import NgramModel
from hybridasr.storage import PathLike, read_error

BINARY_SUFFIX = ".bin"


def read_ngram(path: PathLike, check: bool = False) -> NgramModel:
    """Read a model, ARPA text or binary: its first bytes tell which.

    Parameters
    ----------
    check : bool
        Whether to compare the checksums of a binary file; ARPA text is always checked.

    Raises
    ------
    UserError
        as from `read_arpa` and `read_binary_lm`.
    """
    try:
        with open(path, "rb") as file:
            binary = file.read(len(MAGIC)) == MAGIC
    except FileNotFoundError:
        binary = False
    except OSError as error:
        raise read_error(error, path) from None
    return read_binary_lm(path, check) if binary else read_arpa(path)


def write_ngram(path: PathLike, model: NgramModel) -> None:
    """Write a model: binary if the name ends in ``.bin``, ARPA text else, ``.gz`` gzipped."""
    if Path(path).suffix == BINARY_SUFFIX:
        write_binary_lm(path, model)
    else:
        write_arpa(path, model)

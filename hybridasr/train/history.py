"""Owns the history of a training: a row of figures an iteration or round, ``history.json``.

It lies beside the model. Of mixtures a row has ``iteration``, ``loglike`` (a frame), ``gaussians``;
of a network ``round``, ``epoch``, ``loss``, ``accuracy`` (per cent), ``learning_rate``,
``gradient_norm`` (before it is clipped, the mean of the round; null where it is not computed) and,
in the last round of an epoch, ``held_out_loss`` and ``held_out_accuracy``.
"""

from pathlib import Path
from typing import Any

from hybridasr.errors import DamagedFile, UserError
from hybridasr.storage import read_json, write_json

FILE = "history.json"


class History:
    """The rows of a training so far.

    Parameters
    ----------
    directory : Path
        Of the model.
    key : str
        What numbers the rows: iteration or epoch.
    first : int
        The training begins here; rows from there on are of a run that was interrupted.
    """

    def __init__(self, directory: Path, key: str, first: int):
        self._path = directory / FILE
        try:
            rows = read_history(directory)
        except DamagedFile:
            rows = []  # a picture is not worth a training
        self._rows = [row for row in rows if row.get(key, first) < first]

    def add(self, **figures: Any) -> None:
        """Add a row and write the file."""
        self._rows.append(figures)
        write_json(self._path, self._rows)


def read_history(directory: Path) -> list[dict[str, Any]]:
    """Return the rows of a training; none if there is no history.

    Raises
    ------
    DamagedFile
        if the file is not a list of rows.
    """
    path = directory / FILE
    if not path.is_file():
        return []
    try:
        rows = read_json(path)
    except UserError as error:
        raise DamagedFile(str(error)) from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DamagedFile("is no history of a training; remove it", path)
    return rows

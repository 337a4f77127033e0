"""Owns what a transducer adds to the model directory of its encoder.

    transducer.json     format, sizes, number of labels
    transducer.npz      the network over labels and the joint layer

The rest is a CTC model (`hybridasr.model.directory`), whose network below its output is the
encoder. A format newer than this version knows is refused.
"""

from dataclasses import fields
from pathlib import Path

from hybridasr.ctc.transducer import Transducer, TransducerOptions
from hybridasr.errors import DamagedFile, UserError
from hybridasr.options import from_dict, to_dict
from hybridasr.storage import PathLike, is_file, read_arrays, read_json, write_arrays, write_json

FORMAT = 1
DESCRIPTION, ARRAYS = "transducer.json", "transducer.npz"
LARGEST = 1 << 14  # columns of a layer; more is a damaged file


def is_transducer(directory: PathLike) -> bool:
    """Tell whether a model directory is that of a transducer."""
    return is_file(Path(directory) / DESCRIPTION)


def save_transducer(directory: PathLike, model: Transducer) -> None:
    """Write what a transducer adds to the directory of its encoder."""
    directory = Path(directory)
    (directory / DESCRIPTION).unlink(missing_ok=True)
    write_arrays(directory / ARRAYS, **model.parameters)
    write_json(directory / DESCRIPTION, {
        "format": FORMAT, "sizes": to_dict(model.options), "num_labels": model.num_labels})


def load_transducer(directory: PathLike, num_labels: int, encoder_dim: int) -> Transducer:
    """Read a transducer whose encoder gives `encoder_dim` columns.

    Raises
    ------
    UserError
        if it is none, or of a newer format.
    DamagedFile
        if a file of it is damaged, or does not fit the encoder and its labels.
    """
    path = Path(directory) / DESCRIPTION
    if not is_file(path):
        raise UserError("no transducer.json there; give a directory that train-transducer made",
                        directory)
    values = read_json(path)
    if not isinstance(values, dict) or type(values.get("format")) is not int:
        raise DamagedFile("is not the description of a transducer (no format number); train it "
                          "again", path)
    if values["format"] > FORMAT:
        raise UserError(f"format {values['format']}, this version reads up to {FORMAT}; upgrade "
                        "hybridasr", path)
    sizes = values.get("sizes")
    if not isinstance(sizes, dict) or values.get("num_labels") != num_labels:
        raise DamagedFile(f"has no sizes, or not the {num_labels} labels of its encoder; train it "
                          "again, or copy it again", path)
    options = from_dict(TransducerOptions, sizes, str(path))
    if any(getattr(options, field.name) > LARGEST for field in fields(options)):
        raise DamagedFile(f"has a size above {LARGEST}; train it again, or copy it again", path)
    model = Transducer(num_labels, encoder_dim, options)
    model.load_arrays(read_arrays(Path(directory) / ARRAYS), str(Path(directory) / ARRAYS))
    return model

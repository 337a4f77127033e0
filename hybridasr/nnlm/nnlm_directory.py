"""Owns the directory of a neural language model.

    nnlm.json           format, options of the network, number of classes, figures of the training
    words.txt           a word and its count a line, in the order of their ids
    network.npz         the arrays

A format newer than this version knows is refused.
"""

from pathlib import Path

import numpy as np

from hybridasr.errors import DamagedFile, UserError
from hybridasr.nnlm.neural_lm import NeuralLm, NnlmOptions
from hybridasr.nnlm.word_classes import read_word_classes
from hybridasr.options import from_dict, to_dict
from hybridasr.storage import (
    PathLike,
    read_arrays,
    read_json,
    take_array,
    write_arrays,
    write_json,
)

FORMAT = 1
DESCRIPTION, WORDS, ARRAYS = "nnlm.json", "words.txt", "network.npz"
REMEDY = "train the model again"


def is_neural_lm(path: PathLike) -> bool:
    """Tell whether a path is the directory of a neural language model, and of nothing else."""
    return (Path(path) / DESCRIPTION).is_file()


def save_neural_lm(directory: PathLike, model: NeuralLm, info: dict[str, object]) -> None:
    """Write the directory; nnlm.json last, so that it marks a complete model."""
    directory = Path(directory)
    (directory / DESCRIPTION).unlink(missing_ok=True)
    model.words.write(directory / WORDS)
    write_arrays(directory / ARRAYS, **model.parameters)
    write_json(directory / DESCRIPTION, {
        "format": FORMAT, "network": to_dict(model.options),
        "num_classes": model.words.num_classes, "num_words": len(model.words.words), "info": info})


def load_neural_lm(directory: PathLike) -> NeuralLm:
    """Read a model; everything in it is checked.

    Raises
    ------
    UserError
        if it is no directory of a neural language model, or of a newer format.
    DamagedFile
        if a file of it is damaged, or does not fit the others.
    """
    directory = Path(directory)
    path = directory / DESCRIPTION
    if not path.is_file():
        raise UserError(f"no {DESCRIPTION} there; give a directory that train-nnlm made",
                        directory)
    values = read_json(path)
    if not isinstance(values, dict) or type(values.get("format")) is not int:
        raise DamagedFile("is not the description of a neural language model (no format number); "
                          + REMEDY, path)
    if values["format"] > FORMAT:
        raise UserError(f"model format {values['format']}, this version reads up to {FORMAT}; "
                        "upgrade hybridasr", path)
    options, num_classes = values.get("network"), values.get("num_classes")
    if not isinstance(options, dict) or type(num_classes) is not int:
        raise DamagedFile(f"has no network or no number of classes; {REMEDY}", path)
    words = read_word_classes(directory / WORDS, num_classes)
    if values.get("num_words") != len(words.words):
        raise DamagedFile(f"has {len(words.words)} words, {DESCRIPTION} says "
                          f"{values.get('num_words')}; {REMEDY}", directory / WORDS)
    model = NeuralLm(words, from_dict(NnlmOptions, options, str(path)))
    file = directory / ARRAYS
    arrays = read_arrays(file)
    for name, array in model.parameters.items():
        array[...] = take_array(arrays, name, file, np.float32, array.shape, remedy=REMEDY)
    return model

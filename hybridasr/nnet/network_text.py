"""Owns the text form of a network: one layer a line, 'kind key=value ...', '#' for comments.

    splice offsets=-5:5
    affine dim=512
    relu
    output            # affine to the classes, always last

With ``stride=3`` a splice or tdnn layer (``time_stride=3`` a convolution) computes every third
frame; offsets after it count frames of its output.

`LAYERS` is the table of kinds; the keys of a line are the fields of the kind's options. Any line
whose layer has parameters takes ``learning_rate_factor=0.5``, which multiplies its step size.
"""

import dataclasses
import difflib
import re
from typing import Any

import numpy as np

from hybridasr.errors import UserError
from hybridasr.nnet.attention import Attention
from hybridasr.nnet.bidirectional import Bidirectional
from hybridasr.nnet.convolution import Conv, MaxPool
from hybridasr.nnet.factored import Linear, TdnnF
from hybridasr.nnet.layer import RATE_FACTOR, Layer
from hybridasr.nnet.layers import (
    Affine,
    AffineOptions,
    Dropout,
    Pnorm,
    Relu,
    Sigmoid,
    Splice,
    Tanh,
    Tdnn,
)
from hybridasr.nnet.network import Network
from hybridasr.nnet.normalize import BatchNorm, LayerNorm, Renorm
from hybridasr.nnet.recurrent import Gru, Lstm, Rnn
from hybridasr.options import from_strings

LAYERS: dict[str, type[Layer]] = {layer.kind: layer for layer in (
    Affine, Splice, Tdnn, Relu, Sigmoid, Tanh, Pnorm, Dropout, Renorm, LayerNorm, BatchNorm, Conv,
    MaxPool, Lstm, Gru, Rnn, Bidirectional, Attention, Linear, TdnnF)}
OUTPUT = "output"
MAX_WEIGHTS = 1 << 27  # of a layer: 512 MB
MAX_SUBSAMPLING = 3  # sounds are shorter than more frames


def read_network(text: str, input_dim: int, output_dim: int, seed: int = 0,
                 source: str = "network") -> Network:
    """Build the network that `text` describes, with seeded initial parameters.

    Parameters
    ----------
    text : str
        See the module; the same text, dimensions and seed give the same parameters.
    input_dim, output_dim : int
        Columns of the features, and classes.
    seed : int
    source : str
        Where the text is from, for messages.

    Raises
    ------
    UserError
        naming `source` and the line, if a layer, a key or a value is not known or does not fit.
    """
    layers: list[Layer] = []
    dim, channels, line, kind, rate = input_dim, 1, 0, "", 1
    for line, words in enumerate((row.partition("#")[0].split() for row in text.splitlines()), 1):
        if not words:
            continue
        if kind == OUTPUT:
            raise UserError(f"'{words[0]}' after 'output'; move 'output' to the end", source, line)
        kind = words[0]
        rng = np.random.default_rng([seed, len(layers)])
        try:
            layer = _read_layer(words, dim, channels, output_dim, rng)
        except UserError as error:
            raise UserError(f"{kind}: {str(error).removeprefix(': ')}", source, line) from None
        layers.append(layer)
        dim, channels = layer.output_dim, layer.channels
        rate *= layer.stride
        if rate > MAX_SUBSAMPLING:
            raise UserError(f"{kind}: one output for {rate} frames; give strides whose product is "
                            f"at most {MAX_SUBSAMPLING}", source, line)
    if kind != OUTPUT:
        raise UserError("the last layer is not 'output'; add the line 'output'", source,
                        max(line, 1))
    return Network(layers)


def frozen_text(text: str) -> str:
    r"""Return the text of a network that is trained as it runs: no dropout, batchnorm frozen.

    The layers, their arrays and their names stay.

    >>> frozen_text("affine dim=4\nbatchnorm\nrelu\ndropout rate=0.2\noutput\n").split("\n")
    ['affine dim=4', 'batchnorm frozen=true', 'relu', 'dropout rate=0', 'output', '']
    """
    lines = []
    for line in text.splitlines():
        words = line.split()
        if words[:1] == [Dropout.kind]:
            line = f"{Dropout.kind} rate=0"
        elif words[:1] == [BatchNorm.kind]:
            line = " ".join([*(word for word in words if not word.startswith("frozen=")),
                             "frozen=true"])
        lines.append(line + "\n")
    return "".join(lines)


def _read_layer(words: list[str], dim: int, channels: int, output_dim: int,
                rng: np.random.Generator) -> Layer:
    kind, values = words[0], {}
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if not equals or key in values:
            raise UserError(f"'{word}' is not a new key=value; write for example dim=512")
        values[key] = value
    factor = _read_factor(values.pop(RATE_FACTOR, "1"))
    layer = _make_layer(kind, values, dim, channels, output_dim, rng)
    if factor != 1 and not layer.parameters:
        raise UserError(f"{RATE_FACTOR} has no effect, there is nothing to train; leave it out")
    layer.rate_factor = factor
    return layer


def _read_factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = -1.0
    if not 0 <= factor <= 100:
        raise UserError(f"{RATE_FACTOR}={text}; give a number from 0 to 100")
    return factor


def _make_layer(kind: str, values: dict[str, str], dim: int, channels: int, output_dim: int,
                rng: np.random.Generator) -> Layer:
    if kind == OUTPUT:
        if values:
            raise UserError(f"'{next(iter(values))}' is not known; write 'output' alone")
        layer = Affine(AffineOptions(output_dim, "glorot"), dim, channels, rng)
        layer.kind = OUTPUT
        return layer
    if kind not in LAYERS:
        near = difflib.get_close_matches(kind, [*LAYERS, OUTPUT], 1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise UserError(f"no such layer; {hint}known: {', '.join([*LAYERS, OUTPUT])}")
    layer_class = LAYERS[kind]
    for field in dataclasses.fields(layer_class.options_class):
        choices = field.metadata.get("choices")
        if choices and values.get(field.name, choices[0]) not in choices:
            raise UserError(f"{field.name}={values[field.name]}; choose from {', '.join(choices)}")
    if re.search(r"\d{4}", values.get("offsets", "")):
        # Before the range is made.
        raise UserError(f"offsets={values['offsets']}; give frames from -999 to 999")
    options = from_strings(layer_class.options_class, values, "")
    _check_size(options, dim)
    return layer_class(options, dim, channels, rng)


def _check_size(options: Any, dim: int) -> None:
    """Refuse what no machine could hold before memory is taken for it."""
    for name in ("dim", "cell", "channels", "projection", "bottleneck"):
        size = getattr(options, name, 0)
        if size * (size + dim) > MAX_WEIGHTS:
            raise UserError(f"{name}={size} after {dim} columns; give less, at most "
                            f"{MAX_WEIGHTS} weights a layer")


def float_network_from_arrays(text: str, arrays: dict[str, np.ndarray],
                              source: str = "network") -> Network:
    """Remake a network from `Network.text` and `Network.to_arrays`."""
    if "dims" not in arrays:
        raise UserError("array 'dims' is missing; this is not a network of ours", source)
    network = read_network(text, *(int(dim) for dim in arrays["dims"]), source=source)
    network.load_arrays(arrays, source)
    return network

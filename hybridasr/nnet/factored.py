"""Owns factored layers: the linear bottleneck that is kept semi-orthogonal, and TDNN-F.

Povey et al. 2018, Semi-orthogonal low-rank matrix factorization for deep neural networks; Kaldi's
linear-component and tdnnf-layer.
"""

from dataclasses import dataclass

import numpy as np

from hybridasr.errors import UserError
from hybridasr.nnet.layer import Layer, initial_weights
from hybridasr.nnet.layers import (
    SCHEMES,
    Affine,
    AffineOptions,
    Dropout,
    DropoutOptions,
    Relu,
    Splice,
    SpliceOptions,
    check_dim,
    multiply,
    multiply_slopes,
)
from hybridasr.nnet.normalize import BatchNorm, BatchNormOptions
from hybridasr.options import option

UPDATE_SPEED = 0.125  # of the paper: the error falls quadratically, and far off the step is halved


@dataclass(frozen=True)
class LinearOptions:
    """Options of a linear layer."""

    dim: int = option(0, "columns of the output")
    init: str = option("glorot", "scheme of the initial weights", SCHEMES)
    orthonormal: bool = option(True, "keep the matrix near a multiple of a semi-orthogonal one")

    def __post_init__(self):
        check_dim("dim", self.dim)


class Linear(Layer):
    """y = W x, a bottleneck; parameter weights (output_dim, input_dim)."""

    kind = "linear"
    options_class = LinearOptions

    def __init__(self, options, dim, channels, rng):
        super().__init__(options, dim, 1, rng)
        self.output_dim = options.dim
        self.multiplications = dim * options.dim
        self.parameters = {"weights": initial_weights(rng, options.dim, dim, options.init)}

    def forward(self, x, train=False, rng=None):  # noqa: D102
        out, rows = multiply(self, x, train)
        return out.reshape(*x.shape[:2], -1), rows if train else None

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        dx, gradient = multiply_slopes(self, dy, cache, input_gradient)
        return dx, {"weights": gradient}

    def constrain(self):  # noqa: D102
        if self.options.orthonormal:
            to_semi_orthogonal(self.parameters["weights"])


def to_semi_orthogonal(matrix: np.ndarray) -> None:
    """Take one step, in place, that makes (rows, columns) more nearly semi-orthogonal.

    With M of more columns than rows (or else transposed), P = M M' and the scale a^2 = tr(P P) /
    tr(P), that which makes the step leave M's size as it is: M -= 4 v / a^2 (P - a^2 I) M.

    Examples
    --------
    >>> matrix = np.array([[2.0, 0.0, 0.0], [0.2, 2.0, 0.0]])
    >>> for _ in range(20):
    ...     to_semi_orthogonal(matrix)
    >>> product = matrix @ matrix.T
    >>> bool(np.allclose(product / product[0, 0], np.eye(2), atol=1e-6))
    True
    """
    rows = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    gram = rows @ rows.T
    trace, squares = float(np.trace(gram)), float(np.vdot(gram, gram))
    if not (trace > 0 and np.isfinite(squares)):
        return  # nothing to turn; the training sees by its loss what is not finite
    scale = squares / trace
    ratio = squares * len(rows) / trace**2  # 1 if it is semi-orthogonal, more otherwise
    speed = UPDATE_SPEED * (1.0 if ratio <= 1.02 else 0.5 if ratio <= 1.1 else 0.25)
    gram[np.diag_indices(len(gram))] -= gram.dtype.type(scale)
    rows -= gram.dtype.type(4 * speed / scale) * (gram @ rows)


@dataclass(frozen=True)
class TdnnFOptions:
    """Options of a factored time-delay layer."""

    dim: int = option(0, "columns of the output")
    bottleneck: int = option(0, "columns between the two matrices")
    offset: int = option(1, "frames that the first half looks back and the second ahead; 0: "
                                 "neither")
    bypass: float = option(0.66, "share of the input that is added to the output")
    dropout: float = option(0.0, "share of the values set to zero in training, below 1")

    def __post_init__(self):
        for name, least in (("dim", 1), ("bottleneck", 1), ("offset", 0)):
            check_dim(name, getattr(self, name), least)
        if self.offset > 999:
            raise UserError(f"offset={self.offset}; give frames from 0 to 999")
        if self.bypass < 0:
            raise UserError(f"bypass={self.bypass}; give 0 or more")
        DropoutOptions(self.dropout)


class TdnnF(Layer):
    """y = bypass x + dropout(batchnorm(relu(W2 (W1 (x[t - s], x[t]), one ahead) + b))).

    W1 (bottleneck, 2 input_dim) is kept semi-orthogonal, W2 is (dim, 2 bottleneck); each half sees
    two frames, s apart. Arrays are those of the parts: ``linear.weights``, ``affine.weights``,
    ``affine.bias``, ``norm.scale``, ``norm.shift``.
    """

    kind = "tdnnf"
    options_class = TdnnFOptions

    def __init__(self, options, dim, channels, rng):
        super().__init__(options, dim, 1, rng)
        if options.bypass and dim != options.dim:
            raise UserError(f"bypass={options.bypass:g} adds the input's {dim} columns to "
                            f"dim={options.dim}; make them equal, or give bypass=0")
        offset = options.offset
        before = Splice(SpliceOptions(f"-{offset},0" if offset else "0"), dim, 1, rng)
        linear = Linear(LinearOptions(options.bottleneck), before.output_dim, 1, rng)
        after = Splice(SpliceOptions(f"0,{offset}" if offset else "0"), options.bottleneck, 1, rng)
        affine = Affine(AffineOptions(options.dim), after.output_dim, 1, rng)
        self.take_parts(
            before=before, linear=linear, after=after, affine=affine,
            relu=Relu(Relu.options_class(), options.dim, 1, rng),
            norm=BatchNorm(BatchNormOptions(), options.dim, 1, rng),
            dropout=Dropout(DropoutOptions(options.dropout), options.dim, 1, rng))
        self.left, self.right, self.output_dim = offset, offset, options.dim
        self.multiplications = linear.multiplications + affine.multiplications

    def forward(self, x, train=False, rng=None):  # noqa: D102
        y, caches = x, {}
        for name, part in self.parts.items():
            y, caches[name] = part.forward(y, train, rng)
        if self.options.bypass:
            kept = x[:, self.left:self.left + y.shape[1]]
            y += kept * x.dtype.type(self.options.bypass)
        return y, caches

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        # The parts may write over dy.
        kept = dy * dy.dtype.type(self.options.bypass)
        grads, first = {}, "before"
        for name, part in reversed(self.parts.items()):
            if name == first and not input_gradient:
                return None, grads
            dy, own = part.backward(dy, cache[name], input_gradient or name != "linear")
            grads.update({f"{name}.{key}": array for key, array in own.items()})
        if self.options.bypass:
            dy[:, self.left:self.left + kept.shape[1]] += kept
        return dy, grads

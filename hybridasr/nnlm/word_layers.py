"""Owns the two ends of a network on words: the embedding, and a softmax over many words.

Both work on a table of one row a class. The softmax is in two steps (Grave et al. 2017, Efficient
softmax approximation for GPUs; here without the narrower tails): rows of the table are

    clusters | frequent classes | rarer classes | still rarer classes ...
    ------------ head --------- | --- tail 0 -- | ---- tail 1 ------

and P(class) is the head's for a frequent class, the head's P(cluster) times the tail's P(class)
for a rarer one. So most words need the head alone, and all probabilities sum to one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from hybridasr.nnet.layer import Layer, add_bias, column_sums
from hybridasr.nnet.layers import check_dim
from hybridasr.nnet.loss import cross_entropy, log_softmax
from hybridasr.nnet.products import product, product_calls, run_all
from hybridasr.options import option

TAIL_GROWTH = 4  # a tail ends where the table is so many times as long as before it


@dataclass(frozen=True)
class EmbeddingOptions:
    """Options of an embedding."""

    rows: int = option(0, "rows of the table")
    dim: int = option(0, "columns of the table")

    def __post_init__(self):
        check_dim("rows", self.rows)
        check_dim("dim", self.dim)


class Embedding(Layer):
    """The rows of a table: integers (batch, time, 1) to (batch, time, dim); parameter weights."""

    kind = "embedding"
    options_class = EmbeddingOptions

    def __init__(self, options, dim, channels, rng):
        super().__init__(options, dim, 1, rng)
        self.output_dim = options.dim
        scale = options.dim ** -0.5
        self.parameters = {"weights": (scale * rng.standard_normal((options.rows, options.dim))
                                       ).astype(np.float32)}

    def forward(self, x, train=False, rng=None):  # noqa: D102
        return self.parameters["weights"][x[..., 0]], x.reshape(-1)

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        count, rows = len(cache), self.options.rows
        # A product with a sparse matrix of ones adds the gradients of equal rows, and in order.
        ones = csr_array((np.ones(count, dy.dtype), (cache, np.arange(count))), (rows, count))
        return None, {"weights": ones @ dy.reshape(count, -1)}


def table_edges(num_classes: int, frequent: int) -> tuple[int, ...]:
    """Return the last row + 1 of the head and of each tail; clusters are rows, too.

    >>> table_edges(100_000, 2000)
    (2003, 8003, 32003, 100003)
    >>> table_edges(3000, 4000)
    (3000,)
    """
    ends = [min(frequent, num_classes)]
    while ends[-1] < num_classes:
        ends.append(min(ends[-1] * TAIL_GROWTH, num_classes))
    return tuple(end + len(ends) - 1 for end in ends)


class AdaptiveSoftmax:
    """Log probabilities of rows of a table that are classes.

    Parameters
    ----------
    weights : float (rows, dim)
        May be the table of the embedding.
    bias : float (rows,)
    edges : sequence of int
        As of `table_edges`.
    """

    def __init__(self, weights: np.ndarray, bias: np.ndarray, edges: Sequence[int]):
        self.weights, self.bias, self.edges = weights, bias, tuple(edges)

    def loss(self, x: np.ndarray, targets: np.ndarray, scale: float = 1.0
             ) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """Sum -log P(target) over vectors.

        Parameters
        ----------
        x : float (count, dim)
        targets : int (count,)
            Rows of the table.
        scale : float
            Multiplies the gradients only.

        Returns
        -------
        loss : float
        dx, dweights, dbias : arrays as `x`, weights, bias
        """
        dweights, dbias = np.zeros_like(self.weights), np.zeros_like(self.bias)
        loss, dx = self._part_loss(x, self._heads(targets), slice(0, self.edges[0]), scale,
                                   dweights, dbias)
        for part in self._tails():
            rows = np.flatnonzero((targets >= part.start) & (targets < part.stop))
            if len(rows):
                more, dtail = self._part_loss(x[rows], targets[rows] - part.start, part, scale,
                                              dweights, dbias)
                loss += more
                dx[rows] += dtail
        return loss, dx, dweights, dbias

    def log_probs(self, x: np.ndarray, places: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return log P of rows of the table, each after one of some vectors.

        Parameters
        ----------
        x : float (count, dim)
        places, targets : int (num_pairs,)
            Which vector, which row.

        Returns
        -------
        float (num_pairs,)
        """
        head = log_softmax(self._logits(x, slice(0, self.edges[0])))
        result = head[places, self._heads(targets)]
        for part in self._tails():
            pairs = np.flatnonzero((targets >= part.start) & (targets < part.stop))
            rows, place = np.unique(places[pairs], return_inverse=True)
            tail = log_softmax(self._logits(x[rows], part))
            result[pairs] += tail[place, targets[pairs] - part.start]
        return result

    def _tails(self) -> list[slice]:
        return [slice(*ends) for ends in zip(self.edges[:-1], self.edges[1:], strict=True)]

    def _heads(self, targets: np.ndarray) -> np.ndarray:
        """Return the row of the head for each target: itself, or its cluster's."""
        tail = np.searchsorted(self.edges, targets, side="right")
        return np.where(tail == 0, targets, tail - 1).astype(np.int32)

    def _logits(self, x: np.ndarray, part: slice) -> np.ndarray:
        logits = np.empty((len(x), part.stop - part.start), x.dtype)
        product(x, self.weights[part].T, logits)
        add_bias(logits, self.bias[part])
        return logits

    def _part_loss(self, x: np.ndarray, targets: np.ndarray, part: slice, scale: float,
                   dweights: np.ndarray, dbias: np.ndarray) -> tuple[float, np.ndarray]:
        """Fill the gradients of one part; return its loss and the gradient by `x`."""
        loss, dlogits, _ = cross_entropy(self._logits(x, part), targets.astype(np.int32), scale)
        dx = np.empty_like(x)
        run_all(product_calls(dlogits, self.weights[part], dx)
                + product_calls(dlogits.T, x, dweights[part]))
        dbias[part] = column_sums(dlogits)
        return loss, dx

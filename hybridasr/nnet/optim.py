"""Owns optimisers, learning-rate schedules and the averaging of checkpoints.

An optimiser takes parameters and gradients as dicts of equal names and updates the parameters in
place, one pass over memory an array. Norm penalties apply to matrices, not to biases and scales.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from hybridasr.errors import UserError
from hybridasr.nnet.layer import FAST
from hybridasr.nnet.products import run_all
from hybridasr.options import option

Arrays = dict[str, np.ndarray]
PIECE = 1 << 17  # numbers that are updated in one go


def gradient_norm(grads: Arrays) -> float:
    """Return the 2-norm of all gradients together, summed in float64."""
    sums = [0.0] * len(grads)

    def add(place: int, array: np.ndarray) -> None:
        sums[place] = _square_sum(array.reshape(-1))

    run_all([functools.partial(add, place, array) for place, array in enumerate(grads.values())])
    return math.sqrt(sum(sums))


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _square_sum(x):
    total = 0.0
    for i in range(len(x)):
        total += x[i] * x[i]
    return total


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value < high:
        raise UserError(f"{name} is {value}; give a number from {low:g} to below {high:g}")


@dataclass(frozen=True)
class SgdOptions:
    """Options of stochastic gradient descent."""

    momentum: float = option(0.9, "share of the last step that the next one goes on with")
    nesterov: bool = option(True, "look ahead along the momentum (Sutskever et al. 2013)")
    l2: float = option(0.0, "weight of half the squared norm of the matrices in the loss")
    max_norm: float = option(0.0, "gradients of a larger norm are scaled down to it; 0: never")

    def __post_init__(self):
        _check_range("momentum", self.momentum, 0, 1)
        _check_range("l2", self.l2, 0, math.inf)
        _check_range("max_norm", self.max_norm, 0, math.inf)


@dataclass(frozen=True)
class AdamOptions:
    """Options of Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019)."""

    beta1: float = option(0.9, "decay of the mean of the gradients")
    beta2: float = option(0.999, "decay of the mean of their squares")
    epsilon: float = option(1e-8, "added to the root of the mean square")
    decay: float = option(0.0, "AdamW's: a step shrinks the matrices by rate times this")
    max_norm: float = option(0.0, "gradients of a larger norm are scaled down to it; 0: never")

    def __post_init__(self):
        _check_range("beta1", self.beta1, 0, 1)
        _check_range("beta2", self.beta2, 0, 1)
        for name in ("epsilon", "decay", "max_norm"):
            _check_range(name, getattr(self, name), 0, math.inf)


class Optimiser:
    """What the kinds share: clipping, the pass over all arrays, and the state.

    A kind names the groups of its state, one array a parameter each, in `groups`, and updates one
    array in `_update`.

    Parameters
    ----------
    parameters : dict of arrays
    factors : mapping of str to float, optional
        What multiplies the rate of a parameter (`Network.rate_factors`), where it is not 1; 0: it
        stays as it is, to the last bit.
    """

    groups: tuple[str, ...] = ()

    def __init__(self, options: Any, parameters: Arrays,
                 factors: Mapping[str, float] | None = None):
        if not all(array.flags.c_contiguous for array in parameters.values()):
            raise ValueError("the network is laid out for inference; train one of "
                             "`network_from_arrays`")
        self.options, self.factors = options, factors or {}
        self.steps = 0
        self.state = {group: {name: np.zeros_like(array) for name, array in parameters.items()}
                      for group in self.groups}

    def step(self, parameters: Arrays, grads: Arrays, rate: float) -> float:
        """Update `parameters` in place; return the gradients' norm before clipping.

        Without a `max_norm` the norm is not computed and 0.0 returned. With one, gradients that
        are not finite change nothing; the norm returned tells.
        """
        norm, scale = _clipping(grads, self.options.max_norm)
        if not math.isfinite(norm):
            return norm
        self.steps += 1
        calls = []
        for name, array in parameters.items():
            own = rate * self.factors.get(name, 1.0)
            if own == 0:
                continue
            arrays = [member.reshape(-1) for member in
                      (array, grads[name], *(group[name] for group in self.state.values()))]
            for start in range(0, array.size, PIECE):
                piece = [member[start:start + PIECE] for member in arrays]
                calls.append(functools.partial(self._update, piece, own, scale, array.ndim > 1))
        run_all(calls)
        return norm

    def _update(self, arrays: list[np.ndarray], rate: float, scale: float, matrix: bool) -> None:
        """Update one parameter, given with its gradient and its state."""
        raise NotImplementedError

    def to_arrays(self) -> Arrays:
        """Return the state; `load_arrays` goes on from it as if there had been no break."""
        arrays = {f"{group}.{name}": array.copy() for group, members in self.state.items()
                  for name, array in members.items()}
        return {"steps": np.array(self.steps, np.int64), **arrays}

    def load_arrays(self, arrays: Arrays, source: str = "optimiser") -> None:
        """Take over the state of an optimiser of the same kind and network."""
        for group, members in self.state.items():
            for name, array in members.items():
                saved = arrays.get(f"{group}.{name}")
                if saved is None or saved.shape != array.shape or "steps" not in arrays:
                    raise UserError(f"array '{group}.{name}' does not fit the network or the "
                                    "optimiser; start the training from the beginning", source)
                array[...] = saved
        self.steps = int(arrays["steps"])


class Sgd(Optimiser):
    """v = momentum v + g; p -= rate v, or with Nesterov p -= rate (g + momentum v).

    g is the (clipped) gradient plus l2 p. Options: `SgdOptions`.
    """

    groups = ("velocity",)

    def _update(self, arrays, rate, scale, matrix):
        options, real = self.options, arrays[0].dtype.type
        _sgd(*arrays, real(rate), real(scale), real(options.momentum),
             real(options.l2 if matrix else 0.0), options.nesterov)


class Adam(Optimiser):
    """Adam with bias correction; `decay` is decoupled from the gradient (AdamW).

    Options: `AdamOptions`.
    """

    groups = ("first", "second")

    def _update(self, arrays, rate, scale, matrix):
        options, real = self.options, arrays[0].dtype.type
        root = math.sqrt(1 - options.beta2**self.steps)
        corrected = rate * root / (1 - options.beta1**self.steps)
        _adam(*arrays, real(corrected), real(scale), real(options.beta1), real(options.beta2),
              real(options.epsilon * root), real(1 - rate * options.decay if matrix else 1.0))


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _sgd(p, g, v, rate, scale, momentum, l2, nesterov):
    ahead = momentum if nesterov else momentum - momentum
    # v alone without Nesterov, g + momentum v with it
    own = p.dtype.type(1.0) if nesterov else ahead
    last = momentum if nesterov else p.dtype.type(1.0)
    for i in range(len(p)):
        slope = scale * g[i] + l2 * p[i]
        v[i] = momentum * v[i] + slope
        p[i] -= rate * (own * slope + last * v[i])


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _adam(p, g, m, v, rate, scale, beta1, beta2, epsilon, shrink):
    one = p.dtype.type(1.0)
    for i in range(len(p)):
        slope = scale * g[i]
        m[i] = beta1 * m[i] + (one - beta1) * slope
        v[i] = beta2 * v[i] + (one - beta2) * slope * slope
        p[i] = shrink * p[i] - rate * m[i] / (np.sqrt(v[i]) + epsilon)


def _clipping(grads: Arrays, max_norm: float) -> tuple[float, float]:
    if not max_norm:
        return 0.0, 1.0
    norm = gradient_norm(grads)
    return norm, max_norm / norm if norm > max_norm else 1.0


def average(checkpoints: Sequence[Arrays]) -> Arrays:
    """Return the mean of checkpoints, array by array, summed in float64.

    Takes dicts of parameters or of `Network.to_arrays`; whole-number arrays are the first's.
    """
    if not checkpoints:
        raise ValueError("nothing to average")
    result = {}
    for name, array in checkpoints[0].items():
        result[name] = array.copy()
        if np.issubdtype(array.dtype, np.floating):
            total = sum(checkpoint[name].astype(np.float64) for checkpoint in checkpoints)
            result[name] = (total / len(checkpoints)).astype(array.dtype)
    return result


def exponential_rate(initial: float, final: float, done: float) -> float:
    """Return the rate after the share `done` (0 to 1) of the training, on an exponential curve."""
    return initial * (final / initial) ** min(max(done, 0.0), 1.0)


def cosine_rate(initial: float, final: float, done: float) -> float:
    """Return the rate after the share `done` (0 to 1) of the training, on half a cosine.

    Loshchilov and Hutter 2017, SGDR, without restarts: slow at both ends.

    >>> [round(cosine_rate(1.0, 0.0, done), 3) for done in (0, 0.25, 0.5, 1)]
    [1.0, 0.854, 0.5, 0.0]
    """
    return final + (initial - final) * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0))) / 2


@dataclass(frozen=True)
class NewBobOptions:
    """Options of the new-bob schedule; gains are relative, of the held-out loss."""

    start_gain: float = option(0.01, "halve the rate from the first smaller gain on")
    stop_gain: float = option(0.001, "while halving, stop at a smaller gain")
    factor: float = option(0.5, "what a halving multiplies the rate with")

    def __post_init__(self):
        _check_range("start_gain", self.start_gain, 0, 1)
        _check_range("stop_gain", self.stop_gain, 0, 1)
        _check_range("factor", self.factor, 0, 1)


@dataclass(frozen=True)
class NewBob:
    """The rate of the next epoch, from the held-out losses so far (as Kaldi nnet1's scheduler).

    A value: `after` returns the next one. `dataclasses.asdict` gives plain numbers for JSON.

    Attributes
    ----------
    rate : float
    best : float
        The lowest held-out loss so far.
    halving, stopped : bool
    accepted : bool
        Whether the last epoch lowered the loss; if not, go on from the parameters before it.
    """

    rate: float
    best: float = math.inf
    halving: bool = False
    stopped: bool = False
    accepted: bool = True

    def after(self, loss: float, options: NewBobOptions | None = None) -> "NewBob":
        """Return the schedule after an epoch that ended with this held-out loss."""
        options = options or NewBobOptions()
        if self.best == math.inf and math.isfinite(loss):
            return dataclasses.replace(self, best=loss, accepted=True)
        # A loss that is not finite is no gain.
        gain = (self.best - loss) / abs(self.best) if math.isfinite(loss) else -math.inf
        stopped = self.stopped or (self.halving and gain < options.stop_gain)
        halving = self.halving or gain < options.start_gain
        return NewBob(self.rate * options.factor if halving and not stopped else self.rate,
                      loss if gain > 0 else self.best, halving, stopped, gain > 0)

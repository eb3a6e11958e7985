"""What networks cost and what their arrays look like, measured in whichever framework."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from companion import _checks


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs for one example.

    Attributes
    ----------
    name: dotted, as in :func:`companion.weights.named_arrays`.
    kind: class of the layer.
    parameters: learned numbers.
    multiply_adds: multiplications that are then added, counted once as in He et al. 2015, table 1.
        A convolution has k k in out H W / groups of them, a dense layer in out.
    additions: numbers added by a merge, one for each output.
    """

    name: str
    kind: str
    parameters: int
    multiply_adds: int
    additions: int


@dataclass(frozen=True)
class Operation:
    """One step of a computation, as the framework recorded it.

    Attributes
    ----------
    name: unique within its graph.
    kind: what it computes, as ``"3x3 conv"`` or ``"+"``.
    inputs: names of the operations whose results it read, ``"x"`` for the network's input.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]


@contextmanager
def cpu_seconds() -> Iterator[list[float]]:
    """Yield a list that holds the process's CPU seconds once the block ends."""
    spent: list[float] = []
    start = time.process_time()
    yield spent
    spent.append(time.process_time() - start)


@dataclass(frozen=True)
class Timing:
    """CPU seconds of two programs that took turns: every repetition, in order.

    Attributes
    ----------
    first, second: of the two programs. again: of the first once more, in the same turns, which
        gives the noise.
    """

    first: tuple[float, ...]
    second: tuple[float, ...]
    again: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Median of first / second, turn by turn."""
        return median(a / b for a, b in zip(self.first, self.second, strict=True))

    @property
    def noise(self) -> float:
        """How far the median of first / again is from 1."""
        return abs(median(a / b for a, b in zip(self.first, self.again, strict=True)) - 1)


def time_in_turns(
    first: Callable[[], Any], second: Callable[[], Any], repetitions: int = 15
) -> Timing:
    """Return the CPU seconds of two programs, called in turns; one turn before warms up.

    Raises
    ------
    ValueError: fewer than one repetition.
    """
    taken: list[list[float]] = [[], [], []]
    for _ in range(_checks.positive_int("repetitions", repetitions) + 1):
        for seconds, call in zip(taken, (first, second, first), strict=True):
            with cpu_seconds() as spent:
                call()
            seconds += spent
    one, other, again = (tuple(seconds[1:]) for seconds in taken)
    return Timing(one, other, again)


def autocorrelation(series: np.ndarray, max_lag: int) -> np.ndarray:
    """Return the correlation of a series with itself, lags 0 to ``max_lag``.

    Of gradients along a line of inputs it tells smooth (near 1) from shattered (near 0): Balduzzi
    et al. 2017, arXiv 1702.08591, section 2.

    Parameters
    ----------
    series: (T,) or (T, D), evenly spaced; with D columns, covariances are summed before dividing.
    max_lag: at least 0 and below T.

    Returns
    -------
    (max_lag + 1,), the first entry 1. The mean is subtracted and sums are over T - lag products
    but divided by the whole sum of squares, the usual biased estimate.

    Raises
    ------
    ValueError: another shape, NaN, a constant series, or a lag out of its range.
    """
    series = np.asarray(series, dtype=float)
    if series.ndim not in (1, 2) or len(series) < 2 or not np.isfinite(series).all():
        raise ValueError(f"series must be finite, (T,) or (T, D) with T > 1, got {series.shape}")
    max_lag = _checks.positive_int("max_lag", max_lag, minimum=0)
    if max_lag >= len(series):
        raise ValueError(f"max_lag must be below {len(series)}, got {max_lag}")
    centred = series - series.mean(0)
    total = (centred**2).sum()
    if total == 0:
        raise ValueError("series must vary, got a constant")
    rows = len(series)
    products = [(centred[lag:] * centred[: rows - lag]).sum() for lag in range(max_lag + 1)]
    return np.array(products) / total


def effective_rank(tokens: np.ndarray) -> float:
    """Return exp of the entropy of the normalised singular values of a matrix.

    Roy and Vetterli 2007, EUSIPCO: 1 where all tokens are multiples of one vector, r
    where r singular values are equal and the others zero.

    Parameters
    ----------
    tokens: (T, C), one row for each token.

    Raises
    ------
    ValueError: another shape, NaN, or zeros only.
    """
    values = np.linalg.svd(_matrix(tokens), compute_uv=False)
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def rank_one_residual(tokens: np.ndarray) -> float:
    """Return how far the tokens are from being all equal.

    The norm of what is left when the mean token is taken off, over the norm of the tokens. Dong et
    al. 2021, arXiv 2103.03404, with Frobenius norms: 0 where attention has made all
    tokens one.

    Raises
    ------
    ValueError: not a matrix (T, C), NaN, or zeros only.
    """
    tokens = _matrix(tokens)
    return float(np.linalg.norm(tokens - tokens.mean(0)) / np.linalg.norm(tokens))


def participation_ratio(matrix: np.ndarray) -> float:
    """Return how many directions a linear map acts on, counted by their strength.

    (sum of s_i^2)^2 / sum of s_i^4 over the singular values s_i: n where n are equal and the others
    zero, 1 where one is far above the rest. Of n singular values whose squares have the variance v
    times their mean squared it is n / (1 + v). The end-to-end Jacobian of a network may be a
    product of many badly conditioned matrices while its mean square is 1 (Pennington et al. 2017,
    arXiv 1711.04735). Its spread is what this measures.

    Parameters
    ----------
    matrix: (outputs, inputs), finite and not zero.

    Returns
    -------
    Between 1 and the smaller side of the matrix.

    Raises
    ------
    ValueError: another number of axes, NaN or infinity, or nothing but zeros.
    """
    matrix = _matrix(matrix, "matrix", "(outputs, inputs)")
    matrix = matrix / np.abs(matrix).max()  # so that no fourth power leaves the range of a double
    gram = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
    return float(gram.trace() ** 2 / (gram**2).sum())


def _matrix(values: np.ndarray, name: str = "tokens", axes: str = "(T, C)") -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or not np.isfinite(values).all() or not values.any():
        raise ValueError(f"{name} must be finite, {axes}, not all zero, got {values.shape}")
    return values

"""Fresh weights, drawn from a seed and each layer's name."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from companion import _checks
from companion.weights.layer_weights import LayerWeights, layer_weights

#: How :func:`initialize` starts the residual branches.
SCHEMES = ("he", "zero_gamma", "scaled", "fixup")
_PIECE = 16_384  # numbers that are drawn at a time: 128 KiB, less than a core's own cache


def initialize(model: Any, seed: int, scheme: str = "he") -> None:
    """Draw fresh weights: He normal (fan-out) convolutions, unit norms, LeCun normal dense.

    Each layer's numbers depend on the seed and on the layer's name alone. The same seed therefore
    starts PyTorch and TensorFlow alike, and a network and its plain control with the same branches.
    A layer with ``own_parameters``, such as a merge, keeps the values that its design prescribes;
    in PyTorch it gets them back, if it has ``reset_parameters``.

    Parameters
    ----------
    model: a network of either framework or of the reference; it is changed in place. Layers on
        PyTorch's meta device, which hold no values, are left as they are: ``to_empty`` and another
        call give them some.
    seed: an integer of at least 0.
    scheme: how the L residual branches start.
        ``"he"``: as every other layer (He et al. 2015, arXiv 1502.01852, eq. 14).
        ``"zero_gamma"``: the last norm of each branch has weight 0, so that each block starts as
        its shortcut (Goyal et al. 2017, arXiv 1706.02677, section 5.1).
        ``"scaled"``: the last layer of each branch is divided by sqrt(L), which keeps the variance
        of the sum bounded; of a norm that is its weight.
        ``"fixup"``: the last layer of each branch and the classifier start at zero, the other m - 1
        are scaled by L^(-1 / (2 m - 2)) (Zhang et al. 2019, arXiv 1901.09321, section 3).

    Raises
    ------
    ValueError: a negative seed, an unknown scheme, a model without residual branches, branches that
        do not suit the scheme, or a layer of unknown kind; nothing is changed then.
    """
    seed = _checks.positive_int("seed", seed, minimum=0)
    _checks.option("scheme", scheme, SCHEMES)
    found = list(layer_weights(model, meta=True))
    factors = {} if scheme == "he" else _factors(found, scheme)
    for layer in found:
        if layer.meta:
            continue
        layer.reset()
        if layer.kind == "own":
            continue
        for key, array in layer.arrays.items():
            factor = factors.get(layer.name, 1.0) if key == "weight" else 1.0
            layer.assign(key, _first_values(layer, key, array, seed, factor))


def _first_values(
    layer: LayerWeights, key: str, array: np.ndarray, seed: int, factor: float
) -> np.ndarray:
    """Return the first values of one array, times a factor, in the array's dtype."""
    if key == "bias" and layer.kind == "lstm":  # an open forget gate, Gers et al. 2000
        return np.repeat([0.0, 1.0, 0.0, 0.0], len(array) // 4).astype(array.dtype)
    if layer.kind in ("norm", "layer_norm") or not key.startswith("weight"):
        return np.full(array.shape, factor * (key in ("weight", "running_var")), array.dtype)
    suffix = "" if key == "weight" else f".{key}"
    rng = np.random.default_rng([seed, zlib.crc32(f"{layer.name}{suffix}".encode())])
    # conv (O, I, k, k): fan-out k k O, and ReLU halves the variance. The others: fan-in.
    variance = 2 / array[:, 0].size if layer.kind == "conv" else layer.gain / array.shape[1]
    return _normal(rng, np.sqrt(variance), factor, array)


def _normal(
    rng: np.random.Generator, deviation: float, factor: float, like: np.ndarray
) -> np.ndarray:
    """Return normal numbers, times a factor, in an array's shape and dtype.

    They are drawn in float64 for every dtype, and a piece at a time: a whole kernel of them would
    leave the processor's cache, and a quarter of the time would go into fetching it back.
    """
    values = np.empty(like.size, like.dtype)
    piece = np.empty(min(like.size, _PIECE))
    for start in range(0, like.size, _PIECE):
        drawn = rng.standard_normal(out=piece[: like.size - start])
        drawn *= deviation
        drawn *= factor
        values[start : start + _PIECE] = drawn
    return values.reshape(like.shape)


def _factors(found: list[LayerWeights], scheme: str) -> dict[str, float]:
    """Return by what each layer's weight is multiplied."""
    branches: dict[str, list[LayerWeights]] = {}
    for layer in found:
        prefix, inside, rest = layer.name.rpartition("branch.")
        if inside and ".shortcut." not in f".{rest}" and layer.kind != "own":
            branches.setdefault(prefix, []).append(layer)
    if not branches:
        raise ValueError(f"model must have residual branches for scheme {scheme!r}, got none")
    factors = {}
    for prefix, inside_branch in branches.items():
        last, count = inside_branch[-1], len(inside_branch)
        norms = any(layer.kind == "norm" for layer in inside_branch)
        if scheme == "zero_gamma" and last.kind != "norm":
            raise ValueError(f"scheme 'zero_gamma' needs a last norm, got none in '{prefix}branch'")
        if scheme == "fixup" and (norms or count < 2):
            raise ValueError(
                "scheme 'fixup' needs branches of two layers or more and no norm, got "
                f"{[layer.kind for layer in inside_branch]} in '{prefix}branch'"
            )
        if scheme == "scaled":
            factors[last.name] = len(branches) ** -0.5
        else:
            factors[last.name] = 0.0
        if scheme == "fixup":
            others = len(branches) ** (-1 / (2 * count - 2))
            factors.update({layer.name: others for layer in inside_branch[:-1]})
    if scheme == "fixup" and found[-1].kind == "dense":
        factors[found[-1].name] = 0.0
    return factors


def rescale(model: Any, factor: float, endings: tuple[str, ...]) -> None:
    """Multiply the weights of all layers whose name ends in one of ``endings``."""
    for layer in list(layer_weights(model, meta=True)):
        if not layer.meta and layer.name.endswith(endings):
            layer.assign("weight", (layer.arrays["weight"] * factor).astype(np.float32))

"""Which of a source's arrays fit the layers of a model, and setting those that do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from companion.weights.layer_weights import LayerWeights


@dataclass(frozen=True)
class NotLoaded:
    """An array that a partial load left as it was, or had no place for.

    Attributes
    ----------
    name: in the model, as ``"head.dense.weight"``; in the source, where the model has none.
    reason: as ``"(10, 64) here, (1000, 64) there"``. "Here" is the model, "there" the source.
    """

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def load_layers(
    layers: Iterable[LayerWeights],
    given: Mapping[str, np.ndarray],
    partial: bool,
    wrong: str,
    theirs: Mapping[str, str] | None = None,
    exact: bool = True,
) -> list[NotLoaded]:
    """Set the weights of layers; return what was not loaded, which without ``partial`` is nothing.

    A layer is set as a whole or not at all: the bias of one whose weight does not fit stays.

    Parameters
    ----------
    layers: of the model. given: arrays by the names of the model, ``{"stem.conv.weight": array}``.
    partial: whether to pass over layers that do not fit; if not, the first is an error.
    wrong: how messages begin. theirs: the source's own names, where they differ.
    exact: whether a dtype that would round the values is an error too.

    Raises
    ------
    ValueError: something does not fit or, if ``partial``, nothing does; no layer is set then.
    """
    layers, theirs = list(layers), theirs or {}
    left: list[NotLoaded] = []
    fitting: list[tuple[LayerWeights, str, np.ndarray]] = []
    alone = dict(given)
    of_layers = _by_layer(given)
    for layer in layers:
        arrays = of_layers.get(layer.name, {})
        misfits = []
        for key in dict.fromkeys([*layer.arrays, *arrays]):
            name = f"{layer.name}.{key}"
            here, there = _shape(layer.arrays.get(key)), _shape(arrays.get(key))
            own = f" ({theirs[name]})" if name in theirs else ""
            if here != there:
                misfits.append(NotLoaded(name, f"{here} here, {there} there{own}"))
            alone.pop(name, None)
        if not misfits:
            fitting += [(layer, key, arrays[key]) for key in layer.arrays]
            continue
        left += misfits
        differ = {entry.name for entry in misfits}
        for key in layer.arrays:
            if (name := f"{layer.name}.{key}") not in differ:
                left.append(NotLoaded(name, "fits, but not all of its layer does"))
    left += [
        NotLoaded(theirs.get(name, name), f"none here, {_shape(array)} there")
        for name, array in sorted(alone.items())  # a file has no order
    ]
    if left and not partial:
        raise ValueError(f"{wrong}{left[0]}")
    if not fitting:
        raise ValueError(f"{wrong}no layer that fits; {left[0] if left else 'nothing'}")
    for layer, key, array in fitting:
        mine, its = dtype_name(layer, key), array.dtype.name
        if exact and not holds(array, its, mine):
            raise ValueError(
                f"{wrong}{layer.name}.{key}: {its} there, more than the {mine} here holds"
            )
    for layer, key, array in fitting:
        layer.assign(key, array if exact else array.astype(layer.arrays[key].dtype))
    return left


def _by_layer(given: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, array in given.items():
        layer, _, key = name.rpartition(".")
        found.setdefault(layer, {})[key] = array
    return found


def _shape(array: np.ndarray | None) -> str:
    return "none" if array is None else str(array.shape)


def as_array(name: str, value: Any) -> np.ndarray:
    """Return the array of an entry of a state dict, whatever its device and dtype.

    Raises
    ------
    ValueError: something else than numbers.
    """
    if hasattr(value, "detach"):  # PyTorch's
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":  # which NumPy has not, and float32 holds
            value = value.float()
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise ValueError(f"state_dict must hold arrays, got {type(value).__name__} at {name!r}")
    return array


def dtype_name(layer: LayerWeights, key: str) -> str:
    """Return the precision in which the framework holds an array."""
    return "bfloat16" if key in layer.bfloat16 else layer.arrays[key].dtype.name


def holds(array: np.ndarray, source: str, target: str) -> bool:
    """Whether the target's type can hold all that the source's can, or at least these values."""
    if target != "bfloat16":
        if source == "bfloat16":
            return target in ("float32", "float64")
        return np.can_cast(source, target, "safe")
    exact = array.astype(np.float32)  # of which bfloat16 has the upper half
    return bool((exact == array).all()) and not (exact.view(np.uint32) & 0xFFFF).any()

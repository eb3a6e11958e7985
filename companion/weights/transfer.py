"""Weights from one model to another, layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from companion import _checks
from companion.weights.layer_weights import layer_weights
from companion.weights.matching import NotLoaded, dtype_name, holds, load_layers


def named_arrays(model: Any) -> dict[str, np.ndarray]:
    """Return copies of all weights, ``{"stem.conv.weight": array, ...}``, in canonical layout.

    Raises
    ------
    ValueError: a model of no known framework, one not built yet, or a layer of unknown kind.
    """
    return {
        f"{layer.name}.{key}": a.copy()
        for layer in layer_weights(model)
        for key, a in layer.arrays.items()
    }


def transfer(source: Any, target: Any, partial: bool = False) -> list[NotLoaded]:
    """Copy every weight and batch statistic of ``source`` into ``target``, exactly.

    Both may be PyTorch, Keras or reference models. Layers are matched in order: the branch of a
    block first, then its shortcut. Layouts are converted, values are not changed.

    Parameters
    ----------
    partial: ``True`` copies the layers whose names and shapes fit, leaves the others as they were,
        as for another number of classes, and returns what was not copied; there layers are matched
        by name. PyTorch's name for this is ``strict=False``, Keras's ``skip_mismatch=True``.

    Raises
    ------
    ValueError: structure, shapes or dtypes differ or, if ``partial``, no layer fits; the message
        names the layer, and ``target`` is as it was.
    """
    if _checks.boolean("partial", partial):
        wrong = "target must have layers of the source, got "
        return load_layers(layer_weights(target), named_arrays(source), True, wrong)
    sources, targets = list(layer_weights(source)), list(layer_weights(target))
    for a, b in zip(sources, targets, strict=False):
        if a.kind != b.kind or a.arrays.keys() != b.arrays.keys():
            raise ValueError(
                f"target must have the source's layers, got {b.kind} ({', '.join(b.arrays)}) at "
                f"{b.name!r} for {a.kind} ({', '.join(a.arrays)}) at {a.name!r}"
            )
        for key, array in a.arrays.items():
            if array.shape != b.arrays[key].shape:
                raise ValueError(
                    f"target must have the source's shapes, got {b.arrays[key].shape} at "
                    f"'{b.name}.{key}' for {array.shape} at '{a.name}.{key}'"
                )
            dtypes = [dtype_name(layer, key) for layer in (a, b)]
            if not holds(array, *dtypes):
                raise ValueError(
                    f"target must hold the source's values exactly, got {dtypes[1]} at "
                    f"'{b.name}.{key}' for {dtypes[0]}"
                )
    if len(sources) != len(targets):
        longer = sources if len(sources) > len(targets) else targets
        extra = longer[min(len(sources), len(targets))]
        side = "source" if longer is sources else "target"
        raise ValueError(
            f"target must have the source's {len(sources)} layers with weights, got "
            f"{len(targets)}; {extra.name!r} stands in the {side} alone"
        )
    copies = [{key: array.copy() for key, array in layer.arrays.items()} for layer in sources]
    for arrays, layer in zip(copies, targets, strict=True):
        for key, array in arrays.items():
            layer.assign(key, array)
    return []

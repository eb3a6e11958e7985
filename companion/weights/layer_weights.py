"""A model as an ordered list of its layers with weights, in one canonical layout.

Each layer is a ``LayerWeights`` of one of these kinds. Its arrays are read and written in the
reference's layout, whichever framework has made the model:

    conv        weight (out, in / groups, k, k) or (out, in / groups, k), bias (out,)
    norm        weight, bias, running_mean, running_var (C,)
    layer_norm  weight, bias (C,)
    dense       weight (out, in), bias (out,)
    embedding   weight (vocabulary, C)
    lstm        weight_ih (4 C, in), weight_hh (4 C, C), bias (4 C,); gates in, forget, cell, out
    own         a layer of the companion that names its ``own_parameters``; the same in both
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class LayerWeights:
    """A layer with weights.

    Attributes
    ----------
    name, kind: dotted, as ``"stem.conv"``; one of the kinds above.
    arrays, assign: its weights in canonical layout, and how to set one of them.
    gain: multiplies the variance of fresh dense weights: 2 where a ReLU came before.
    reset: sets what is not in ``arrays`` to its first value, and all of a layer of kind ``"own"``.
    meta: whether it is on PyTorch's meta device: its arrays have shapes, but no values.
    bfloat16: the arrays that are in PyTorch's bfloat16, and float32 here.
    """

    name: str
    kind: str
    arrays: dict[str, np.ndarray]
    assign: Callable[[str, np.ndarray], None]
    gain: float = 1.0
    reset: Callable[[], None] = lambda: None
    meta: bool = False
    bfloat16: frozenset[str] = frozenset()


def layer_weights(model: Any, meta: bool = False) -> Iterator[LayerWeights]:
    """Yield the layers with weights of a PyTorch, Keras or reference model, in order.

    Parameters
    ----------
    model: of any of the three. meta: whether layers on PyTorch's meta device are accepted.

    Raises
    ------
    ValueError: a model of no known framework, one not built yet, a layer of unknown kind or, unless
        ``meta``, one without values.
    """
    # Only a framework that is loaded can have made the model, so none is imported here.
    torch, keras = sys.modules.get("torch"), sys.modules.get("keras")
    reference = sys.modules.get("companion.reference")
    if torch is not None and isinstance(model, torch.nn.Module):
        return _torch_layer_weights(model, torch, meta)
    if keras is not None and isinstance(model, keras.layers.Layer):
        return _keras_layer_weights(model, keras, "")
    if reference is not None and isinstance(model, reference.Layer):
        return _reference_layer_weights(model)
    raise ValueError(
        "model must be a PyTorch module, a Keras layer or a companion.reference layer, "
        f"got {type(model).__name__}"
    )


def named_parameters(model: Any) -> list[tuple[str, Any]]:
    """Return the parameters of a PyTorch or the variables of a Keras model, by canonical names.

    Frozen ones too, and those of layers of unknown kind under names of their own. Batch statistics
    are not parameters.
    """
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(model, torch.nn.Module):
        return list(_keras_parameters(model, sys.modules["keras"], ""))
    return [
        (_joined(canonical_name(path), _OF_LSTM.get(key, key)), parameter)
        for path, module in model.named_modules()
        for key, parameter in module.named_parameters(recurse=False)
    ]


def _keras_parameters(layer: Any, keras: Any, name: str) -> Iterator[tuple[str, Any]]:
    found = _keras_kind(layer, keras)
    if found is not None:
        kind, attributes = found
        holder = layer.cell if kind == "lstm" else layer
        for key, attribute in attributes.items():
            variable = getattr(holder, attribute, None)
            if variable is not None and not key.startswith("running"):
                yield _joined(name, key), variable
        return
    children = keras_children(layer)
    below = {id(v) for _, child in children for v in child.weights}
    yield from ((_joined(name, v.name), v) for v in layer.weights if id(v) not in below)
    for child_name, child in children:
        yield from _keras_parameters(child, keras, _joined(name, child_name))


def _joined(*names: str) -> str:
    return ".".join(filter(None, names))


def _torch_layer_weights(model: Any, torch: Any, meta: bool) -> Iterator[LayerWeights]:
    nn = torch.nn
    kinds = {
        nn.modules.conv._ConvNd: "conv",
        nn.modules.batchnorm._BatchNorm: "norm",
        nn.LayerNorm: "layer_norm",
        nn.Linear: "dense",
        nn.Embedding: "embedding",
        nn.LSTM: "lstm",
    }
    for path, module in model.named_modules():
        name = canonical_name(path)
        tensors = {
            **dict(module.named_parameters(recurse=False)),
            **{k: b for k, b in module.named_buffers(recurse=False) if k != "num_batches_tracked"},
        }
        if not tensors:
            continue
        kind = next((kind for cls, kind in kinds.items() if isinstance(module, cls)), None)
        if kind is None and set(getattr(module, "own_parameters", ())) == set(tensors):
            kind = "own"
        if kind is None or (kind == "lstm" and not hasattr(module, "single_bias")):
            raise ValueError(_unknown(name, module))
        if kind == "lstm":  # two biases that add; the companion's LSTM keeps the second at zero
            tensors = {key: tensors[own] for own, key in _OF_LSTM.items() if own in tensors}

        def assign(key: str, array: np.ndarray, tensors: dict = tensors) -> None:
            if array.dtype.name == "bfloat16":  # Keras's
                array = array.astype(np.float32)
            with torch.no_grad():
                tensors[key].copy_(torch.from_numpy(array))

        def reset(module: Any = module, kind: str = kind) -> None:
            if kind == "norm" and module.num_batches_tracked is not None:
                module.num_batches_tracked.zero_()
            elif kind == "lstm":
                torch.nn.init.zeros_(module.bias_hh_l0)
            elif kind == "own" and hasattr(module, "reset_parameters"):
                module.reset_parameters()

        empty = any(t.is_meta for t in tensors.values())
        if empty and not meta:
            raise ValueError(
                f"model must hold values, got {name!r} on the meta device; "
                "to_empty(device=...) and weights.initialize give it some"
            )
        arrays = {key: _values(t) for key, t in tensors.items()}
        gain = getattr(module, "gain", 1.0)
        short = frozenset(key for key, t in tensors.items() if _is_bfloat16(t))
        yield LayerWeights(name, kind, arrays, assign, gain, reset, empty, short)


def canonical_name(path: str) -> str:
    """Return the layer's name, which is the wrapper's for a norm of vectors that has a wrapper."""
    return "" if path == "vectors" else path.removesuffix(".vectors")


def _values(tensor: Any) -> np.ndarray:
    """Return a tensor's values without a copy where that can be had, or zeros for a meta tensor."""
    if tensor.is_meta:
        return np.broadcast_to(np.zeros((), np.float32), tuple(tensor.shape))  # takes no memory
    tensor = tensor.detach().cpu()
    return (tensor.float() if _is_bfloat16(tensor) else tensor).numpy()


def _is_bfloat16(tensor: Any) -> bool:
    return str(tensor.dtype) == "torch.bfloat16"  # which NumPy has not, and float32 holds


def _keras_layer_weights(layer: Any, keras: Any, name: str) -> Iterator[LayerWeights]:
    if not layer.built and getattr(layer, "known_shape", None) is not None:
        layer.build(layer.known_shape)  # a layer of the companion, which knows its channels
    found = _keras_kind(layer, keras)
    if found is None:
        children = keras_children(layer)
        below = {id(v) for _, child in children for v in child.weights}
        if any(id(v) not in below for v in layer.trainable_weights):
            raise ValueError(_unknown(name, layer))
        for child_name, child in children:
            yield from _keras_layer_weights(child, keras, _joined(name, child_name))
        return
    kind, attributes = found
    if not layer.built:
        raise ValueError(f"model must be built before its weights can move, got {name!r} unbuilt")
    holder = layer.cell if kind == "lstm" else layer
    variables = {
        key: variable
        for key, attribute in attributes.items()
        if (variable := getattr(holder, attribute, None)) is not None
    }

    def assign(key: str, array: np.ndarray) -> None:
        variables[key].assign(_FROM_CANONICAL.get((kind, key), _same)(array))

    arrays = {
        key: _TO_CANONICAL.get((kind, key), _same)(np.asarray(variable.numpy()))
        for key, variable in variables.items()
    }
    yield LayerWeights(name, kind, arrays, assign, getattr(layer, "gain", 1.0))


def _keras_kind(layer: Any, keras: Any) -> tuple[str, dict[str, str]] | None:
    """Return the kind of a Keras layer, and the attribute that holds each canonical array."""
    own = getattr(layer, "own_parameters", None)
    if own is not None:
        return "own", {key: key for key in own}
    plain = {"weight": "kernel", "bias": "bias"}
    scaled = {"weight": "gamma", "bias": "beta"}
    running = {"running_mean": "moving_mean", "running_var": "moving_variance"}
    kinds = {
        keras.layers.Conv1D: ("conv", plain),
        keras.layers.Conv2D: ("conv", plain),
        keras.layers.Dense: ("dense", plain),
        keras.layers.BatchNormalization: ("norm", {**scaled, **running}),
        keras.layers.LayerNormalization: ("layer_norm", scaled),
        keras.layers.Embedding: ("embedding", {"weight": "_embeddings"}),
        keras.layers.LSTM: (
            "lstm",
            {"weight_ih": "kernel", "weight_hh": "recurrent_kernel", "bias": "bias"},
        ),
    }
    return next((spec for cls, spec in kinds.items() if isinstance(layer, cls)), None)


def keras_children(layer: Any) -> list[tuple[str, Any]]:
    """Return the layers right inside, with the names that the PyTorch twin gives them.

    A layer in a row of layers has its own name, any other one that of the attribute it is kept in.
    """
    inside = layer._flatten_layers(include_self=False, recursive=False)
    names: dict[int, str] = {}
    if not hasattr(layer, "inputs"):  # a row of layers, or another Keras model
        names = {id(value): name for name, value in vars(layer).items() if name[0] != "_"}
    return [(names.get(id(child), child.name), child) for child in inside]


def keras_arrays(layer: Any) -> dict[str, np.ndarray]:
    """Return the arrays of one Keras layer in canonical layout."""
    (layer,) = _keras_layer_weights(layer, sys.modules["keras"], layer.name)
    return dict(layer.arrays)


def _reference_layer_weights(model: Any) -> Iterator[LayerWeights]:
    kinds = {"Conv2d": "conv", "BatchNorm2d": "norm", "Dense": "dense"}
    for name, layer in model.named_layers():
        arrays = {**layer.params, **layer.buffers}
        if not arrays:
            continue
        kind = kinds.get(type(layer).__name__)
        if kind is None and set(getattr(layer, "own_parameters", ())) == set(arrays):
            kind = "own"
        if kind is None:
            raise ValueError(_unknown(name, layer))

        def assign(key: str, array: np.ndarray, layer: Any = layer) -> None:
            where = layer.params if key in layer.params else layer.buffers
            where[key] = array.astype(where[key].dtype)

        yield LayerWeights(name, kind, arrays, assign)


def _same(array: np.ndarray) -> np.ndarray:
    return array


#: PyTorch's names of an LSTM's parameters, and the canonical ones.
_OF_LSTM = {"weight_ih_l0": "weight_ih", "weight_hh_l0": "weight_hh", "bias_ih_l0": "bias"}
#: Keras keeps (k, k, in, out) and (in, out); the canonical layout is (out, in, k, k), (out, in).
_TO_CANONICAL: dict[tuple[str, str], Callable[[np.ndarray], np.ndarray]] = {
    ("conv", "weight"): lambda a: np.moveaxis(a, (-1, -2), (0, 1)),
    ("dense", "weight"): np.transpose,
    ("lstm", "weight_ih"): np.transpose,
    ("lstm", "weight_hh"): np.transpose,
}
_FROM_CANONICAL: dict[tuple[str, str], Callable[[np.ndarray], np.ndarray]] = {
    ("conv", "weight"): lambda a: np.moveaxis(a, (0, 1), (-1, -2)),
    ("dense", "weight"): np.transpose,
    ("lstm", "weight_ih"): np.transpose,
    ("lstm", "weight_hh"): np.transpose,
}


def _unknown(name: str, layer: Any) -> str:
    return (
        "model must be made of layers that the companion knows (convolutions, norms, dense, "
        f"embedding, LSTM, or with own_parameters), got {type(layer).__name__} at {name!r}"
    )

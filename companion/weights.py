"""Layouts and names: the one place that knows how each framework stores a layer.

A model is seen here as an ordered list of its layers with weights, each a ``Leaf`` of a kind
(conv, norm, dense) whose arrays can be read and written in one canonical layout, the reference's:

    conv   weight (out, in, k, k), bias (out,)
    norm   weight, bias, running_mean, running_var (C,)
    dense  weight (out, in), bias (out,)
    gate   the same, in a highway merge
    scale  scale (1,) or (C,), in a scaled merge
"""

from __future__ import annotations

import importlib
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from companion import _checks


@dataclass(frozen=True)
class Leaf:
    """A layer with weights: dotted name, kind, arrays in canonical layout, and how to set one."""

    name: str
    kind: str
    arrays: dict[str, np.ndarray]
    assign: Callable[[str, np.ndarray], None]


def named_arrays(model: Any) -> dict[str, np.ndarray]:
    """Return copies of all weights, ``{"stem.conv.weight": array, ...}``, in canonical layout.

    Raises
    ------
    ValueError: a model of no known framework, one not built yet, or a layer of unknown kind.
    """
    return {
        f"{leaf.name}.{key}": a.copy() for leaf in _leaves(model) for key, a in leaf.arrays.items()
    }


def transfer(source: Any, target: Any) -> None:
    """Copy every weight and batch statistic of ``source`` into ``target``, exactly.

    Both may be PyTorch, Keras or reference models. Layers are matched in order: the branch of a
    block first, then its shortcut. Layouts are converted, values are not changed.

    Raises
    ------
    ValueError: structure, shapes or dtypes differ; the message names the layer, and ``target`` is
        as it was.
    """
    sources, targets = list(_leaves(source)), list(_leaves(target))
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
            if not np.can_cast(array.dtype, b.arrays[key].dtype, "safe"):
                raise ValueError(
                    f"target must hold the source's values exactly, got {b.arrays[key].dtype} at "
                    f"'{b.name}.{key}' for {array.dtype}"
                )
    if len(sources) != len(targets):
        longer = sources if len(sources) > len(targets) else targets
        extra = longer[min(len(sources), len(targets))]
        side = "source" if longer is sources else "target"
        raise ValueError(
            f"target must have the source's {len(sources)} layers with weights, got "
            f"{len(targets)}; {extra.name!r} stands in the {side} alone"
        )
    copies = [{key: array.copy() for key, array in leaf.arrays.items()} for leaf in sources]
    for arrays, leaf in zip(copies, targets, strict=True):
        for key, array in arrays.items():
            leaf.assign(key, array)


def initialise(model: Any, seed: int) -> None:
    """Draw fresh weights: He normal (fan-out) convolutions, unit batch norms, LeCun dense.

    Each layer's numbers depend on the seed and on the layer's name alone. The same seed therefore
    starts PyTorch and TensorFlow alike, and a network and its plain control with the same branches.

    Parameters
    ----------
    model: a network of either framework or of the reference; it is changed in place.
    seed: an integer of at least 0.

    Raises
    ------
    ValueError: a negative seed, or a layer of unknown kind; nothing is changed then.
    """
    seed = _checks.positive_int("seed", seed, minimum=0)
    for leaf in list(_leaves(model)):
        if leaf.kind in _MERGES.values():
            continue  # a merge's start is part of its design, not drawn
        for key, array in leaf.arrays.items():
            if key == "weight" and leaf.kind != "norm":
                rng = np.random.default_rng([seed, zlib.crc32(leaf.name.encode())])
                # conv (O, I, k, k): fan-out k k O, ReLU halves the variance. dense (O, I): fan-in.
                variance = 2 / (array[:, 0].size) if leaf.kind == "conv" else 1 / array.shape[1]
                values = rng.normal(0.0, np.sqrt(variance), array.shape)
            else:
                values = np.full(array.shape, float(key in ("weight", "running_var")))
            leaf.assign(key, values.astype(array.dtype))


def to_torchvision(model: Any) -> dict[str, Any]:
    """Return the weights of an ImageNet network under torchvision's names, as PyTorch tensors.

    Parameters
    ----------
    model: resnet18 to resnet152, wide_resnet50_2 or resnext50_32x4d, of either framework, with
        shortcut option ``"B"`` and version ``"v1.5"``. ``load_state_dict`` of torchvision's network
        of the same name takes the result.

    Raises
    ------
    ValueError: a layer that torchvision's networks do not have.
    """
    torch = importlib.import_module("torch")
    state = {}
    for leaf in _leaves(model):
        name = _torchvision_name(leaf.name)
        for key, array in leaf.arrays.items():
            state[f"{name}.{key}"] = torch.from_numpy(array.copy())
        if leaf.kind == "norm":
            state[f"{name}.num_batches_tracked"] = torch.tensor(0)
    return state


def from_torchvision(model: Any, state_dict: Mapping[str, Any]) -> None:
    """Load a torchvision state dict into an ImageNet network of either framework.

    Parameters
    ----------
    model: resnet18 to resnet152, wide_resnet50_2 or resnext50_32x4d, with shortcut option ``"B"``
        and version ``"v1.5"``; it then computes torchvision's logits.
    state_dict: as torchvision's network of the same name returns it; tensors or arrays.

    Raises
    ------
    ValueError: names or shapes differ; the message names the entry, and the model is as it was.
    """
    given = {k: np.asarray(v) for k, v in state_dict.items() if "num_batches" not in k}
    leaves = list(_leaves(model))
    wanted = {f"{_torchvision_name(x.name)}.{key}": (x, key) for x in leaves for key in x.arrays}
    for name in [*wanted, *given]:
        if name not in given or name not in wanted:
            side = "model" if name in wanted else "state_dict"
            raise ValueError(f"state_dict must fit the model, got {name!r} in the {side} alone")
        leaf, key = wanted[name]
        if given[name].shape != leaf.arrays[key].shape:
            raise ValueError(
                f"state_dict must have the model's shapes, got {given[name].shape} for "
                f"{leaf.arrays[key].shape} at {name!r}"
            )
    for name, (leaf, key) in wanted.items():
        leaf.assign(key, given[name].astype(leaf.arrays[key].dtype))


def _torchvision_name(name: str) -> str:
    """Return torchvision's name of a layer: stages.0.2.branch.conv1 is layer1.2.conv1."""
    fixed = {"stem.conv": "conv1", "stem.norm": "bn1", "head.dense": "fc"}
    if name in fixed:
        return fixed[name]
    found = re.fullmatch(r"stages\.(\d+)\.(\d+)\.(branch|shortcut)\.(conv|norm)(\d?)", name)
    if found is None:
        raise ValueError(f"model must be one that torchvision has, got a layer {name!r}")
    stage, block, part, kind, number = found.groups()
    if part == "shortcut":
        last = f"downsample.{0 if kind == 'conv' else 1}"
    else:
        last = f"{'conv' if kind == 'conv' else 'bn'}{number}"
    return f"layer{int(stage) + 1}.{block}.{last}"


def from_keras(model: Any, keras_model: Any) -> None:
    """Load keras.applications' ResNet50, 101 or 152 into the network of the same depth.

    Keras's networks have biases before their batch norms and eps 1.001e-5. A bias there only moves
    the batch's mean, so it is taken off the running mean; the difference of eps is added to the
    running variance. In inference the logits are equal.

    Parameters
    ----------
    model: resnet50, resnet101 or resnet152 of either framework with ``version="v1"``.
    keras_model: built with ``include_top=True``. Its softmax is not carried over: the model
        returns the logits.

    Raises
    ------
    ValueError: layers or shapes differ; the message names the layer, and the model is as it was.
    """
    convolutions = {layer.name: layer for layer in keras_model.layers}
    values: list[tuple[Leaf, str, np.ndarray]] = []
    bias: np.ndarray | None = None
    for leaf in _leaves(model):
        name = _keras_name(leaf.name)
        if name not in convolutions:
            raise ValueError(f"keras_model must fit the model, got no layer {name!r} in it")
        layer = convolutions[name]
        arrays = _keras_arrays(layer)
        if leaf.kind == "conv":
            bias = arrays.pop("bias", None)
        elif leaf.kind == "norm":
            if bias is not None:
                arrays["running_mean"] = arrays["running_mean"] - bias
            arrays["running_var"] = arrays["running_var"] + np.float32(layer.epsilon - 1e-5)
        for key, wanted in leaf.arrays.items():
            got = arrays.get(key)
            if got is None or got.shape != wanted.shape:
                shape = None if got is None else got.shape
                raise ValueError(
                    f"keras_model must have the model's shapes, got {shape} for {wanted.shape} "
                    f"at '{name}.{key}'"
                )
            values.append((leaf, key, got))
    for leaf, key, array in values:
        leaf.assign(key, array.astype(leaf.arrays[key].dtype))


def _keras_name(name: str) -> str:
    """Return Keras's name of a layer: stages.0.2.branch.conv1 is conv2_block3_1_conv."""
    fixed = {"stem.conv": "conv1_conv", "stem.norm": "conv1_bn", "head.dense": "predictions"}
    if name in fixed:
        return fixed[name]
    found = re.fullmatch(r"stages\.(\d+)\.(\d+)\.(branch|shortcut)\.(conv|norm)(\d?)", name)
    if found is None:
        raise ValueError(f"model must be one that keras.applications has, got a layer {name!r}")
    stage, block, part, kind, number = found.groups()
    last = "0" if part == "shortcut" else number
    return f"conv{int(stage) + 2}_block{int(block) + 1}_{last}_{'conv' if kind == 'conv' else 'bn'}"


def _leaves(model: Any) -> Iterator[Leaf]:
    # Only a framework that is loaded can have made the model, so none is imported here.
    torch, keras = sys.modules.get("torch"), sys.modules.get("keras")
    reference = sys.modules.get("companion.reference")
    if torch is not None and isinstance(model, torch.nn.Module):
        return _torch_leaves(model, torch)
    if keras is not None and isinstance(model, keras.layers.Layer):
        return _keras_leaves(model, keras, "")
    if reference is not None and isinstance(model, reference.Layer):
        return _reference_leaves(model)
    raise ValueError(
        "model must be a PyTorch module, a Keras layer or a companion.reference layer, "
        f"got {type(model).__name__}"
    )


def _torch_leaves(model: Any, torch: Any) -> Iterator[Leaf]:
    nn = torch.nn
    kinds = {nn.Conv2d: "conv", nn.modules.batchnorm._BatchNorm: "norm", nn.Linear: "dense"}
    for name, module in model.named_modules():
        tensors = {
            **dict(module.named_parameters(recurse=False)),
            **{k: b for k, b in module.named_buffers(recurse=False) if k != "num_batches_tracked"},
        }
        if not tensors:
            continue
        kind = next((kind for cls, kind in kinds.items() if isinstance(module, cls)), None)
        kind = kind or _MERGES.get(type(module).__name__)
        if kind is None:
            raise ValueError(_unknown(name, module))

        def assign(key: str, array: np.ndarray, tensors: dict = tensors) -> None:
            with torch.no_grad():
                tensors[key].copy_(torch.from_numpy(array))

        arrays = {key: t.detach().cpu().numpy() for key, t in tensors.items()}
        yield Leaf(name, kind, arrays, assign)


def _keras_leaves(layer: Any, keras: Any, name: str) -> Iterator[Leaf]:
    names = {
        keras.layers.Conv2D: ("conv", {"weight": "kernel", "bias": "bias"}),
        keras.layers.Dense: ("dense", {"weight": "kernel", "bias": "bias"}),
        keras.layers.BatchNormalization: (
            "norm",
            {
                "weight": "gamma",
                "bias": "beta",
                "running_mean": "moving_mean",
                "running_var": "moving_variance",
            },
        ),
    }
    found = next((spec for cls, spec in names.items() if isinstance(layer, cls)), None)
    merge = _MERGES.get(type(layer).__name__)
    if merge == "gate":
        found = ("gate", {"weight": "kernel", "bias": "bias"})
    elif merge == "scale":
        found = ("scale", {"scale": "scale"})
    if found is None:
        children = list(layer._flatten_layers(include_self=False, recursive=False))
        below = {id(v) for child in children for v in child.weights}
        if any(id(v) not in below for v in layer.trainable_weights):
            raise ValueError(_unknown(name, layer))
        for child in children:
            yield from _keras_leaves(child, keras, f"{name}.{child.name}" if name else child.name)
        return
    kind, attributes = found
    if not layer.built:
        raise ValueError(f"model must be built before its weights can move, got {name!r} unbuilt")
    variables = {
        key: variable
        for key, attribute in attributes.items()
        if (variable := getattr(layer, attribute, None)) is not None
    }

    def assign(key: str, array: np.ndarray) -> None:
        variables[key].assign(_KERAS_FROM.get((kind, key), _same)(array))

    arrays = {
        key: _KERAS_TO.get((kind, key), _same)(np.asarray(variable.numpy()))
        for key, variable in variables.items()
    }
    yield Leaf(name, kind, arrays, assign)


def _keras_arrays(layer: Any) -> dict[str, np.ndarray]:
    """Return the arrays of one Keras layer in canonical layout."""
    (leaf,) = _keras_leaves(layer, sys.modules["keras"], layer.name)
    return dict(leaf.arrays)


def _reference_leaves(model: Any) -> Iterator[Leaf]:
    kinds = {"Conv2d": "conv", "BatchNorm2d": "norm", "Dense": "dense"}
    for name, layer in model.named_layers():
        arrays = {**layer.params, **layer.buffers}
        if not arrays:
            continue
        if type(layer).__name__ not in kinds:
            raise ValueError(_unknown(name, layer))

        def assign(key: str, array: np.ndarray, layer: Any = layer) -> None:
            where = layer.params if key in layer.params else layer.buffers
            where[key] = array.astype(where[key].dtype)

        yield Leaf(name, kinds[type(layer).__name__], arrays, assign)


#: The merges with parameters, by the name that both frameworks give them.
_MERGES = {"ScaledAdd": "scale", "LayerScale": "scale", "Highway": "gate"}


def _same(array: np.ndarray) -> np.ndarray:
    return array


#: Keras keeps (k, k, in, out) and (in, out); the canonical layout is (out, in, k, k), (out, in).
_KERAS_TO: dict[tuple[str, str], Callable[[np.ndarray], np.ndarray]] = {
    ("conv", "weight"): lambda a: a.transpose(3, 2, 0, 1),
    ("dense", "weight"): np.transpose,
    ("gate", "weight"): np.transpose,
}
_KERAS_FROM: dict[tuple[str, str], Callable[[np.ndarray], np.ndarray]] = {
    ("conv", "weight"): lambda a: a.transpose(2, 3, 1, 0),
    ("dense", "weight"): np.transpose,
    ("gate", "weight"): np.transpose,
}


def _unknown(name: str, layer: Any) -> str:
    return (
        "model must be made of convolutions, batch norms and dense layers, got "
        f"{type(layer).__name__} at {name!r}"
    )

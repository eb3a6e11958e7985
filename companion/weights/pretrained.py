"""Names and values of published networks: torchvision's, keras.applications'."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from companion import _checks
from companion.weights.layer_weights import keras_arrays, layer_weights
from companion.weights.matching import NotLoaded, as_array, load_layers


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
    for layer in layer_weights(model):
        name = _torchvision_name(layer.name)
        for key, array in layer.arrays.items():
            state[f"{name}.{key}"] = torch.from_numpy(array.copy())
        if layer.kind == "norm":
            state[f"{name}.num_batches_tracked"] = torch.tensor(0)
    return state


def from_torchvision(
    model: Any, state_dict: Mapping[str, Any], partial: bool = False
) -> list[NotLoaded]:
    """Load a torchvision state dict into an ImageNet network of either framework.

    Parameters
    ----------
    model: resnet18 to resnet152, wide_resnet50_2 or resnext50_32x4d, with shortcut option ``"B"``
        and version ``"v1.5"``; it then computes torchvision's logits.
    state_dict: as torchvision's network of the same name returns it; tensors or arrays.
    partial: ``True`` loads the layers whose names and shapes fit, leaves the others as they were,
        as for another number of classes, and returns what was not loaded; see :func:`transfer`.

    Raises
    ------
    ValueError: names or shapes differ or, if ``partial``, no layer fits; the message names the
        entry, and the model is as it was.
    """
    partial = _checks.boolean("partial", partial)
    if not isinstance(state_dict, Mapping):
        raise ValueError(f"state_dict must be a state dict, got {type(state_dict).__name__}")
    layers = list(layer_weights(model))
    names = [_torchvision_name(layer.name, known=not partial) for layer in layers]
    named = [(name, layer) for name, layer in zip(names, layers, strict=True) if name]
    ours = {name: layer.name for name, layer in named}
    theirs = {f"{x.name}.{key}": f"{name}.{key}" for name, x in named for key in x.arrays}
    given = {}
    for name, value in state_dict.items():
        module, _, key = str(name).rpartition(".")
        if key != "num_batches_tracked":
            own = f"{ours[module]}.{key}" if module in ours else str(name)
            given[own], theirs[own] = as_array(name, value), str(name)
    wrong = "state_dict must fit the model, got "
    return load_layers(layers, given, partial, wrong, theirs, exact=False)


def _torchvision_name(name: str, known: bool = True) -> str | None:
    """Return torchvision's name of a layer: stages.0.2.branch.conv1 is layer1.2.conv1.

    One that torchvision's networks do not have is an error where it must be ``known``.
    """
    fixed = {"stem.conv": "conv1", "stem.norm": "bn1", "head.dense": "fc"}
    if name in fixed:
        return fixed[name]
    found = re.fullmatch(r"stages\.(\d+)\.(\d+)\.(branch|shortcut)\.(conv|norm)(\d?)", name)
    if found is None and not known:
        return None
    if found is None:
        raise ValueError(f"model must be one that torchvision has, got a layer {name!r}")
    stage, block, part, kind, number = found.groups()
    if part == "shortcut":
        last = f"downsample.{0 if kind == 'conv' else 1}"
    else:
        last = f"{'conv' if kind == 'conv' else 'bn'}{number}"
    return f"layer{int(stage) + 1}.{block}.{last}"


def from_keras(model: Any, keras_model: Any, partial: bool = False) -> list[NotLoaded]:
    """Load keras.applications' ResNet50, 101, 152 or ResNet50V2 into the network of the same name.

    Keras's networks have biases before their batch norms and eps 1.001e-5. A bias there only moves
    the batch's mean, so it is taken off the running mean; the difference of eps is added to the
    running variance. In inference the logits are equal.

    Parameters
    ----------
    model: resnet50, resnet101 or resnet152 of either framework with ``version="v1"``, or
        resnet50_v2.
    keras_model: built with ``include_top=True`` or, if ``partial``, without. Its softmax is not
        carried over: the model returns the logits.
    partial: ``True`` loads the layers whose names and shapes fit, leaves the others as they were,
        as for another number of classes, and returns what was not loaded; see :func:`transfer`.

    Raises
    ------
    ValueError: layers or shapes differ or, if ``partial``, no layer fits; the message names the
        layer, and the model is as it was.
    """
    partial = _checks.boolean("partial", partial)
    if not hasattr(keras_model, "layers"):
        raise ValueError(f"keras_model must be a Keras model, got {type(keras_model).__name__}")
    left = {layer.name: layer for layer in keras_model.layers if layer.weights}
    layers = list(layer_weights(model))
    given: dict[str, np.ndarray] = {}
    theirs: dict[str, str] = {}
    bias: np.ndarray | None = None
    for layer in layers:
        name = _keras_name(layer.name, known=not partial)
        if name is None:
            continue
        theirs.update({f"{layer.name}.{key}": f"{name}.{key}" for key in layer.arrays})
        if name not in left:
            continue
        their = left.pop(name)
        arrays = keras_arrays(their)
        if layer.kind == "conv":
            bias = None if "bias" in layer.arrays else arrays.pop("bias", None)
        elif layer.kind == "norm" and {"running_mean", "running_var"} <= arrays.keys():
            if bias is not None and bias.shape == arrays["running_mean"].shape:
                arrays["running_mean"] = arrays["running_mean"] - bias
            bias = None
            arrays["running_var"] = arrays["running_var"] + np.float32(their.epsilon - 1e-5)
        given.update({f"{layer.name}.{key}": array for key, array in arrays.items()})
    for name, their in left.items():
        given.update({f"{name}.{v.name}": np.asarray(v) for v in their.weights})
    wrong = "keras_model must fit the model, got "
    return load_layers(layers, given, partial, wrong, theirs, exact=False)


def _keras_name(name: str, known: bool = True) -> str | None:
    """Return Keras's name of a layer: stages.0.2.branch.conv1 is conv2_block3_1_conv.

    One that its networks do not have is an error where it must be ``known``.
    """
    fixed = {
        "stem.conv": "conv1_conv",
        "stem.norm": "conv1_bn",
        "head.norm": "post_bn",
        "head.dense": "predictions",
    }
    if name in fixed:
        return fixed[name]
    place = r"stages\.(\d+)\.(\d+)\.(?:block\.)?"
    parts = r"(preactivation\.|branch\.|shortcut)?\.?(conv|norm)?(\d?)"
    found = re.fullmatch(place + parts, name)
    if found is None and not known:
        return None
    if found is None:
        raise ValueError(f"model must be one that keras.applications has, got a layer {name!r}")
    stage, block, part, kind, number = found.groups()
    prefix = f"conv{int(stage) + 2}_block{int(block) + 1}"
    if kind == "norm" and part != "shortcut" and not number:
        return f"{prefix}_preact_bn"
    last = "0" if part == "shortcut" else number
    return f"{prefix}_{last}_{'bn' if kind == 'norm' else 'conv'}"

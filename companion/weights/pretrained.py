"""Names and values of published networks: torchvision's, keras.applications'."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from companion.weights.layer_weights import LayerWeights, keras_arrays, layer_weights


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
    own = list(layer_weights(model))
    wanted = {f"{_torchvision_name(x.name)}.{key}": (x, key) for x in own for key in x.arrays}
    for name in [*wanted, *given]:
        if name not in given or name not in wanted:
            side = "model" if name in wanted else "state_dict"
            raise ValueError(f"state_dict must fit the model, got {name!r} in the {side} alone")
        layer, key = wanted[name]
        if given[name].shape != layer.arrays[key].shape:
            raise ValueError(
                f"state_dict must have the model's shapes, got {given[name].shape} for "
                f"{layer.arrays[key].shape} at {name!r}"
            )
    for name, (layer, key) in wanted.items():
        layer.assign(key, given[name].astype(layer.arrays[key].dtype))


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
    """Load keras.applications' ResNet50, 101, 152 or ResNet50V2 into the network of the same name.

    Keras's networks have biases before their batch norms and eps 1.001e-5. A bias there only moves
    the batch's mean, so it is taken off the running mean; the difference of eps is added to the
    running variance. In inference the logits are equal.

    Parameters
    ----------
    model: resnet50, resnet101 or resnet152 of either framework with ``version="v1"``, or
        resnet50_v2.
    keras_model: built with ``include_top=True``. Its softmax is not carried over: the model
        returns the logits.

    Raises
    ------
    ValueError: layers or shapes differ; the message names the layer, and the model is as it was.
    """
    known = {layer.name: layer for layer in keras_model.layers}
    values: list[tuple[LayerWeights, str, np.ndarray]] = []
    bias: np.ndarray | None = None
    for layer in layer_weights(model):
        name = _keras_name(layer.name)
        if name not in known:
            raise ValueError(f"keras_model must fit the model, got no layer {name!r} in it")
        theirs = known[name]
        arrays = keras_arrays(theirs)
        if layer.kind == "conv":
            bias = None if "bias" in layer.arrays else arrays.pop("bias", None)
        elif layer.kind == "norm":
            if bias is not None:
                arrays["running_mean"] = arrays["running_mean"] - bias
                bias = None
            arrays["running_var"] = arrays["running_var"] + np.float32(theirs.epsilon - 1e-5)
        for key, wanted in layer.arrays.items():
            got = arrays.get(key)
            if got is None or got.shape != wanted.shape:
                shape = None if got is None else got.shape
                raise ValueError(
                    f"keras_model must have the model's shapes, got {shape} for {wanted.shape} "
                    f"at '{name}.{key}'"
                )
            values.append((layer, key, got))
    for layer, key, array in values:
        layer.assign(key, array.astype(layer.arrays[key].dtype))


def _keras_name(name: str) -> str:
    """Return Keras's name of a layer: stages.0.2.branch.conv1 is conv2_block3_1_conv."""
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
    if found is None:
        raise ValueError(f"model must be one that keras.applications has, got a layer {name!r}")
    stage, block, part, kind, number = found.groups()
    prefix = f"conv{int(stage) + 2}_block{int(block) + 1}"
    if kind == "norm" and part != "shortcut" and not number:
        return f"{prefix}_preact_bn"
    last = "0" if part == "shortcut" else number
    return f"{prefix}_{last}_{'bn' if kind == 'norm' else 'conv'}"

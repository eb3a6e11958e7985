"""Residual networks in Keras on TensorFlow: y = activation(merge(shortcut(x), branch(x)))."""

try:
    import tensorflow  # noqa: F401
except ImportError as error:  # pragma: no cover - needs an environment without TensorFlow
    raise ImportError(
        "companion.tensorflow needs TensorFlow: install it with the extra, "
        "pip install 'companion[tensorflow]'"
    ) from error

from companion.tensorflow.blocks import BasicBlock, BottleneckBlock, residual_block
from companion.tensorflow.merges import Add
from companion.tensorflow.networks import (
    ResNet,
    cifar_resnet,
    mnist_resnet,
    residual_network,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
)
from companion.tensorflow.residual import Residual
from companion.tensorflow.shortcuts import Identity, Projection, ZeroPad, shortcut
from companion.tensorflow.training import evaluate, fit, predict, use_threads

__all__ = [
    "Add",
    "BasicBlock",
    "BottleneckBlock",
    "Identity",
    "Projection",
    "ResNet",
    "Residual",
    "ZeroPad",
    "cifar_resnet",
    "evaluate",
    "fit",
    "mnist_resnet",
    "predict",
    "residual_block",
    "residual_network",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "shortcut",
    "use_threads",
]

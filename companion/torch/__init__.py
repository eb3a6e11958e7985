"""Residual networks in PyTorch: one equation, y = activation(merge(shortcut(x), branch(x)))."""

try:
    import torch  # noqa: F401
except ImportError as error:  # pragma: no cover - needs an environment without PyTorch
    raise ImportError(
        "companion.torch needs PyTorch: install it with the extra, pip install 'companion[torch]'"
    ) from error

from companion.torch.blocks import BasicBlock, BottleneckBlock, residual_block
from companion.torch.merges import Add
from companion.torch.networks import (
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
from companion.torch.residual import Residual
from companion.torch.shortcuts import Identity, Projection, ZeroPad, shortcut
from companion.torch.training import evaluate, fit, predict, use_threads

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

"""Residual blocks in NumPy, forward and backward: written to be read beside the equations.

Images are (N, C, H, W), convolution weights (out, in, k, k), dense weights (out, in). A layer's
``forward`` remembers what its ``backward`` needs; ``backward`` takes the loss's gradient with
respect to the output, fills ``grads`` and returns the gradient with respect to the input.
"""

from companion.reference.blocks import BasicBlock, BottleneckBlock
from companion.reference.layers import (
    BatchNorm2d,
    Conv2d,
    Dense,
    GlobalAveragePool,
    Identity,
    Layer,
    MaxPool2d,
    ReLU,
    Sequential,
    softmax_cross_entropy,
)
from companion.reference.residual import Add, Projection, Residual, ZeroPad, shortcut

__all__ = [
    "Add",
    "BasicBlock",
    "BatchNorm2d",
    "BottleneckBlock",
    "Conv2d",
    "Dense",
    "GlobalAveragePool",
    "Identity",
    "Layer",
    "MaxPool2d",
    "Projection",
    "ReLU",
    "Residual",
    "Sequential",
    "ZeroPad",
    "shortcut",
    "softmax_cross_entropy",
]

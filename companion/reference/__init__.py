"""Residual blocks in NumPy, forward and backward: written to be read beside the equations.

Images are (N, C, H, W), convolution weights (out, in, k, k), dense weights (out, in). A layer's
``forward`` remembers what its ``backward`` needs; ``backward`` takes the loss's gradient with
respect to the output, fills ``grads`` and returns the gradient with respect to the input.
"""

from companion.reference.blocks import (
    BasicBlock,
    BottleneckBlock,
    PreActivationBlock,
    PreActivationBottleneckBlock,
)
from companion.reference.depth_attention import Append, DepthAttentionBlock, DepthPooling
from companion.reference.hyper_connections import HyperConnection, ManifoldHyperConnection, Sinkhorn
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
from companion.reference.merges import (
    Add,
    Concatenate,
    Highway,
    LayerScale,
    Merge,
    ScaledAdd,
    StochasticDepth,
    Subtract,
)
from companion.reference.residual import Projection, Residual, ZeroPad, shortcut

__all__ = [
    "Add",
    "Append",
    "DepthPooling",
    "BasicBlock",
    "BatchNorm2d",
    "BottleneckBlock",
    "Concatenate",
    "Conv2d",
    "Dense",
    "DepthAttentionBlock",
    "GlobalAveragePool",
    "Highway",
    "HyperConnection",
    "Identity",
    "Layer",
    "LayerScale",
    "ManifoldHyperConnection",
    "MaxPool2d",
    "Merge",
    "PreActivationBlock",
    "PreActivationBottleneckBlock",
    "Projection",
    "ReLU",
    "Residual",
    "ScaledAdd",
    "Sequential",
    "Sinkhorn",
    "StochasticDepth",
    "Subtract",
    "ZeroPad",
    "shortcut",
    "softmax_cross_entropy",
]

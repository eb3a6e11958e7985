"""DenseNet: concatenation instead of addition."""

from __future__ import annotations

from typing import Any

import keras

from companion import _checks
from companion.tensorflow._saving import Sequential
from companion.tensorflow.blocks import Block
from companion.tensorflow.layers import BatchNorm2d, Conv2d, Dense, GlobalAveragePool
from companion.tensorflow.merges import Concatenate
from companion.tensorflow.resnet import build_sequential


def densenet_cifar(
    depth: int = 100,
    growth: int = 12,
    in_channels: int = 3,
    num_classes: int = 10,
    seed: int | None = None,
) -> keras.Sequential:
    """Return DenseNet-BC for small images (Huang et al. 2017, arXiv 1608.06993, section 3).

    (N, H, W, in_channels) to logits (N, num_classes). Channels are halved between its three stages.

    Parameters
    ----------
    depth: 6n+4: 10, 16, ..., 100, two convolutions a layer. growth: channels a layer, default 12.
    in_channels, num_classes: of images and of labels.
    seed: of the initial weights, the same in both frameworks; ``None`` draws one.

    Raises
    ------
    ValueError: a depth that is not 6n+4, or any argument out of its range.
    """
    layers_per_stage = _checks.depth(depth, 6, 4)
    growth = _checks.positive_int("growth", growth)
    seed = _checks.seed(seed)
    channels = 2 * growth
    parts = [keras.Input((None, None, in_channels)), Conv2d(in_channels, channels, name="stem")]
    for i in range(3):
        if i > 0:
            narrow = [
                BatchNorm2d(channels, name="norm"),
                keras.layers.ReLU(name="relu"),
                Conv2d(channels, channels // 2, kernel_size=1, name="conv"),
                keras.layers.AveragePooling2D(2, name="pool"),
            ]
            parts.append(Sequential(narrow, name=f"narrow{i}"))
            channels //= 2
        layers = [
            DenseLayer(channels + j * growth, growth, name=str(j)) for j in range(layers_per_stage)
        ]
        parts.append(Sequential(layers, name=f"stage{i}"))
        channels += len(layers) * growth
    parts += [
        BatchNorm2d(channels, name="norm"),
        keras.layers.ReLU(name="relu"),
        GlobalAveragePool(name="pool"),
        Dense(channels, num_classes, name="dense"),
    ]
    return build_sequential(parts, "densenet_cifar", seed)


@keras.saving.register_keras_serializable("companion")
class DenseLayer(Block):
    """BN-ReLU-1x1-BN-ReLU-3x3, its output beside its input (DenseNet-B, arXiv 1608.06993).

    (N, H, W, in_channels) to (N, H, W, in_channels + growth). Not a residual connection: it
    concatenates, and there is no plain control of the same shape.

    Parameters
    ----------
    in_channels: of the stream so far.
    growth: channels that this layer adds, default 12; the 1x1 has four times as many.

    Raises
    ------
    ValueError: an argument below 1.
    """

    def __init__(self, in_channels: int, growth: int = 12, **keras_options: Any) -> None:
        growth = _checks.positive_int("growth", growth)
        branch = [
            BatchNorm2d(in_channels, name="norm1"),
            keras.layers.ReLU(name="relu1"),
            Conv2d(in_channels, 4 * growth, kernel_size=1, name="conv1"),
            BatchNorm2d(4 * growth, name="norm2"),
            keras.layers.ReLU(name="relu2"),
            Conv2d(4 * growth, growth, kernel_size=3, name="conv2"),
        ]
        super().__init__(branch, merge=Concatenate(name="merge"), **keras_options)

"""A basic block of depthwise separable convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from companion import _checks
from companion.tensorflow.blocks import Block
from companion.tensorflow.layers import BatchNorm2d, Conv2d
from companion.tensorflow.merges import make_merge
from companion.tensorflow.shortcuts import Shortcut
from companion.tensorflow.shortcuts import shortcut as make_shortcut


@keras.saving.register_keras_serializable("companion")
class SeparableBlock(Block):
    """Two depthwise separable convolutions: each channel by itself, then 1x1 across them.

    Chollet 2017, arXiv 1610.02357. A 3x3 convolution of C to C channels has 9 C^2 weights, this
    one 9 C + C^2. (N, H, W, in_channels) to (N, ceil(H / stride), ceil(W / stride), out_channels).
    Arguments and errors are those of :class:`BottleneckBlock`; any ``out_channels`` will do.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: Shortcut = "B",
        residual: bool = True,
        merge: Callable[[int], keras.layers.Layer] | None = None,
        **keras_options: Any,
    ) -> None:
        branch = [
            Conv2d(in_channels, in_channels, 3, stride, groups=in_channels, name="depth1"),
            Conv2d(in_channels, out_channels, kernel_size=1, name="point1"),
            BatchNorm2d(out_channels, name="norm1"),
            keras.layers.ReLU(name="relu1"),
            Conv2d(out_channels, out_channels, 3, groups=out_channels, name="depth2"),
            Conv2d(out_channels, out_channels, kernel_size=1, name="point2"),
            BatchNorm2d(out_channels, name="norm2"),
        ]
        carry = make_shortcut(shortcut, in_channels, out_channels, stride)
        residual = _checks.boolean("residual", residual)
        joined = make_merge(merge, out_channels)
        after = keras.layers.ReLU(name="activation")
        super().__init__(branch, carry if residual else None, joined, after, **keras_options)

"""Pre-activation blocks: norm and ReLU before each convolution."""

from __future__ import annotations

from typing import Any

import keras

from companion import _checks
from companion.tensorflow.blocks import _Block
from companion.tensorflow.layers import BatchNorm2d, Conv2d


@keras.saving.register_keras_serializable("companion")
class PreActivationBlock(_Block):
    """BN, ReLU, conv, twice; nothing after the sum (He et al. 2016, arXiv 1603.05027, fig. 4e).

    (N, H, W, in_channels) to (N, ceil(H / stride), ceil(W / stride), out_channels). With the
    identity as its shortcut the stream is carried from block to block untouched.
    A projection has no batch norm and reads the raw stream. (The authors' code gives it the first
    BN and ReLU of the branch; the number of parameters is the same.)

    Parameters
    ----------
    in_channels, out_channels: of the block.
    stride: of the first convolution and of the shortcut, default 1.
    shortcut: option ``"A"`` (default), ``"B"`` or ``"C"``, see :func:`shortcut`.
    residual: ``False`` gives the plain control, the same branch without a shortcut.

    Raises
    ------
    ValueError: any argument out of its range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: str = "A",
        residual: bool = True,
        **keras_options: Any,
    ) -> None:
        branch = [
            BatchNorm2d(in_channels, name="norm1"),
            keras.layers.ReLU(name="relu1"),
            Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, name="conv1"),
            BatchNorm2d(out_channels, name="norm2"),
            keras.layers.ReLU(name="relu2"),
            Conv2d(out_channels, out_channels, kernel_size=3, name="conv2"),
        ]
        arguments = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "stride": stride,
            "shortcut": shortcut,
            "residual": residual,
        }
        super().__init__(branch, arguments, activation=False, **keras_options)


@keras.saving.register_keras_serializable("companion")
class PreActivationBottleneckBlock(_Block):
    """The bottleneck with BN and ReLU before each convolution (arXiv 1603.05027, section 4).

    (N, H, W, in_channels) to (N, ceil(H / stride), ceil(W / stride), out_channels). Arguments and
    errors are those of :class:`PreActivationBlock`; four must divide ``out_channels``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: str = "A",
        residual: bool = True,
        **keras_options: Any,
    ) -> None:
        width = _checks.multiple_of("out_channels", out_channels, 4) // 4
        branch = [
            BatchNorm2d(in_channels, name="norm1"),
            keras.layers.ReLU(name="relu1"),
            Conv2d(in_channels, width, kernel_size=1, name="conv1"),
            BatchNorm2d(width, name="norm2"),
            keras.layers.ReLU(name="relu2"),
            Conv2d(width, width, kernel_size=3, stride=stride, name="conv2"),
            BatchNorm2d(width, name="norm3"),
            keras.layers.ReLU(name="relu3"),
            Conv2d(width, out_channels, kernel_size=1, name="conv3"),
        ]
        arguments = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "stride": stride,
            "shortcut": shortcut,
            "residual": residual,
        }
        super().__init__(branch, arguments, activation=False, **keras_options)

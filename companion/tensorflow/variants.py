"""More branches for the same equation: pre-activation, squeezed, separable, dense."""

from __future__ import annotations

from typing import Any

import keras
from keras import KerasTensor as Tensor
from keras import ops

from companion import _checks
from companion.tensorflow.blocks import BottleneckBlock, _Block
from companion.tensorflow.layers import BatchNorm2d, Conv2d, Dense
from companion.tensorflow.merges import Concatenate, ScaledAdd


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


@keras.saving.register_keras_serializable("companion")
class SqueezeExcitation(keras.layers.Layer):
    """x * s, s = sigmoid(W2 relu(W1 mean(x))): each channel weighed by what all of them hold.

    Hu et al. 2018, arXiv 1709.01507, eq. 2 to 4. (N, H, W, C) to the same shape.

    Parameters
    ----------
    channels: of the input.
    reduction: channels over the hidden units, default 16; at least one unit is kept.

    Raises
    ------
    ValueError: an argument below 1.
    """

    def __init__(self, channels: int, reduction: int = 16, **keras_options: Any) -> None:
        self.channels = _checks.positive_int("channels", channels)
        self.reduction = _checks.positive_int("reduction", reduction)
        hidden = max(1, channels // reduction)
        super().__init__(**keras_options)
        self.squeeze = Dense(channels, hidden, name="squeeze")
        self.excite = Dense(hidden, channels, name="excite")
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        hidden = ops.relu(self.squeeze(ops.mean(x, axis=(1, 2))))
        return x * ops.sigmoid(self.excite(hidden))[:, None, None, :]

    def get_config(self) -> dict[str, Any]:
        sizes = {"channels": self.channels, "reduction": self.reduction}
        return {**super().get_config(), **sizes}


@keras.saving.register_keras_serializable("companion")
class SEBottleneckBlock(BottleneckBlock):
    """A bottleneck whose branch ends in :class:`SqueezeExcitation` (arXiv 1709.01507, fig. 3)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: str = "B",
        residual: bool = True,
        **keras_options: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, stride, shortcut, residual, **keras_options)
        self.branch.add(SqueezeExcitation(out_channels, name="squeeze"))


@keras.saving.register_keras_serializable("companion")
class SeparableBlock(_Block):
    """Two depthwise separable convolutions: each channel by itself, then 1x1 across them.

    Chollet 2017, arXiv 1610.02357. A 3x3 convolution of C to C channels has 9 C^2 weights, this
    one 9 C + C^2. (N, H, W, in_channels) to (N, ceil(H / stride), ceil(W / stride), out_channels).
    Arguments and errors are those of :class:`BottleneckBlock`, without the divisor.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: str = "B",
        residual: bool = True,
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
        arguments = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "stride": stride,
            "shortcut": shortcut,
            "residual": residual,
        }
        super().__init__(branch, arguments, **keras_options)


@keras.saving.register_keras_serializable("companion")
class DenseLayer(_Block):
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
        arguments = {"in_channels": in_channels, "growth": growth}
        super().__init__(
            branch, arguments, merge=Concatenate(name="merge"), activation=False, **keras_options
        )


@keras.saving.register_keras_serializable("companion")
class Bias(keras.layers.Layer):
    """x plus one learned number, from zero (Fixup, arXiv 1901.09321, section 3, rule 3)."""

    own_parameters = ("bias",)

    def __init__(self, **keras_options: Any) -> None:
        super().__init__(**keras_options)
        self.bias = self.add_weight(shape=(1,), initializer="zeros", name="bias")
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        return x + self.bias


@keras.saving.register_keras_serializable("companion")
class FixupBlock(_Block):
    """A basic block without norms: scalar biases, one scalar multiplier (arXiv 1901.09321, fig. 1).

    (N, H, W, in_channels) to (N, ceil(H / stride), ceil(W / stride), out_channels). The name is
    honest only with ``weights.initialise(model, seed, "fixup")``, which :func:`fixup_resnet` calls.
    Arguments and errors are those of :class:`PreActivationBlock`.
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
            Bias(name="bias1"),
            Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, name="conv1"),
            Bias(name="bias2"),
            keras.layers.ReLU(name="relu1"),
            Bias(name="bias3"),
            Conv2d(out_channels, out_channels, kernel_size=3, name="conv2"),
        ]
        arguments = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "stride": stride,
            "shortcut": shortcut,
            "residual": residual,
        }
        super().__init__(branch, arguments, merge=ScaledAdd(1.0), activation=False, **keras_options)
        after = [Bias(name="bias"), keras.layers.ReLU(name="relu")]
        self.activation = keras.Sequential(after, name="activation")

"""Fixup: a residual block without norms."""

from __future__ import annotations

from typing import Any

import keras
from keras import KerasTensor as Tensor

from companion.tensorflow.blocks import _Block
from companion.tensorflow.layers import Conv2d
from companion.tensorflow.merges import ScaledAdd


@keras.saving.register_keras_serializable("companion")
class ScalarBias(keras.layers.Layer):
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
    honest only with ``weights.initialize(model, seed, "fixup")``, which :func:`fixup_resnet` calls.
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
            ScalarBias(name="bias1"),
            Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, name="conv1"),
            ScalarBias(name="bias2"),
            keras.layers.ReLU(name="relu1"),
            ScalarBias(name="bias3"),
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
        after = [ScalarBias(name="bias"), keras.layers.ReLU(name="relu")]
        self.activation = keras.Sequential(after, name="activation")

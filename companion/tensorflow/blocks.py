"""Residual blocks: each is a choice of branch, shortcut, merge and activation.

A network makes its blocks by ``Block(in_channels, out_channels, stride, shortcut, residual)`` and
asks the class two questions, whose answers are False and True where the class has none:

final_norm: whether norm and ReLU come first in a block (pre-activation). The network then ends its
    stages with a norm and a ReLU, and has none in its stem.
normalized: whether the block brings norms. If not, the network has none and starts by Fixup.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import KerasTensor as Tensor

from companion import _checks
from companion.tensorflow._layer import share_dtype
from companion.tensorflow._saving import Sequential
from companion.tensorflow.layers import BatchNorm2d, Conv2d
from companion.tensorflow.merges import make_merge
from companion.tensorflow.residual import Residual
from companion.tensorflow.shortcuts import Shortcut
from companion.tensorflow.shortcuts import shortcut as make_shortcut


class Block(Residual):
    """A residual connection that makes its parts itself: its dtype is theirs.

    Parameters
    ----------
    branch: layers in a row. shortcut, merge, activation, preactivation: see :class:`Residual`.
    """

    def __init__(
        self,
        branch: Sequence[keras.layers.Layer],
        shortcut: Any = "identity",
        merge: keras.layers.Layer | None = None,
        activation: keras.layers.Layer | None = None,
        preactivation: keras.layers.Layer | None = None,
        **keras_options: Any,
    ) -> None:
        row = Sequential(list(branch), name="branch")
        super().__init__(row, shortcut, merge, activation, preactivation, **keras_options)
        share_dtype(self, keras_options)
        channels = self._arguments.get("in_channels")
        self.known_shape = None if channels is None else (None, None, None, channels)


@keras.saving.register_keras_serializable("companion")
class BasicBlock(Block):
    """Two convolutions and a shortcut around both (He et al. 2015, figure 5 left).

    (N, H, W, in_channels) to (N, ceil(H / stride), ceil(W / stride), out_channels).

    Parameters
    ----------
    in_channels, out_channels: of the block.
    stride: of the first convolution and of the shortcut, default 1.
    shortcut: option ``"A"``, ``"B"`` (default) or ``"C"``, or a callable, see :func:`shortcut`.
    residual: ``False`` gives the plain control, the same branch without a shortcut.
    kernel_size: odd, of both convolutions, default 3.
    merge: makes the merge from its channels, as :class:`Highway` does; ``None`` is addition.

    Raises
    ------
    ValueError: any argument out of its range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: Shortcut = "B",
        residual: bool = True,
        kernel_size: int = 3,
        merge: Callable[[int], keras.layers.Layer] | None = None,
        **keras_options: Any,
    ) -> None:
        branch = [
            Conv2d(in_channels, out_channels, kernel_size, stride, name="conv1"),
            BatchNorm2d(out_channels, name="norm1"),
            keras.layers.ReLU(name="relu1"),
            Conv2d(out_channels, out_channels, kernel_size, name="conv2"),
            BatchNorm2d(out_channels, name="norm2"),
        ]
        carry = make_shortcut(shortcut, in_channels, out_channels, stride)
        residual = _checks.boolean("residual", residual)
        joined = make_merge(merge, out_channels)
        after = keras.layers.ReLU(name="activation")
        super().__init__(branch, carry if residual else None, joined, after, **keras_options)


@keras.saving.register_keras_serializable("companion")
class BottleneckBlock(Block):
    """1x1 to fewer channels, 3x3, 1x1 to ``out_channels`` (He et al. 2015, figure 5 right).

    (N, H, W, in_channels) to (N, ceil(H / stride), ceil(W / stride), out_channels). A variant is
    a subclass that sets other class attributes:

    reduction: out_channels over the channels of the 3x3, 4 in the paper.
    groups: of the 3x3 convolution, 1 in the paper.
    strided: which convolution takes the stride: ``"conv2"``, the 3x3, as in torchvision ("v1.5").

    Parameters
    ----------
    in_channels, out_channels: of the block; ``reduction`` must divide ``out_channels``.
    stride: of one convolution and of the shortcut, default 1.
    shortcut, residual, merge: see :class:`BasicBlock`.

    Raises
    ------
    ValueError: any argument out of its range.
    """

    reduction = 4
    groups = 1
    strided = "conv2"

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
        width = _checks.multiple_of("out_channels", out_channels, self.reduction) // self.reduction
        first, second = (stride, 1) if self.strided == "conv1" else (1, stride)
        branch = [
            Conv2d(in_channels, width, kernel_size=1, stride=first, name="conv1"),
            BatchNorm2d(width, name="norm1"),
            keras.layers.ReLU(name="relu1"),
            Conv2d(width, width, kernel_size=3, stride=second, groups=self.groups, name="conv2"),
            BatchNorm2d(width, name="norm2"),
            keras.layers.ReLU(name="relu2"),
            Conv2d(width, out_channels, kernel_size=1, name="conv3"),
            BatchNorm2d(out_channels, name="norm3"),
        ]
        carry = make_shortcut(shortcut, in_channels, out_channels, stride)
        residual = _checks.boolean("residual", residual)
        joined = make_merge(merge, out_channels)
        after = keras.layers.ReLU(name="activation")
        super().__init__(branch, carry if residual else None, joined, after, **keras_options)


@keras.saving.register_keras_serializable("companion")
class BottleneckBlockV1(BottleneckBlock):
    """The bottleneck of the paper and of Keras: the stride on the first 1x1 convolution."""

    strided = "conv1"


@keras.saving.register_keras_serializable("companion")
class WideBottleneckBlock(BottleneckBlock):
    """Twice the channels in the 3x3 (Zagoruyko and Komodakis 2016, arXiv 1605.07146)."""

    reduction = 2


@keras.saving.register_keras_serializable("companion")
class ResNeXtBlock(BottleneckBlock):
    """Thirty-two paths summed: a grouped 3x3 (Xie et al. 2017, arXiv 1611.05431, figure 3c)."""

    reduction = 2
    groups = 32


def residual_block(
    x: Tensor, filters: int, kernel_size: int = 3, strides: int = 1, residual: bool = True
) -> Tensor:
    """Apply a basic block to x, with the source article's signature.

    Parameters
    ----------
    x: symbolic or real tensor (N, H, W, C). (PyTorch takes the number of channels here.)
    filters: channels that go out.
    kernel_size: odd, default 3.
    strides: of the block, default 1; an int or a pair of equal ints.
    residual: ``False`` gives the plain control.

    Returns
    -------
    (N, ceil(H / strides), ceil(W / strides), filters).

    Raises
    ------
    ValueError: any argument out of its range.
    """
    if not hasattr(x, "shape"):
        raise ValueError(f"x must be a tensor (N, H, W, C), got {x!r}")
    _checks.rank("x", x.shape, 4, "(N, H, W, C)")
    filters = _checks.positive_int("filters", filters)
    strides = _checks.square_stride("strides", strides)
    return BasicBlock(x.shape[-1], filters, strides, residual=residual, kernel_size=kernel_size)(x)

"""Pre-activation blocks: norm and ReLU before each convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from companion import _checks
from companion.tensorflow._saving import Sequential
from companion.tensorflow.blocks import Block
from companion.tensorflow.layers import BatchNorm2d, Conv2d
from companion.tensorflow.merges import make_merge
from companion.tensorflow.shortcuts import Shortcut, is_projection
from companion.tensorflow.shortcuts import shortcut as make_shortcut

Layers = list[keras.layers.Layer]


@keras.saving.register_keras_serializable("companion")
class PreActivatedResidual(Block):
    """A residual connection whose first norm and ReLU stand where the shortcut needs them.

    The identity and option A carry the raw stream, so that the two belong to the branch. A
    projection reads what they make of it: they are then the ``preactivation`` that it shares with
    the branch (He et al. 2016, arXiv 1603.05027, in the authors' code; so do WRN's and timm's).

    Parameters
    ----------
    first: the first norm and ReLU. rest: what follows them in the branch.
    carry: the shortcut. residual: ``False`` leaves it out, and nothing else.
    merge: ``None`` is addition.
    """

    def __init__(
        self,
        first: Layers,
        rest: Layers,
        carry: keras.layers.Layer,
        residual: bool,
        merge: keras.layers.Layer | None = None,
        **keras_options: Any,
    ) -> None:
        shared = is_projection(carry)
        super().__init__(
            rest if shared else [*first, *rest],
            carry if _checks.boolean("residual", residual) else None,
            merge,
            preactivation=Sequential(first, name="preactivation") if shared else None,
            **keras_options,
        )


@keras.saving.register_keras_serializable("companion")
class PreActivationBlock(PreActivatedResidual):
    """BN, ReLU, conv, twice; nothing after the sum (He et al. 2016, arXiv 1603.05027, fig. 4e).

    (N, H, W, in_channels) to (N, ceil(H / stride), ceil(W / stride), out_channels). With the
    identity as its shortcut the stream is carried from block to block untouched. A projection,
    which has no norm of its own, reads the stream after the first BN and ReLU.

    Parameters
    ----------
    in_channels, out_channels: of the block.
    stride: of the first convolution and of the shortcut, default 1.
    shortcut: option ``"A"``, ``"B"`` (default) or ``"C"``, or a callable, see :func:`shortcut`.
    residual: ``False`` gives the plain control, the same branch without a shortcut.
    merge: makes the merge from its channels, as :class:`Highway` does; ``None`` is addition.

    Raises
    ------
    ValueError: any argument out of its range.
    """

    final_norm = True

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
        first = [BatchNorm2d(in_channels, name="norm1"), keras.layers.ReLU(name="relu1")]
        rest = [
            Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, name="conv1"),
            BatchNorm2d(out_channels, name="norm2"),
            keras.layers.ReLU(name="relu2"),
            Conv2d(out_channels, out_channels, kernel_size=3, name="conv2"),
        ]
        carry = make_shortcut(shortcut, in_channels, out_channels, stride, norm=False)
        joined = make_merge(merge, out_channels)
        super().__init__(first, rest, carry, residual, joined, **keras_options)


@keras.saving.register_keras_serializable("companion")
class PreActivationBottleneckBlock(PreActivatedResidual):
    """The bottleneck with BN and ReLU before each convolution (arXiv 1603.05027, section 4).

    (N, H, W, in_channels) to (N, ceil(H / stride), ceil(W / stride), out_channels). Arguments and
    errors are those of :class:`PreActivationBlock`; four must divide ``out_channels``.
    """

    final_norm = True

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
        width = _checks.multiple_of("out_channels", out_channels, 4) // 4
        first = [BatchNorm2d(in_channels, name="norm1"), keras.layers.ReLU(name="relu1")]
        rest = [
            Conv2d(in_channels, width, kernel_size=1, name="conv1"),
            BatchNorm2d(width, name="norm2"),
            keras.layers.ReLU(name="relu2"),
            Conv2d(width, width, kernel_size=3, stride=stride, name="conv2"),
            BatchNorm2d(width, name="norm3"),
            keras.layers.ReLU(name="relu3"),
            Conv2d(width, out_channels, kernel_size=1, name="conv3"),
        ]
        carry = make_shortcut(shortcut, in_channels, out_channels, stride, norm=False)
        joined = make_merge(merge, out_channels)
        super().__init__(first, rest, carry, residual, joined, **keras_options)

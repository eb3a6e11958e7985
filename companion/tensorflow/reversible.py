"""Reversible blocks: the input is computed back from the output, so nothing has to be stored.

A block is a ``Residual`` over two halves of the channels:

    (y1, y2) = (x2, x1 + F(x2)),    (x1, x2) = (y2 - F(y1), y1)

A stack of them leaves its equation once: in the backward pass, where it recomputes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf
from keras import KerasTensor as Tensor
from keras import ops

from companion import _checks
from companion.tensorflow._layer import Layer
from companion.tensorflow._saving import Sequential
from companion.tensorflow.blocks import Block
from companion.tensorflow.layers import BatchNorm2d, Conv2d, Dense, GlobalAveragePool
from companion.tensorflow.resnet import build_sequential
from companion.tensorflow.shortcuts import Identity, ZeroPad


@keras.saving.register_keras_serializable("companion")
class SecondHalf(Layer):
    """The second half of the channels: (N, H, W, 2 C) to (N, H, W, C)."""

    def call(self, x: Tensor) -> Tensor:
        return ops.split(x, 2, axis=-1)[1]


@keras.saving.register_keras_serializable("companion")
class EachHalf(Layer):
    """Apply a shortcut to both halves of the channels."""

    def __init__(self, inner: keras.layers.Layer, **keras_options: Any) -> None:
        super().__init__(**keras_options)
        self.inner = inner

    def call(self, x: Tensor) -> Tensor:
        return ops.concatenate([self.inner(half) for half in ops.split(x, 2, axis=-1)], axis=-1)


@keras.saving.register_keras_serializable("companion")
class AdditiveCoupling(Layer):
    """(x1, x2) and F(x2) to (x2, x1 + F(x2)): x2 is kept, so x1 can be computed back.

    Gomez et al. 2017, arXiv 1707.04585, eq. 6; the halves change places, so that the next block
    adds to the other one.

    Raises
    ------
    ValueError: the branch has not half the channels of the shortcut.
    """

    def call(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        first, second = ops.split(shortcut, 2, axis=-1)
        _checks.equal_shapes("shortcut and branch", first.shape, branch.shape)
        return ops.concatenate([second, first + branch], axis=-1)


@keras.saving.register_keras_serializable("companion")
class ReversibleBlock(Block):
    """Half of a reversible unit: a pre-activation branch on one half, added to the other.

    (N, H, W, in_channels) to (N, ceil(H / stride), ceil(W / stride), out_channels). Two of them in
    a row are eq. 6 of arXiv 1707.04585.

    Parameters
    ----------
    in_channels, out_channels: of both halves together, even. Where they or the stride change, the
        halves are zero-padded (option A) and the block cannot be reversed.
    stride: default 1.

    Raises
    ------
    ValueError: any argument out of its range.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, **keras_options: Any
    ) -> None:
        half_in = _checks.multiple_of("in_channels", in_channels, 2) // 2
        half_out = _checks.multiple_of("out_channels", out_channels, 2) // 2
        function = Sequential(
            [
                BatchNorm2d(half_in, name="norm1"),
                keras.layers.ReLU(name="relu1"),
                Conv2d(half_in, half_out, kernel_size=3, stride=stride, name="conv1"),
                BatchNorm2d(half_out, name="norm2"),
                keras.layers.ReLU(name="relu2"),
                Conv2d(half_out, half_out, kernel_size=3, name="conv2"),
            ],
            name="function",
        )
        self_inverse = in_channels == out_channels and stride == 1
        shortcut = Identity() if self_inverse else EachHalf(ZeroPad(half_in, half_out, stride))
        branch, merge = [SecondHalf(name="pick"), function], AdditiveCoupling(name="merge")
        super().__init__(branch, shortcut, merge, **keras_options)
        self.reversible = self_inverse

    def _function(self, half: Tensor, training: bool | None) -> Tensor:
        return self.branch.get_layer("function")(half, training=training)

    def inverse(self, y: Tensor, training: bool | None = None) -> Tensor:
        """Return the x of which y is the output, to rounding: x1 = y2 - F(y1).

        Raises
        ------
        ValueError: a block that changes channels or stride.
        """
        if not self.reversible:
            raise ValueError("a block that changes channels or stride cannot be inverted")
        second, summed = ops.split(y, 2, axis=-1)
        return ops.concatenate([summed - self._function(second, training), second], axis=-1)

    def step_back(
        self, y: Tensor, dy: Tensor, training: bool | None
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return input, its gradient, and the variables' gradients, from the output alone."""
        second, summed = ops.split(y, 2, axis=-1)
        d_second, d_summed = ops.split(dy, 2, axis=-1)
        variables = [v.value for v in self.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(second)
            f = self._function(second, training)
        d_branch, *d_variables = tape.gradient(f, [second, *variables], d_summed)
        x = ops.concatenate([summed - f, second], axis=-1)
        return x, ops.concatenate([d_summed, d_second + d_branch], axis=-1), d_variables


@keras.saving.register_keras_serializable("companion")
class ReversibleSequential(Layer):
    """A stack of :class:`ReversibleBlock` that keeps only its output for the backward pass.

    Parameters
    ----------
    blocks: reversible ones. recompute: ``False`` keeps every activation, as any other stack does:
        the same numbers for more memory and less time.

    Raises
    ------
    ValueError: a block that cannot be reversed.
    """

    def __init__(
        self, *blocks: ReversibleBlock, recompute: bool = True, **keras_options: Any
    ) -> None:
        if not all(block.reversible for block in blocks):
            raise ValueError("blocks must be reversible, got one that changes channels or stride")
        super().__init__(**keras_options)
        self.blocks = list(blocks)
        self.recompute = _checks.boolean("recompute", recompute)
        self.known_shape = blocks[0].known_shape if blocks else None

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """The blocks, for ``summary(expand_nested=True)``."""
        return self.blocks

    def build(self, shape: Any = None) -> None:
        for block in self.blocks:
            block.build(shape)

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        return self._recomputed(x, training) if self.recompute else self._plain(x, training)

    def compute_output_spec(self, x: Tensor, training: bool | None = None) -> Any:
        return self._plain(x, training)  # recomputing changes no shape

    def _plain(self, x: Tensor, training: bool | None) -> Tensor:
        for block in self.blocks:
            x = block(x, training=training)
        return x

    def _recomputed(self, x: Tensor, training: bool | None) -> Tensor:
        @tf.custom_gradient
        def run(x: Tensor) -> tuple[Tensor, Any]:
            y = self._plain(x, training)

            def backward(dy: Tensor, variables: Any = ()) -> tuple[Tensor, list[Tensor]]:
                now, d_variables = y, {}
                with _statistics_kept(self):
                    for block in reversed(self.blocks):
                        now, dy, own = block.step_back(now, dy, training)
                        for variable, gradient in zip(block.trainable_variables, own, strict=True):
                            d_variables[variable.value.ref()] = gradient
                return dy, [d_variables.get(variable.ref()) for variable in variables]

            return y, backward

        return run(x)


@contextmanager
def _statistics_kept(stack: keras.layers.Layer) -> Iterator[None]:
    """Run batch norms again without counting the batch twice in their running statistics."""
    norms = [m for m in stack._flatten_layers() if isinstance(m, BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def revnet_cifar(
    depth: int = 38,
    width: int = 32,
    recompute: bool = True,
    in_channels: int = 3,
    num_classes: int = 10,
    seed: int | None = None,
) -> keras.Sequential:
    """Return a RevNet for small images (Gomez et al. 2017, arXiv 1707.04585).

    (N, H, W, in_channels) to logits (N, num_classes). A unit has two branches of two convolutions.
    Without its shortcuts a reversible network has no meaning, so there is no ``residual`` argument;
    :func:`cifar_preact_resnet` is the network to compare with.

    Parameters
    ----------
    depth: 12n+2: 14, 26, 38, ..., 110.
    width: channels of the first stage, both halves together, default 32, then twice and four times
        as many.
    recompute: whether to compute activations back rather than to keep them, default True.
    in_channels, num_classes: of images and of labels.
    seed: of the initial weights, the same in both frameworks; ``None`` draws one.

    Raises
    ------
    ValueError: a depth that is not 12n+2, or any argument out of its range.
    """
    units = _checks.depth(depth, 12, 2)
    width = _checks.multiple_of("width", width, 2)
    _checks.boolean("recompute", recompute)
    _checks.positive_int("num_classes", num_classes)
    seed = _checks.seed(seed)
    parts = [keras.Input((None, None, in_channels)), Conv2d(in_channels, width, name="stem")]
    channels = width
    for i in range(3):
        halves = 2 * units
        if i > 0:
            parts.append(ReversibleBlock(channels, 2 * channels, stride=2, name=f"widen{i}"))
            channels, halves = 2 * channels, halves - 1
        blocks = [ReversibleBlock(channels, channels, name=str(j)) for j in range(halves)]
        parts.append(ReversibleSequential(*blocks, recompute=recompute, name=f"stage{i}"))
    parts += [
        BatchNorm2d(channels, name="norm"),
        keras.layers.ReLU(name="relu"),
        GlobalAveragePool(name="pool"),
        Dense(channels, num_classes, name="dense"),
    ]
    return build_sequential(parts, "revnet_cifar", seed)

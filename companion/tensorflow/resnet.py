"""A residual network for images, from a depth table and a block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from companion import _checks, weights
from companion.architectures import Architecture
from companion.tensorflow._saving import Sequential, default_dtype
from companion.tensorflow.blocks import (
    BasicBlock,
    BottleneckBlock,
    BottleneckBlockV1,
    ResNeXtBlock,
    WideBottleneckBlock,
)
from companion.tensorflow.fixup import FixupBlock
from companion.tensorflow.layers import (
    BatchNorm2d,
    Conv2d,
    Dense,
    GlobalAveragePool,
    MaxPool2d,
    skip_init,
)
from companion.tensorflow.preactivation import PreActivationBlock, PreActivationBottleneckBlock
from companion.tensorflow.separable import SeparableBlock
from companion.tensorflow.shortcuts import Shortcut, check_shortcut
from companion.tensorflow.squeeze_excitation import SEBottleneckBlock

#: The blocks that an :class:`companion.architectures.Architecture` can name.
BLOCKS: dict[str, Any] = {
    "basic": BasicBlock,
    "bottleneck": BottleneckBlock,
    "bottleneck_v1": BottleneckBlockV1,
    "wide": WideBottleneckBlock,
    "resnext": ResNeXtBlock,
    "se": SEBottleneckBlock,
    "separable": SeparableBlock,
    "fixup": FixupBlock,
    "pre_activation": PreActivationBlock,
    "pre_activation_bottleneck": PreActivationBottleneckBlock,
}


def build_sequential(
    layers: list[Any], name: str, seed: int | None = None, scheme: str = "he"
) -> keras.Sequential:
    """Return layers in a row with their first weights.

    Parameters
    ----------
    layers: the first is a ``keras.Input``. name: of the Keras model.
    seed: of the initial weights; ``None`` draws one from Keras's generator.
    scheme: how the branches start, see :func:`companion.weights.initialize`.
    """
    with skip_init():
        model = Sequential(layers, name=name)
    weights.initialize(model, resolve_seed(seed), scheme)
    return model


@keras.saving.register_keras_serializable("companion")
class ResNet(Sequential):
    """Stem, stages of residual blocks, and a classifier (He et al. 2015, table 1, section 4.2).

    (N, H, W, in_channels) to logits (N, num_classes); any H and W that survive the strides.

    Parameters
    ----------
    architecture: the depth table, see :mod:`companion.architectures`.
    shortcut: option ``"A"``, ``"B"`` or ``"C"``, or a callable that makes a shortcut from
        ``(in_channels, out_channels, stride)``.
    residual: ``False`` gives the plain control: same branches, same initial weights.
    in_channels, num_classes: of images and of labels.
    seed: of the initial weights. The same seed gives the same weights in both frameworks, with
        and without shortcuts. ``None`` draws one from Keras's generator.
    block: the class of the blocks, called as ``block(in_channels, out_channels, stride=,
        shortcut=, residual=)``; ``None`` takes the one that the architecture names. What the
        network asks of it stands in ``companion.tensorflow.blocks``. To be saved, it has to be
        registered with Keras (``keras.saving.register_keras_serializable``), and so have
        functions for ``shortcut`` and ``merge``.
    merge: makes each block's merge from its channels, and is passed to the block; ``None`` leaves
        the block its own, which is addition.
    name: of the Keras model, default that of the architecture. dtype: Keras's policy for all
        layers, such as ``"mixed_float16"``; default the global one.

    Raises
    ------
    ValueError: an architecture that names an unknown block, or any argument out of its range.
    """

    def __init__(
        self,
        architecture: Architecture,
        shortcut: Shortcut = "B",
        residual: bool = True,
        in_channels: int = 3,
        num_classes: int = 1000,
        seed: int | None = None,
        block: Callable[..., keras.layers.Layer] | None = None,
        merge: Callable[[int], keras.layers.Layer] | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        check_shortcut(shortcut)
        _checks.boolean("residual", residual)
        _checks.positive_int("in_channels", in_channels)
        _checks.positive_int("num_classes", num_classes)
        seed = _checks.seed(seed)
        make = _block_class(architecture, block)
        options: dict[str, Any] = {"shortcut": shortcut, "residual": residual}
        if merge is not None:
            options["merge"] = merge
        with default_dtype(dtype), skip_init():
            parts = self._parts(architecture, in_channels, num_classes, make, options)
            super().__init__(parts, name=name or architecture.name)
        scheme = "he" if getattr(make, "normalized", True) else "fixup"
        weights.initialize(self, resolve_seed(seed), scheme)

    @staticmethod
    def _parts(
        architecture: Architecture,
        in_channels: int,
        num_classes: int,
        block: Any,
        options: dict[str, Any],
    ) -> list[Any]:
        final_norm = getattr(block, "final_norm", False)
        channels, kernel = architecture.stem_channels, architecture.stem_kernel
        stem = [Conv2d(in_channels, channels, kernel, architecture.stem_stride, name="conv")]
        if not final_norm:
            if getattr(block, "normalized", True):
                stem.append(BatchNorm2d(channels, name="norm"))
            stem.append(keras.layers.ReLU(name="relu"))
        if architecture.stem_pool:
            stem.append(MaxPool2d(name="pool"))
        stages = []
        for s, stage in enumerate(architecture.stages):
            blocks = []
            for i in range(stage.blocks):
                stride = stage.stride if i == 0 else 1
                blocks.append(block(channels, stage.out_channels, stride=stride, **options))
                blocks[-1].name = str(i)
                channels = stage.out_channels
            stages.append(Sequential(blocks, name=str(s)))
        head = []
        if final_norm:
            head += [BatchNorm2d(channels, name="norm"), keras.layers.ReLU(name="relu")]
        head += [GlobalAveragePool(name="pool"), Dense(channels, num_classes, name="dense")]
        return [
            keras.Input((None, None, in_channels)),
            Sequential(stem, name="stem"),
            Sequential(stages, name="stages"),
            Sequential(head, name="head"),
        ]


def _block_class(architecture: Architecture, block: Any) -> Any:
    """Return the class of the blocks: the given one, or that which the architecture names."""
    if block is None:
        return BLOCKS[_checks.option("architecture.block", architecture.block, tuple(BLOCKS))]
    if not callable(block):
        raise ValueError(f"block must be a class of blocks or None, got {block!r}")
    return block


def resolve_seed(seed: int | None) -> int:
    """Return the seed, or one from Keras's generator."""
    return int(keras.random.randint((), 0, 2**31 - 1)) if seed is None else seed

"""A residual network for images, from a depth table and a block."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from companion import _checks, weights
from companion.architectures import Architecture
from companion.torch.blocks import (
    BasicBlock,
    BottleneckBlock,
    BottleneckBlockV1,
    ResNeXtBlock,
    WideBottleneckBlock,
)
from companion.torch.fixup import FixupBlock
from companion.torch.layers import BatchNorm2d, Conv2d, Dense, GlobalAveragePool, skip_init
from companion.torch.preactivation import PreActivationBlock, PreActivationBottleneckBlock
from companion.torch.separable import SeparableBlock
from companion.torch.shortcuts import Shortcut, check_shortcut
from companion.torch.squeeze_excitation import SEBottleneckBlock

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


class ResNet(nn.Module):
    """Stem, stages of residual blocks, and a classifier (He et al. 2015, table 1, section 4.2).

    (N, in_channels, H, W) to logits (N, num_classes); any H and W that survive the strides.

    Parameters
    ----------
    architecture: the depth table, see :mod:`companion.architectures`.
    shortcut: option ``"A"``, ``"B"`` or ``"C"``, or a callable that makes a shortcut from
        ``(in_channels, out_channels, stride)``.
    residual: ``False`` gives the plain control: same branches, same initial weights.
    in_channels, num_classes: of images and of labels.
    seed: of the initial weights. The same seed gives the same weights in both frameworks, with
        and without shortcuts. ``None`` draws one from PyTorch's generator.
    block: the class of the blocks, called as ``block(in_channels, out_channels, stride=,
        shortcut=, residual=)``; ``None`` takes the one that the architecture names. What the
        network asks of it stands in ``companion.torch.blocks``.
    merge: makes each block's merge from its channels, and is passed to the block; ``None`` leaves
        the block its own, which is addition.

    Raises
    ------
    ValueError: an architecture that names an unknown block, or any argument out of its range.
    """

    @skip_init()
    def __init__(
        self,
        architecture: Architecture,
        shortcut: Shortcut = "B",
        residual: bool = True,
        in_channels: int = 3,
        num_classes: int = 1000,
        seed: int | None = None,
        block: Callable[..., nn.Module] | None = None,
        merge: Callable[[int], nn.Module] | None = None,
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
        final_norm = getattr(make, "final_norm", False)
        normalized = getattr(make, "normalized", True)
        super().__init__()
        channels = architecture.stem_channels
        stem = OrderedDict[str, nn.Module](
            conv=Conv2d(in_channels, channels, architecture.stem_kernel, architecture.stem_stride)
        )
        if not final_norm:
            if normalized:
                stem["norm"] = BatchNorm2d(channels)
            stem["relu"] = nn.ReLU()
        if architecture.stem_pool:
            stem["pool"] = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        stages = []
        for stage in architecture.stages:
            blocks = []
            for i in range(stage.blocks):
                stride = stage.stride if i == 0 else 1
                blocks.append(make(channels, stage.out_channels, stride=stride, **options))
                channels = stage.out_channels
            stages.append(nn.Sequential(*blocks))
        self.stem = nn.Sequential(stem)
        self.stages = nn.Sequential(*stages)
        head = OrderedDict[str, nn.Module]()
        if final_norm:
            head["norm"], head["relu"] = BatchNorm2d(channels), nn.ReLU()
        head["pool"], head["dense"] = GlobalAveragePool(), Dense(channels, num_classes)
        self.head = nn.Sequential(head)
        weights.initialize(self, resolve_seed(seed), "he" if normalized else "fixup")

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x)))


def _block_class(
    architecture: Architecture, block: Callable[..., nn.Module] | None
) -> Callable[..., nn.Module]:
    """Return the class of the blocks: the given one, or that which the architecture names."""
    if block is None:
        return BLOCKS[_checks.option("architecture.block", architecture.block, tuple(BLOCKS))]
    if not callable(block):
        raise ValueError(f"block must be a class of blocks or None, got {block!r}")
    return block


def build_sequential(parts: OrderedDict[str, Any], seed: int | None) -> nn.Sequential:
    """Return the parts in a row, with fresh weights; ``None`` draws a seed from PyTorch."""
    model = nn.Sequential(parts)
    weights.initialize(model, resolve_seed(seed))
    return model


def resolve_seed(seed: int | None) -> int:
    """Return the seed, or one from PyTorch's generator."""
    return int(torch.randint(2**31, (), device="cpu")) if seed is None else seed

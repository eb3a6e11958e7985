"""U-Net with residual blocks: long skips across the levels, shortcuts inside them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import nn

from companion import _checks
from companion.torch._tracing import traced_as_leaf
from companion.torch.blocks import BasicBlock
from companion.torch.layers import BatchNorm2d, Conv2d, skip_init
from companion.torch.merges import Concatenate
from companion.torch.residual import Residual
from companion.torch.resnet import build_sequential


@skip_init()
def residual_unet(
    in_channels: int = 1,
    num_classes: int = 2,
    levels: int = 2,
    channels: int = 16,
    blocks: int = 1,
    residual: bool = True,
    long_skips: bool = True,
    seed: int | None = None,
) -> nn.Sequential:
    """Return a U-Net of residual blocks: an image to logits per pixel, (N, num_classes, H, W).

    Ronneberger et al. 2015, arXiv 1505.04597. A long skip is itself a ``Residual``, around
    everything that happens at half the resolution, with concatenation as its merge.

    Parameters
    ----------
    in_channels, num_classes: of pixels.
    levels: how often the image is halved, default 2; 2^levels must divide H and W.
    channels: at full resolution, default 16, doubled at each level.
    blocks: residual blocks on each side of each level, default 1.
    residual: ``False`` takes the shortcuts inside the blocks away.
    long_skips: ``False`` takes those between the two sides away.
    seed: of the initial weights, the same in both frameworks; ``None`` draws one.

    Raises
    ------
    ValueError: any argument out of its range; at a call, sides that 2^levels does not divide.
    """
    seed = _checks.seed(seed)
    levels = _checks.positive_int("levels", levels)
    blocks = _checks.positive_int("blocks", blocks)
    _checks.boolean("long_skips", long_skips)

    def side(wide: int, narrow: int) -> nn.Sequential:
        first = BasicBlock(wide, narrow, residual=residual)
        others = [BasicBlock(narrow, narrow, residual=residual) for _ in range(blocks - 1)]
        return nn.Sequential(first, *others)

    def level(left: int, width: int) -> nn.Module:
        if left == 0:
            return side(width, width)
        below = OrderedDict(
            down=BasicBlock(width, 2 * width, stride=2, residual=residual),
            level=level(left - 1, 2 * width),
            up=nn.Upsample(scale_factor=2),
            conv=Conv2d(2 * width, width),
            norm=BatchNorm2d(width),
            relu=nn.ReLU(),
        )
        across: Any = "identity" if long_skips else None
        return nn.Sequential(
            OrderedDict(
                left=side(width, width),
                across=Residual(nn.Sequential(below), across, merge=Concatenate()),
                right=side(2 * width if long_skips else width, width),
            )
        )

    return build_sequential(
        OrderedDict(
            check=Divisible(2**levels),
            stem=Conv2d(in_channels, channels),
            norm=BatchNorm2d(channels),
            relu=nn.ReLU(),
            level=level(levels, channels),
            conv=Conv2d(channels, num_classes, kernel_size=1),
        ),
        seed,
    )


class Divisible(nn.Module):
    """Hand the image on; raise a ValueError unless ``factor`` divides height and width."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = _checks.positive_int("factor", factor)

    def extra_repr(self) -> str:
        return f"{self.factor}"

    @traced_as_leaf
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _checks.rank("x", x.shape, 4, "(N, C, H, W)")
        _checks.divisible("x", x.shape[2:], self.factor)
        return x

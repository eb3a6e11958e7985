"""More networks for images: U-Net, DnCNN, DenseNet."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import nn

from companion import _checks
from companion.torch.blocks import BasicBlock
from companion.torch.layers import BatchNorm2d, Conv2d, Dense, GlobalAveragePool
from companion.torch.merges import Concatenate, Subtract
from companion.torch.networks import started
from companion.torch.residual import Residual
from companion.torch.variants import DenseLayer


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

    return started(
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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _checks.rank("x", x.shape, 4, "(N, C, H, W)")
        _checks.divisible("x", x.shape[2:], self.factor)
        return x


def dncnn(
    depth: int = 17,
    channels: int = 64,
    in_channels: int = 1,
    norm: bool = True,
    residual: bool = True,
    seed: int | None = None,
) -> nn.Sequential:
    """Return DnCNN: a noisy image to a clean one, (N, in_channels, H, W) both.

    Zhang et al. 2017, arXiv 1608.03981, section III: the branch predicts the noise and the merge
    subtracts it. (The paper's first and last layers have biases; none has here.)

    Parameters
    ----------
    depth: convolutions, at least 2, default 17. channels: of the hidden layers, default 64.
    in_channels: of the image, default 1.
    norm: whether batch norms follow the convolutions between, default True.
    residual: ``False`` gives the control that predicts the clean image directly.
    seed: of the initial weights, the same in both frameworks; ``None`` draws one.

    Raises
    ------
    ValueError: any argument out of its range.
    """
    depth = _checks.positive_int("depth", depth, minimum=2)
    _checks.boolean("norm", norm)
    seed = _checks.seed(seed)
    branch = OrderedDict[str, nn.Module](conv1=Conv2d(in_channels, channels), relu1=nn.ReLU())
    for i in range(2, depth):
        branch[f"conv{i}"] = Conv2d(channels, channels)
        if norm:
            branch[f"norm{i}"] = BatchNorm2d(channels)
        branch[f"relu{i}"] = nn.ReLU()
    branch[f"conv{depth}"] = Conv2d(channels, in_channels)
    shortcut: Any = "identity" if _checks.boolean("residual", residual) else None
    whole = Residual(nn.Sequential(branch), shortcut, merge=Subtract())
    return started(OrderedDict(whole=whole), seed)


def densenet_cifar(
    depth: int = 100,
    growth: int = 12,
    in_channels: int = 3,
    num_classes: int = 10,
    seed: int | None = None,
) -> nn.Sequential:
    """Return DenseNet-BC for small images (Huang et al. 2017, arXiv 1608.06993, section 3).

    (N, in_channels, H, W) to logits (N, num_classes). Channels are halved between its three stages.

    Parameters
    ----------
    depth: 6n+4: 10, 16, ..., 100, two convolutions a layer. growth: channels a layer, default 12.
    in_channels, num_classes: of images and of labels.
    seed: of the initial weights, the same in both frameworks; ``None`` draws one.

    Raises
    ------
    ValueError: a depth that is not 6n+4, or any argument out of its range.
    """
    layers_per_stage = _checks.depth(depth, 6, 4)
    growth = _checks.positive_int("growth", growth)
    seed = _checks.seed(seed)
    channels = 2 * growth
    parts = OrderedDict[str, nn.Module](stem=Conv2d(in_channels, channels))
    for i in range(3):
        if i > 0:
            parts[f"narrow{i}"] = nn.Sequential(
                OrderedDict(
                    norm=BatchNorm2d(channels),
                    relu=nn.ReLU(),
                    conv=Conv2d(channels, channels // 2, kernel_size=1),
                    pool=nn.AvgPool2d(2),
                )
            )
            channels //= 2
        layers = [DenseLayer(channels + j * growth, growth) for j in range(layers_per_stage)]
        parts[f"stage{i}"] = nn.Sequential(*layers)
        channels += len(layers) * growth
    parts["norm"], parts["relu"] = BatchNorm2d(channels), nn.ReLU()
    parts["pool"], parts["dense"] = GlobalAveragePool(), Dense(channels, num_classes)
    return started(parts, seed)

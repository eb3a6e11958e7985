"""DenseNet: concatenation instead of addition."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from companion import _checks
from companion.torch.layers import BatchNorm2d, Conv2d, Dense, GlobalAveragePool, skip_init
from companion.torch.merges import Concatenate
from companion.torch.residual import Residual
from companion.torch.resnet import build_sequential


@skip_init()
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
    return build_sequential(parts, seed)


class DenseLayer(Residual):
    """BN-ReLU-1x1-BN-ReLU-3x3, its output beside its input (DenseNet-B, arXiv 1608.06993).

    (N, in_channels, H, W) to (N, in_channels + growth, H, W). Not a residual connection: it
    concatenates, and there is no plain control of the same shape.

    Parameters
    ----------
    in_channels: of the stream so far.
    growth: channels that this layer adds, default 12; the 1x1 has four times as many.

    Raises
    ------
    ValueError: an argument below 1.
    """

    def __init__(self, in_channels: int, growth: int = 12) -> None:
        growth = _checks.positive_int("growth", growth)
        branch = nn.Sequential(
            OrderedDict(
                norm1=BatchNorm2d(in_channels),
                relu1=nn.ReLU(),
                conv1=Conv2d(in_channels, 4 * growth, kernel_size=1),
                norm2=BatchNorm2d(4 * growth),
                relu2=nn.ReLU(),
                conv2=Conv2d(4 * growth, growth, kernel_size=3),
            )
        )
        super().__init__(branch, merge=Concatenate())

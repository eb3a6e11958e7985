"""DnCNN: one shortcut around a whole network that predicts noise."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import nn

from companion import _checks
from companion.torch.layers import BatchNorm2d, Conv2d, skip_init
from companion.torch.merges import Subtract
from companion.torch.residual import Residual
from companion.torch.resnet import build_sequential


@skip_init()
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
    return build_sequential(OrderedDict(whole=whole), seed)

"""More branches for the same equation: pre-activation, squeezed, separable, dense."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from companion import _checks
from companion.torch.blocks import BottleneckBlock
from companion.torch.layers import BatchNorm2d, Conv2d, Dense
from companion.torch.merges import Concatenate, ScaledAdd
from companion.torch.residual import Residual
from companion.torch.shortcuts import shortcut as make_shortcut


class PreActivationBlock(Residual):
    """BN, ReLU, conv, twice; nothing after the sum (He et al. 2016, arXiv 1603.05027, fig. 4e).

    (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)). With the
    identity as its shortcut the stream is carried from block to block untouched.
    A projection has no batch norm and reads the raw stream. (The authors' code gives it the first
    BN and ReLU of the branch; the number of parameters is the same.)

    Parameters
    ----------
    in_channels, out_channels: of the block.
    stride: of the first convolution and of the shortcut, default 1.
    shortcut: option ``"A"`` (default), ``"B"`` or ``"C"``, see :func:`shortcut`.
    residual: ``False`` gives the plain control, the same branch without a shortcut.

    Raises
    ------
    ValueError: any argument out of its range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: str = "A",
        residual: bool = True,
    ) -> None:
        branch = nn.Sequential(
            OrderedDict(
                norm1=BatchNorm2d(in_channels),
                relu1=nn.ReLU(),
                conv1=Conv2d(in_channels, out_channels, kernel_size=3, stride=stride),
                norm2=BatchNorm2d(out_channels),
                relu2=nn.ReLU(),
                conv2=Conv2d(out_channels, out_channels, kernel_size=3),
            )
        )
        carry = make_shortcut(shortcut, in_channels, out_channels, stride, norm=False)
        residual = _checks.boolean("residual", residual)
        super().__init__(branch, carry if residual else None)


class PreActivationBottleneckBlock(Residual):
    """The bottleneck with BN and ReLU before each convolution (arXiv 1603.05027, section 4).

    (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)). Arguments and
    errors are those of :class:`PreActivationBlock`; four must divide ``out_channels``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: str = "A",
        residual: bool = True,
    ) -> None:
        width = _checks.multiple_of("out_channels", out_channels, 4) // 4
        branch = nn.Sequential(
            OrderedDict(
                norm1=BatchNorm2d(in_channels),
                relu1=nn.ReLU(),
                conv1=Conv2d(in_channels, width, kernel_size=1),
                norm2=BatchNorm2d(width),
                relu2=nn.ReLU(),
                conv2=Conv2d(width, width, kernel_size=3, stride=stride),
                norm3=BatchNorm2d(width),
                relu3=nn.ReLU(),
                conv3=Conv2d(width, out_channels, kernel_size=1),
            )
        )
        carry = make_shortcut(shortcut, in_channels, out_channels, stride, norm=False)
        residual = _checks.boolean("residual", residual)
        super().__init__(branch, carry if residual else None)


class SqueezeExcitation(nn.Module):
    """x * s, s = sigmoid(W2 relu(W1 mean(x))): each channel weighed by what all of them hold.

    Hu et al. 2018, arXiv 1709.01507, eq. 2 to 4. (N, C, H, W) to the same shape.

    Parameters
    ----------
    channels: of the input.
    reduction: channels over the hidden units, default 16; at least one unit is kept.

    Raises
    ------
    ValueError: an argument below 1.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        channels = _checks.positive_int("channels", channels)
        hidden = max(1, channels // _checks.positive_int("reduction", reduction))
        self.squeeze = Dense(channels, hidden)
        self.excite = Dense(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.squeeze(x.mean(dim=(2, 3))))
        return x * torch.sigmoid(self.excite(hidden))[:, :, None, None]


class SEBottleneckBlock(BottleneckBlock):
    """A bottleneck whose branch ends in :class:`SqueezeExcitation` (arXiv 1709.01507, fig. 3)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: str = "B",
        residual: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, stride, shortcut, residual)
        self.branch.add_module("squeeze", SqueezeExcitation(out_channels))


class SeparableBlock(Residual):
    """Two depthwise separable convolutions: each channel by itself, then 1x1 across them.

    Chollet 2017, arXiv 1610.02357. A 3x3 convolution of C to C channels has 9 C^2 weights, this
    one 9 C + C^2. (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).
    Arguments and errors are those of :class:`BottleneckBlock`, without the divisor.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: str = "B",
        residual: bool = True,
    ) -> None:
        branch = nn.Sequential(
            OrderedDict(
                depth1=Conv2d(in_channels, in_channels, 3, stride, groups=in_channels),
                point1=Conv2d(in_channels, out_channels, kernel_size=1),
                norm1=BatchNorm2d(out_channels),
                relu1=nn.ReLU(),
                depth2=Conv2d(out_channels, out_channels, 3, groups=out_channels),
                point2=Conv2d(out_channels, out_channels, kernel_size=1),
                norm2=BatchNorm2d(out_channels),
            )
        )
        carry = make_shortcut(shortcut, in_channels, out_channels, stride)
        residual = _checks.boolean("residual", residual)
        super().__init__(branch, carry if residual else None, activation=nn.ReLU())


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


class Bias(nn.Module):
    """x plus one learned number, from zero (Fixup, arXiv 1901.09321, section 3, rule 3)."""

    own_parameters = ("bias",)

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


class FixupBlock(Residual):
    """A basic block without norms: scalar biases, one scalar multiplier (arXiv 1901.09321, fig. 1).

    (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)). The name is
    honest only with ``weights.initialise(model, seed, "fixup")``, which :func:`fixup_resnet` calls.
    Arguments and errors are those of :class:`PreActivationBlock`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: str = "A",
        residual: bool = True,
    ) -> None:
        branch = nn.Sequential(
            OrderedDict(
                bias1=Bias(),
                conv1=Conv2d(in_channels, out_channels, kernel_size=3, stride=stride),
                bias2=Bias(),
                relu1=nn.ReLU(),
                bias3=Bias(),
                conv2=Conv2d(out_channels, out_channels, kernel_size=3),
            )
        )
        carry = make_shortcut(shortcut, in_channels, out_channels, stride, norm=False)
        residual = _checks.boolean("residual", residual)
        after = nn.Sequential(OrderedDict(bias=Bias(), relu=nn.ReLU()))
        super().__init__(branch, carry if residual else None, ScaledAdd(1.0), after)

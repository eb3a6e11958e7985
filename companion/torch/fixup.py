"""Fixup: a residual block without norms."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from companion import _checks
from companion.torch.layers import Conv2d
from companion.torch.merges import ScaledAdd
from companion.torch.residual import Residual
from companion.torch.shortcuts import shortcut as make_shortcut


class ScalarBias(nn.Module):
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
    honest only with ``weights.initialize(model, seed, "fixup")``, which :func:`fixup_resnet` calls.
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
                bias1=ScalarBias(),
                conv1=Conv2d(in_channels, out_channels, kernel_size=3, stride=stride),
                bias2=ScalarBias(),
                relu1=nn.ReLU(),
                bias3=ScalarBias(),
                conv2=Conv2d(out_channels, out_channels, kernel_size=3),
            )
        )
        carry = make_shortcut(shortcut, in_channels, out_channels, stride, norm=False)
        residual = _checks.boolean("residual", residual)
        after = nn.Sequential(OrderedDict(bias=ScalarBias(), relu=nn.ReLU()))
        super().__init__(branch, carry if residual else None, ScaledAdd(1.0), after)

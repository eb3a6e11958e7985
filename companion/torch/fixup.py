"""Fixup: a residual block without norms."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from companion import _checks
from companion.torch.layers import Conv2d
from companion.torch.merges import make_merge
from companion.torch.residual import Residual
from companion.torch.shortcuts import Shortcut
from companion.torch.shortcuts import shortcut as make_shortcut


class ScalarBias(nn.Module):
    """x plus one learned number, from 0 (Fixup, arXiv 1901.09321, section 3, rule 3)."""

    own_parameters = ("bias",)

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


class ScalarScale(nn.Module):
    """x times one learned number, from 1 (Fixup, arXiv 1901.09321, section 3, rule 3)."""

    own_parameters = ("scale",)

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.ones_(self.scale)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x


class FixupBlock(Residual):
    """A basic block without norms: scalar biases, one scalar multiplier (arXiv 1901.09321, fig. 1).

    (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)). It is Fixup
    only after ``weights.initialize(model, seed, "fixup")``, which :func:`fixup_resnet` calls.
    Arguments and errors are those of :class:`PreActivationBlock`.
    """

    normalized = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: Shortcut = "B",
        residual: bool = True,
        merge: Callable[[int], nn.Module] | None = None,
    ) -> None:
        branch = nn.Sequential(
            OrderedDict(
                bias1=ScalarBias(),
                conv1=Conv2d(in_channels, out_channels, kernel_size=3, stride=stride),
                bias2=ScalarBias(),
                relu1=nn.ReLU(),
                bias3=ScalarBias(),
                conv2=Conv2d(out_channels, out_channels, kernel_size=3),
                scale=ScalarScale(),
            )
        )
        carry = make_shortcut(shortcut, in_channels, out_channels, stride, norm=False)
        residual = _checks.boolean("residual", residual)
        joined = make_merge(merge, out_channels)
        after = nn.Sequential(OrderedDict(bias=ScalarBias(), relu=nn.ReLU()))
        super().__init__(branch, carry if residual else None, joined, activation=after)

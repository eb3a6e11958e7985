"""Attention over depth: each block reads all earlier outputs.

The state is (N, T, L, C): the outputs of all L earlier blocks. A block reads one vector from them
for its branch and appends the branch's output:

    y = append(x, branch(read(x)))
"""

from __future__ import annotations

from typing import Any

import torch
import torch.fx
from torch import Tensor, nn

from companion import _checks
from companion.torch._tracing import traced_as_leaf
from companion.torch.hyper_connections import rms_norm
from companion.torch.residual import Residual

torch.fx.wrap("rms_norm")


class DepthPooling(nn.Module):
    """softmax over depth of w . norm(v_i), times v_i (arXiv 2603.15031): (N, T, L, C) to (N, T, C).

    w starts at zero: the mean of all earlier outputs, which is the plain residual stream divided
    by its number of terms.
    """

    own_parameters = ("query",)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = _checks.positive_int("channels", channels)
        self.query = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.query)

    def extra_repr(self) -> str:
        return f"{self.channels}"

    def forward(self, x: Tensor) -> Tensor:
        weights = (rms_norm(x) @ self.query).softmax(dim=2)  # (N, T, L)
        return (weights.unsqueeze(3) * x).sum(dim=2)


class Append(nn.Module):
    """Shortcut (N, T, L, C) and branch (N, T, C) to (N, T, L + 1, C): every output is kept.

    Raises
    ------
    ValueError: shapes that differ on another axis than that of depth.
    """

    @traced_as_leaf
    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        branch = branch.unsqueeze(2)
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape, except_axis=2)
        return torch.cat([shortcut, branch], dim=2)


class DepthAttentionBlock(Residual):
    """The branch reads all earlier outputs by attention; its own is appended (arXiv 2603.15031).

    (N, T, L, channels) to (N, T, L + 1, channels); :class:`ExpandStreams` of one stream before the
    first, :class:`DepthPooling` after the last.

    Parameters
    ----------
    branch: maps (N, T, channels) to the same shape; further inputs of a call go to it.
    channels: of the stream.

    Raises
    ------
    ValueError: fewer than one channel.
    """

    shortcut: nn.Module
    merge: nn.Module

    def __init__(self, branch: nn.Module, channels: int) -> None:
        super().__init__(branch, merge=Append())
        self.read = DepthPooling(channels)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return self.merge(self.shortcut(x), self.run_branch(self.read(x), args, kwargs))

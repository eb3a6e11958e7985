"""Attention over depth: each block reads all earlier outputs."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from companion import _checks
from companion.torch.hyper_connections import rms_norm
from companion.torch.residual import Residual


class DepthPooling(nn.Module):
    """softmax over depth of w . norm(v_i), times v_i (arXiv 2603.15031): (N, T, L, C) to (N, T, C).

    w starts at zero: the mean of all earlier outputs, which is the plain residual stream divided
    by its number of terms.
    """

    own_parameters = ("query",)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(_checks.positive_int("channels", channels)))

    def forward(self, x: Tensor) -> Tensor:
        weights = (rms_norm(x) @ self.query).softmax(dim=2)  # (N, T, L)
        return (weights.unsqueeze(3) * x).sum(dim=2)


class Append(nn.Module):
    """Shortcut (N, T, L, C) and branch (N, T, C) to (N, T, L + 1, C): every output is kept."""

    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        branch = branch.unsqueeze(2)
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape, except_axis=2)
        return torch.cat([shortcut, branch], dim=2)


class DepthAttentionBlock(Residual):
    """The branch reads all earlier outputs by attention; its own is appended (arXiv 2603.15031).

    (N, T, L, channels) to (N, T, L + 1, channels); :class:`ExpandStreams` of one stream before the first,
    :class:`DepthPooling` after the last.

    Parameters
    ----------
    branch: maps (N, T, channels) to the same shape.
    channels: of the stream.
    """

    def __init__(self, branch: nn.Module, channels: int) -> None:
        reading = OrderedDict(attend=DepthPooling(channels), inner=branch)
        super().__init__(nn.Sequential(reading), merge=Append())

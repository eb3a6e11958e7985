"""Merges: how shortcut and branch become one stream again."""

from __future__ import annotations

from torch import Tensor, nn

from companion import _checks


class Add(nn.Module):
    """shortcut + branch (He et al. 2015, eq. 1), never broadcast.

    Raises
    ------
    ValueError: the two shapes differ.
    """

    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.same_shape(shortcut.shape, branch.shape)
        return shortcut + branch

"""The one place where a stream splits and joins."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from companion.torch.merges import Add
from companion.torch.shortcuts import Identity


class Residual(nn.Module):
    """y = activation(merge(shortcut(x), branch(x)))  (He et al. 2015, eq. 1 and 2).

    Parameters
    ----------
    branch: what the block computes, F(x).
    shortcut: what carries x past the branch, default ``"identity"``. ``None`` is the plain control:
        no shortcut, no merge, y = activation(branch(x)).
    merge: called as ``merge(shortcut, branch)``; ``None`` means addition.
    activation: after the merge; ``None`` means none.

    Raises
    ------
    ValueError: a branch that writes over its own input. The shortcut would then carry the
        overwritten values, and nothing else would tell.

    Examples
    --------
    >>> import torch
    >>> double = Residual(branch=torch.nn.Identity())
    >>> double(torch.ones(2)).tolist()
    [2.0, 2.0]
    """

    def __init__(
        self,
        branch: nn.Module,
        shortcut: nn.Module | Literal["identity"] | None = "identity",
        merge: nn.Module | None = None,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if shortcut is not None:
            _refuse_in_place(branch)
        self.branch = branch
        self.shortcut = Identity() if shortcut == "identity" else shortcut
        self.merge = Add() if merge is None else merge
        self.activation = Identity() if activation is None else activation

    def forward(self, x: Tensor) -> Tensor:
        if self.shortcut is None:
            return self.activation(self.branch(x))
        before = _version(x)
        branch = self.branch(x)
        if _version(x) != before:
            raise ValueError(_IN_PLACE)
        return self.activation(self.merge(self.shortcut(x), branch))


_IN_PLACE = (
    "branch must not change its input in place, got a branch that does: the shortcut would carry "
    "the changed values; use inplace=False in its first operation"
)


def _refuse_in_place(branch: nn.Module) -> None:
    """Raise where the branch's first operation is declared to work in place."""
    first = branch
    while isinstance(first, nn.Sequential) and len(first):
        # An identity hands on its very input, so what follows it still comes first.
        first = next((m for m in first if not isinstance(m, nn.Identity)), first[0])
    if getattr(first, "inplace", False):
        raise ValueError(_IN_PLACE)


def _version(x: Tensor) -> int:
    # Compilers trace and inference tensors keep no count; both are checked at construction.
    if torch.compiler.is_compiling() or x.is_inference():
        return 0
    return x._version

"""The one place where a stream splits and joins."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.fx
from torch import Tensor, nn

from companion.torch.merges import Add
from companion.torch.shortcuts import Identity


class Residual(nn.Module):
    """y = activation(merge(shortcut(u), branch(u))) with u = preactivation(x).

    He et al. 2015, arXiv 1512.03385, eq. 1 and 2; He et al. 2016, arXiv 1603.05027, eq. 1 and 2.

    Parameters
    ----------
    branch: what the block computes, F(u). Further inputs of a call go to the branch alone, as an
        attention's key, value and mask. Where it returns a tuple, as ``nn.MultiheadAttention`` and
        ``nn.LSTM`` do, the first entry is merged and the others are dropped.
    shortcut: what carries u past the branch, default ``"identity"``. ``None`` is the plain control:
        no shortcut, no merge (``merge`` is dropped), y = activation(branch(u)).
    merge: called as ``merge(shortcut, branch)``; ``None`` means addition.
    activation: after the merge; ``None`` means none.
    preactivation: before the split, shared by shortcut and branch; ``None`` means none, u = x.

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
        preactivation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if shortcut is not None:
            _refuse_in_place(branch)
        self.preactivation = Identity() if preactivation is None else preactivation
        self.branch = branch
        self.shortcut = Identity() if shortcut == "identity" else shortcut
        self.merge = None if shortcut is None else Add() if merge is None else merge
        self.activation = Identity() if activation is None else activation

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        u = self.preactivation(x)
        before = _version(u)
        branch = self.run_branch(u, args, kwargs)
        if self.shortcut is None or self.merge is None:
            return self.activation(branch)
        if _version(u) != before:
            raise ValueError(_IN_PLACE)
        return self.activation(self.merge(self.shortcut(u), branch))

    def run_branch(self, u: Tensor, args: Any, kwargs: Any) -> Tensor:
        """Return what is merged: the branch's output, or the first of several."""
        if isinstance(args, torch.fx.Proxy):  # all further inputs of a block traced by itself
            args, kwargs = (), {}
        return first_output(self.branch(u, *args, **kwargs))


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
    # Compilers trace, and inference tensors and torch.fx's stand-ins keep no count: for all of them
    # the check at construction has to do.
    if torch.compiler.is_compiling() or isinstance(x, torch.fx.Proxy) or x.is_inference():
        return 0
    return x._version


@torch.fx.wrap  # what a branch returned is known only when the traced network runs
def first_output(output: Any) -> Any:
    """Return the first of several outputs, or the only one."""
    return output[0] if isinstance(output, tuple) else output

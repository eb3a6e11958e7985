"""The one place where a stream splits and joins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.fx
from torch import Tensor, nn

from companion.torch._tracing import in_transform
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
    ValueError: a branch that writes over its own input, or another part that does. The shortcut
        would then carry the overwritten values, and nothing else would tell. PyTorch's counter of
        what is written in place tells here, in training and inference, ``torch.inference_mode``,
        ``torch.export`` and ``torch.fx`` alike. It does not see what goes past it, as ``x.data``.
        Within ``torch.compile``, strict export and the transforms of ``torch.func``, where there
        is no counter, branch and shortcut get copies, so that the result is the right one;
        compilers leave out those not needed.

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
        if self.shortcut is None or self.merge is None:
            return self.join(u, lambda u: self.run_branch(u, args, kwargs))
        u = counted(u)
        before = writes(u)

        def branch(given: Tensor) -> Tensor:
            return unwritten(self.run_branch(own(given), args, kwargs), u, before, _BRANCH)

        return unwritten(self.join(own(u), branch), u, before, _OTHER)

    def join(self, u: Tensor, branch: Callable[[Tensor], Tensor]) -> Tensor:
        """Return y; ``branch`` is F, with the further inputs of the call and one output."""
        y = branch(u)
        if self.shortcut is None or self.merge is None:
            return self.activation(y)
        return self.activation(self.merge(self.shortcut(u), y))

    def run_branch(self, u: Tensor, args: Any, kwargs: Any) -> Tensor:
        """Return what is merged: the branch's output, or the first of several."""
        if isinstance(args, torch.fx.Proxy):  # all further inputs of a block traced by itself
            args, kwargs = (), {}
        return first_output(self.branch(u, *args, **kwargs))


_BRANCH = (
    "branch must not change its input in place, got a branch that does: the shortcut would carry "
    "the changed values; use inplace=False in its first operation"
)
_OTHER = (
    "shortcut, merge and activation must not change the block's input in place, got one that does: "
    "whatever else reads it would see the changed values; use inplace=False"
)


def _refuse_in_place(branch: nn.Module) -> None:
    """Raise where the branch's first operation is declared to work in place."""
    first = branch
    while isinstance(first, nn.Sequential) and len(first):
        # An identity hands on its very input, so what follows it still comes first.
        first = next((m for m in first if not isinstance(m, nn.Identity)), first[0])
    if getattr(first, "inplace", False):
        raise ValueError(_BRANCH)


@torch.fx.wrap
def counted(u: Tensor) -> Tensor:
    """Return u; or u's memory as another tensor, where inference mode made one that counts nothing.

    No values are copied.
    """
    if torch.compiler.is_dynamo_compiling() or not u.is_inference():
        return u
    with torch.inference_mode(False):
        same = torch.empty(0, dtype=u.dtype, device=u.device)
        return same.set_(u.untyped_storage(), u.storage_offset(), u.size(), u.stride())


@torch.fx.wrap
def own(u: Tensor) -> Tensor:
    """Return u itself, or while compiling and in ``torch.vmap``, when nothing counts, a copy."""
    return u.clone() if torch.compiler.is_dynamo_compiling() or in_transform() else u


@torch.fx.wrap  # counted when the traced network runs
def writes(x: Tensor) -> int:
    """Return how often x was written over in place."""
    return 0 if torch.compiler.is_dynamo_compiling() else x._version


@torch.fx.wrap
def unwritten(result: Tensor, x: Tensor, before: int, message: str) -> Tensor:
    """Return the result; raise a ValueError if x was written over since."""
    if writes(x) != before:
        raise ValueError(message)
    return result


@torch.fx.wrap  # what a branch returned is known only when the traced network runs
def first_output(output: Any) -> Any:
    """Return the first of several outputs, or the only one."""
    return output[0] if isinstance(output, tuple) else output

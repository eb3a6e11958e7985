"""Norms folded into the convolutions before them, and sums and ReLUs that write over them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized

from companion import _checks
from companion.torch.layers import BatchNorm2d, Conv2d
from companion.torch.merges import Add
from companion.torch.residual import Residual


def fold(model: nn.Module, overwrite: bool = True) -> None:
    """Fold the model's norms, in place; let sums and ReLUs write over what no other part reads."""
    # A layer in two places has two neighbours; folding one would change the other.
    places = Counter(id(m) for _, m in model.named_modules(remove_duplicate=False))
    for row in list(model.modules()):
        if isinstance(row, nn.Sequential) and type(row).forward is nn.Sequential.forward:
            _fold(row, places, overwrite)
    if overwrite:
        for block in model.modules():
            if isinstance(block, Residual):
                _overwrite(block, places)


class InPlaceAdd(Add):
    """The sum, written over the branch, which nothing reads afterwards.

    Raises
    ------
    ValueError: the two shapes differ.
    """

    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        return branch.add_(shortcut)


#: Calls whose result is known: a new tensor, and per channel a product and a sum.
_CONVOLUTIONS = (nn.Conv2d.forward, Conv2d.forward)
_NORMS = (nn.BatchNorm2d.forward, BatchNorm2d.forward)


def is_convolution(module: nn.Module) -> bool:
    """Whether the module is a convolution that nothing changes."""
    kind: Any = type(module)
    known = kind.forward in _CONVOLUTIONS and kind._conv_forward is nn.Conv2d._conv_forward
    return known and untouched(module)


def _is_norm(module: nn.Module) -> bool:
    known = type(module).forward in _NORMS and untouched(module)
    return known and getattr(module, "running_mean", None) is not None


def untouched(module: nn.Module) -> bool:
    """Whether no hook and no parametrization changes what the module computes."""
    hooked = module._forward_hooks or module._forward_pre_hooks
    return not hooked and not is_parametrized(module)


def _fold(row: nn.Sequential, places: Counter[int], overwrite: bool) -> None:
    """Fold the norms of a row into the convolutions before them, and let ReLUs work in place."""
    before = ""  # the convolution whose output comes in
    for name, part in list(row.named_children()):
        once = places[id(part)] == 1
        if before and once and _is_norm(part):
            conv: Any = row.get_submodule(before)
            fused = fuse_conv_bn_eval(conv, part)  # type: ignore[arg-type]
            setattr(row, before, fused)
            setattr(row, name, nn.Identity())
            places[id(fused)] = 1
        elif before and once and type(part) is nn.ReLU and untouched(part):
            part.inplace = overwrite
            before = ""
        else:
            before = name if once and is_convolution(part) else ""


def _overwrite(block: Residual, places: Counter[int]) -> None:
    """Let sum and ReLU of a block write over what the branch's last convolution made."""
    last: Any = block.branch
    while type(last).forward is nn.Sequential.forward and len(last):
        last = next((m for m in reversed(last) if type(m) is not nn.Identity), last[0])
    merge, activation = block.merge, block.activation
    added = block.shortcut is not None and type(merge) is Add and untouched(merge)
    fresh = is_convolution(last)
    if type(block).forward is not Residual.forward or not (added or block.shortcut is None):
        return
    if added and fresh:
        block.merge = InPlaceAdd()
    # A sum is a new tensor; without a shortcut the activation reads what the branch returned.
    once = places[id(activation)] == 1 and type(activation) is nn.ReLU and untouched(activation)
    if once and (added or fresh):
        activation.inplace = True  # type: ignore[assignment]

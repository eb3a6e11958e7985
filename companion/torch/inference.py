"""A network made ready to be used and not to be trained: the same outputs in less time."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized

from companion import _checks
from companion.torch.layers import BatchNorm2d, Conv2d
from companion.torch.merges import Add
from companion.torch.residual import Residual


def optimize_for_inference(model: nn.Module) -> nn.Module:
    """Return a copy of an image network that answers faster, for inference only.

    A batch norm that directly follows a convolution is folded into its weights; weights and
    activations lie in memory with channels last; additions and ReLUs write over the convolution
    before them. Outputs agree to 1e-5 of the largest. The book's page on costs has the times.

    Parameters
    ----------
    model: stays as it is, and keeps its mode. Norms before a convolution, as in pre-activation,
        cannot be folded and stay in the copy. Layers with hooks or parametrizations are not
        touched; hooks elsewhere would see values that are overwritten later, and so would a
        ``forward`` that calls the parts of a ``Sequential`` one by one and keeps what they return.

    Returns
    -------
    A module in inference mode that wants no gradients, for :func:`predict`, :func:`evaluate` and
    for calls.

    Raises
    ------
    ValueError: a model that is not a PyTorch module, or that ``torch.compile`` or ``torch.jit``
        returned.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if isinstance(model, torch.jit.ScriptModule) or hasattr(model, "_orig_mod"):
        raise ValueError("model must be neither compiled nor scripted, got one that is")
    result = copy.deepcopy(model).eval().requires_grad_(False)
    # A layer in two places has two neighbours; folding one would change the other.
    places = Counter(id(m) for _, m in result.named_modules(remove_duplicate=False))
    for row in list(result.modules()):
        if isinstance(row, nn.Sequential) and type(row).forward is nn.Sequential.forward:
            _fold(row, places)
    for block in result.modules():
        if isinstance(block, Residual):
            _overwrite(block, places)
    return result.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


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


def _is_convolution(module: nn.Module) -> bool:
    kind: Any = type(module)
    known = kind.forward in _CONVOLUTIONS and kind._conv_forward is nn.Conv2d._conv_forward
    return known and _untouched(module)


def _is_norm(module: nn.Module) -> bool:
    known = type(module).forward in _NORMS and _untouched(module)
    return known and getattr(module, "running_mean", None) is not None


def _untouched(module: nn.Module) -> bool:
    """Whether no hook and no parametrization changes what the module computes."""
    hooked = module._forward_hooks or module._forward_pre_hooks
    return not hooked and not is_parametrized(module)


def _fold(row: nn.Sequential, places: Counter[int]) -> None:
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
        elif before and once and type(part) is nn.ReLU and _untouched(part):
            part.inplace = True
            before = ""
        else:
            before = name if once and _is_convolution(part) else ""


def _overwrite(block: Residual, places: Counter[int]) -> None:
    """Let sum and ReLU of a block write over what the branch's last convolution made."""
    last: Any = block.branch
    while type(last).forward is nn.Sequential.forward and len(last):
        last = next((m for m in reversed(last) if type(m) is not nn.Identity), last[0])
    merge, activation = block.merge, block.activation
    added = block.shortcut is not None and type(merge) is Add and _untouched(merge)
    fresh = _is_convolution(last)
    if type(block).forward is not Residual.forward or not (added or block.shortcut is None):
        return
    if added and fresh:
        block.merge = InPlaceAdd()
    # A sum is a new tensor; without a shortcut the activation reads what the branch returned.
    once = places[id(activation)] == 1 and type(activation) is nn.ReLU and _untouched(activation)
    if once and (added or fresh):
        activation.inplace = True  # type: ignore[assignment]

"""Modules that torch.fx takes whole, as it takes those of torch.nn; transforms of functions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import nn
from torch.fx import Proxy

Forward = TypeVar("Forward", bound=Callable[..., Any])


def traced_as_leaf(forward: Forward) -> Forward:
    """Make a module with this ``forward`` one node of a graph that ``torch.fx`` traces.

    The tracer keeps the modules of torch.nn whole ("leaf modules") and runs every other one on
    stand-ins for tensors. Those have no sizes yet, so that nothing can be checked or decided by
    them. What is kept whole checks its inputs in the traced network too.
    """

    @functools.wraps(forward)
    def whole(self: nn.Module, *inputs: Any) -> Any:
        for x in inputs:
            if isinstance(x, Proxy):
                name = x.tracer.path_of_module(self)  # type: ignore[attr-defined]
                return x.tracer.create_proxy("call_module", name, inputs, {})
        return forward(self, *inputs)

    return cast(Forward, whole)


def in_transform() -> bool:
    """Whether a transform of ``torch.func`` is at work, as ``vmap`` or ``grad``."""
    return bool(torch._C._are_functorch_transforms_active())  # there is no public word for it

"""A device that is not the CPU, for machines that have no other.

    with elsewhere():
        model.to("meta")  # computes, and refuses tensors of the CPU's

It takes the name of PyTorch's meta device, on which nothing else could compute. As Apple's graphics
cards it has no float64.
"""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

#: What moves tensors from one device to another.
MOVES = ("aten::_to_copy", "aten::copy_")


class There(torch.Tensor):
    """A tensor on the device; its values lie in ``inner``."""

    @staticmethod
    def __new__(cls, inner):
        assert inner.dtype != torch.float64, "the device has no float64"
        return torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            inner.stride(),
            inner.storage_offset(),
            dtype=inner.dtype,
            device="meta",
        )

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, call, types, args=(), kwargs=None):
        return computed(call, args, kwargs or {})


class elsewhere(TorchDispatchMode):
    """Within it the device is there."""

    def __torch_dispatch__(self, call, types, args=(), kwargs=None):
        return computed(call, args, kwargs or {})


def computed(call, args, kwargs):
    """Call an operation of PyTorch's with the values; what it returns is where its inputs are."""
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    there = any(isinstance(x, There) for x in tensors)
    name = call._schema.name
    if there and name not in MOVES:
        for x in tensors:  # PyTorch too takes numbers from anywhere
            assert isinstance(x, There) or x.ndim == 0, f"{name} of tensors on two devices"
    if kwargs.get("device") is not None:
        there = torch.device(kwargs["device"]).type == "meta"
        kwargs = {**kwargs, "device": torch.device("cpu")}
    values = [tree_map(lambda x: x.inner if isinstance(x, There) else x, a) for a in (args, kwargs)]
    result = call(*values[0], **values[1])
    if call._schema.is_mutable and name.endswith("_"):
        return args[0]
    return (
        tree_map(lambda x: There(x) if isinstance(x, torch.Tensor) else x, result)
        if there
        else result
    )

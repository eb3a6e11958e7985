"""Calls that keep nothing for the backward pass: what it needs is computed again, as it was.

Autograd records the call as ever, so that all it can do holds: second derivatives, gradients for
some of the parameters, hooks on tensors. Only the tensors that it would keep are left out, and
come from a repetition. ``torch.utils.checkpoint`` with ``use_reentrant=False`` works in this way
too, but repeats with the parameters that the module has by then, which after ``functional_call``
are others; it counts a batch norm's batch twice; and its input has to be kept, where a reversible
block computes it back.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call

from companion.torch._devices import own_generators, random_states, set_random_states
from companion.torch._tracing import in_transform


def recomputes(module: nn.Module) -> bool:
    """Whether a call of the module now can be repeated later, and there will be a need.

    Not within ``torch.func``'s transforms, which allow no hooks on saved tensors, nor within a
    compiler, which decides by itself what to keep. Nor with hooks on the modules inside: they would
    see everything twice, and may be gone by then.
    """
    hooked = (m._forward_hooks or m._forward_pre_hooks for m in module.modules() if m is not module)
    return (
        torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not in_transform()
        and not any(hooked)
    )


class _Keep(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, anchor: Tensor, *tensors: Tensor) -> Tensor:
        ctx.save_for_backward(*tensors)
        return anchor.clone()


def keep(*tensors: Tensor) -> Callable[[int], Tensor]:
    """Keep tensors for the backward pass as autograd does: in sight of hooks on saved tensors.

    What is returned gives them back by number. PyTorch refuses one that was written over since.
    """
    with torch.enable_grad():
        anchor = torch.empty(0, requires_grad=True)
        node: Any = _Keep.apply(anchor, *(x.detach() for x in tensors)).grad_fn
    return lambda i: node.saved_tensors[i]


class _Handle:
    """Stands for a tensor that autograd would keep, for as long as it would."""


class Recomputation:
    """One call of a module, which can be repeated with the parameters, buffers and modes of then.

    Also of then: autocast, and the states of the random generators.

    Parameters
    ----------
    module: to be called within :meth:`dropped`. x: what it will be called with.
    """

    def __init__(self, module: nn.Module, x: Tensor) -> None:
        self.module, self.needs_gradient = module, x.requires_grad
        self.modes: list[tuple[nn.Module, bool]] = []
        self.parameters: dict[str, tuple[Tensor, bool]] = {}
        self.buffers: dict[str, Tensor] = {}
        self.versions: dict[int, tuple[Tensor, int]] = {}  # by where they lie in memory
        for path, part in module.named_modules(remove_duplicate=False):
            self.modes.append((part, part.training))
            for name, p in part._parameters.items():
                if p is not None:
                    self.parameters[f"{path}.{name}".lstrip(".")] = p, p.requires_grad
                    self.versions[p.untyped_storage().data_ptr()] = p, p._version
            for name, b in part._buffers.items():
                if b is not None:
                    self.buffers[f"{path}.{name}".lstrip(".")] = b.detach().clone()
                    self.versions[b.untyped_storage().data_ptr()] = b, b._version
        kinds = {x.device.type, "cpu"} - {"meta"}
        self.autocast = [
            (kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind))
            for kind in kinds
        ]
        self.devices = own_generators(x.device)
        self.random: list[Tensor] | None = random_states(self.devices)
        self.handles: list[weakref.ref[_Handle]] = []
        self.found: weakref.WeakKeyDictionary[_Handle, Any] = weakref.WeakKeyDictionary()

    @contextmanager
    def dropped(self, again: Callable[[], Any]) -> Iterator[None]:
        """Within it autograd keeps parameters alone; ``again`` has to :meth:`repeat` the call."""
        with saved_tensors_hooks(self._pack, lambda packed: self._unpack(packed, again)):
            yield
        if self.random is not None:
            after = random_states(self.devices)
            if all(torch.equal(a, b) for a, b in zip(self.random, after, strict=True)):
                self.random = None  # nothing was drawn: 5 kB that need not be kept

    def repeat(self, x: Tensor, collect: bool = True) -> Tensor:
        """Return what the module made of x, detached, and keep what the backward pass needs."""
        parameters = {n: p.detach().requires_grad_(g) for n, (p, g) in self.parameters.items()}
        buffers = {name: b.clone() for name, b in self.buffers.items()}  # which a norm may move
        own = {t.untyped_storage().data_ptr() for t in (*parameters.values(), *buffers.values())}
        handles, kept, dead = iter(self.handles), [], object

        def found(t: Tensor) -> None:
            if t.untyped_storage().data_ptr() not in own:
                handle = next(handles, dead)()
                if isinstance(handle, _Handle):
                    # Its graph holds this function: t itself would be a circle that never goes.
                    kept.append((handle, t.detach()))

        with self._as_it_was(), torch.set_grad_enabled(collect), ExitStack() as stack:
            if collect:
                stack.enter_context(saved_tensors_hooks(found, _never))
            x = x.detach().requires_grad_(collect and self.needs_gradient)
            given = {**parameters, **buffers}
            y: Tensor = functional_call(self.module, given, (x,), tie_weights=False)
        tensors = keep(*(t for _, t in kept))
        for i, (handle, _) in enumerate(kept):
            self.found[handle] = partial(tensors, i)
        return y.detach()

    @contextmanager
    def _as_it_was(self) -> Iterator[None]:
        present = [(m, m.training) for m, _ in self.modes]
        with ExitStack() as stack:
            for kind, dtype, enabled in self.autocast:
                now = torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)
                if now != (dtype, enabled):
                    stack.enter_context(torch.autocast(kind, dtype, enabled))
            if self.random is not None:
                before = random_states(self.devices)
                stack.callback(set_random_states, self.devices, before)
                set_random_states(self.devices, self.random)
            try:
                for module, training in self.modes:
                    module.training = training
                yield
            finally:
                for module, training in present:
                    module.training = training

    def _pack(self, t: Tensor) -> Any:
        own = self.versions.get(t.untyped_storage().data_ptr())
        if own is not None:
            return t, *own
        handle = _Handle()
        self.handles.append(weakref.ref(handle))
        return handle

    def _unpack(self, packed: Any, again: Callable[[], Any]) -> Tensor:
        if isinstance(packed, tuple):
            t, own, version = packed
            if own._version != version:
                raise RuntimeError(
                    "parameters must not be changed in place between the forward and the backward "
                    f"pass, got one of shape {tuple(own.shape)} that was"
                )
            return t
        if packed not in self.found:
            again()
        if packed not in self.found:
            raise RuntimeError(
                "what is computed again must be computed as before, got fewer tensors: was the "
                "model changed between the forward and the backward pass?"
            )
        return self.found.pop(packed)()


def _never(packed: Any) -> Tensor:
    raise RuntimeError("a repetition has no backward pass of its own")

"""Where a model computes: its device, what goes there, and what is drawn at random there."""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn


def first_float(model: nn.Module) -> Tensor:
    """Return a parameter that says where the model is, and in which precision."""
    tensors = (t for t in chain(model.parameters(), model.buffers()) if t.is_floating_point())
    return next(tensors, torch.empty(0, dtype=torch.float32))


def to_device_of(module: Any, x: Tensor) -> Tensor:
    """Return x where the module's first parameter is; as it is where there is none to ask."""
    tensors = chain(module.parameters(), module.buffers()) if isinstance(module, nn.Module) else ()
    return x.to(next(iter(tensors), x).device)


def own_generators(device: torch.device) -> list[torch.device]:
    """Return the device, if it draws from a random generator of its own and not from the CPU's."""
    return [device] if device.type in ("cuda", "mps", "xpu") else []


def random_states(devices: list[torch.device]) -> list[Tensor]:
    """Return the states of the CPU's random generator and of those of the devices."""
    return [torch.get_rng_state(), *(_module(d).get_rng_state(*_index(d)) for d in devices)]


def set_random_states(devices: list[torch.device], states: list[Tensor]) -> None:
    """Put the generators where :func:`random_states` found them."""
    torch.set_rng_state(states[0])
    for device, state in zip(devices, states[1:], strict=True):
        _module(device).set_rng_state(state, *_index(device))


def _module(device: torch.device) -> Any:
    return torch.get_device_module(device)


def _index(device: torch.device) -> tuple[torch.device, ...]:
    return () if device.type == "mps" else (device,)  # older versions of it take none

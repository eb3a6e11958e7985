"""Measuring instruments: what flows through a network, what it costs, what each block does.

They take models of any precision, on any device, to which inputs go. Norms and variances are
computed in 32 bits at least.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from companion import _checks
from companion.torch._devices import to_device_of
from companion.torch.graph import operation_graph
from companion.torch.lesions import swapped_blocks, without_blocks
from companion.torch.prediction import in_32_bits, to_array, watched_copy
from companion.torch.residual import Residual

__all__ = [
    "activation_variances",
    "block_jacobian",
    "gradient_norms",
    "input_gradients",
    "loss_surface",
    "operation_graph",
    "path_gradients",
    "residual_blocks",
    "swapped_blocks",
    "without_blocks",
]

Loss = Callable[[], Tensor]


def residual_blocks(model: nn.Module) -> dict[str, Residual]:
    """Return the outermost residual connections of a model by name, in order."""
    found: dict[str, Residual] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") or outer == "" for outer in found)
        if isinstance(module, Residual) and not inside:
            found[name] = module
    return found


def gradient_norms(model: nn.Module, loss: Loss) -> dict[str, float]:
    """Return the Euclidean norm of the loss's gradient for each weight, in order of the layers.

    Parameters
    ----------
    model: whose weights (parameters of two axes or more: convolutions, dense) are measured.
    loss: called without arguments, returns a scalar computed with the model.
    """
    weights = {name: p for name, p in model.named_parameters() if p.ndim > 1 and p.requires_grad}
    gradients = torch.autograd.grad(loss(), list(weights.values()), allow_unused=True)
    return {
        name: 0.0 if g is None else float(in_32_bits(g).norm())
        for name, g in zip(weights, gradients, strict=True)
    }


def activation_variances(
    model: nn.Module, x: Tensor, names: Sequence[str] | None = None
) -> dict[str, float]:
    """Return the variance of each block's output, over batch, pixels and channels together.

    Parameters
    ----------
    model: run as it is, in training or inference mode, without gradients.
    x: a batch of its input.
    names: of the modules to watch; default, the outermost residual connections.
    """
    wanted = list(residual_blocks(model)) if names is None else list(names)
    variances: dict[str, float] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            # On the CPU, since Apple's graphics cards have no float64.
            variances[name] = float(output.cpu().double().var(correction=0))

        return hook

    handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in wanted]
    try:
        with torch.no_grad():
            model(to_device_of(model, x).clone())
    finally:
        for handle in handles:
            handle.remove()
    return variances


def input_gradients(model: nn.Module, x: Tensor) -> np.ndarray:
    """Return the gradient of the sum of each example's outputs with respect to that example.

    Along a line of inputs, :func:`companion.measures.autocorrelation` of the result measures
    shattering. (N, ...) to (N, number of inputs). In training mode batch norm couples the examples,
    as it does in the paper (arXiv 1702.08591).
    """
    leaf, given = watched_copy(model, x)
    (gradient,) = torch.autograd.grad(model(given).sum(), leaf)
    return to_array(gradient.flatten(1))


def block_jacobian(block: Callable[[Tensor], Tensor], x: Tensor) -> np.ndarray:
    """Return the derivative of all outputs with respect to all inputs: (outputs, inputs).

    For a residual block with identity shortcut and no activation it is I + dF/dx.

    Parameters
    ----------
    block: differentiable. x: a batch of one example, since outputs x inputs numbers are returned.

    Raises
    ------
    ValueError: more than one example.
    """
    if len(x) != 1:
        raise ValueError(f"x must hold one example, got {len(x)}")
    jacobian: Any = torch.autograd.functional.jacobian(
        lambda x: block(x.clone()), to_device_of(block, x)
    )
    return to_array(jacobian.reshape(-1, x.numel()))


def path_gradients(blocks: Sequence[Residual], x: Tensor, loss: Callable[[Tensor], Tensor]) -> Any:
    """Return the gradient that arrives through paths of each length, exactly.

    A stack of L blocks is a sum over 2^L paths, each of which takes in every block the branch or
    the shortcut (Veit et al. 2016, arXiv 1605.06431, section 3.1). The gradient at the input is the
    sum over lengths k of g_k, where k counts the branches taken. The backward pass is split once
    for each length, which needs L (L + 1) vector-Jacobian products instead of sampled paths.

    Parameters
    ----------
    blocks: residual connections of one stream with a shortcut, applied one after another.
    x: input of the first. loss: maps the output of the last to a scalar.

    Returns
    -------
    (L + 1,) array of the Euclidean norms of g_0 to g_L.

    Raises
    ------
    ValueError: no block, one without a shortcut, or one with streams of its own, as a
        hyper-connection.
    """
    plain = [
        type(block).forward is Residual.forward and block.shortcut is not None for block in blocks
    ]
    if not blocks or not all(plain):
        raise ValueError(
            "blocks must be residual connections of one stream with a shortcut, at least one"
        )
    inputs = [to_device_of(nn.ModuleList(blocks), x.detach())]
    with torch.no_grad():
        for block in blocks:
            inputs.append(block(inputs[-1].clone()))
    last, given = watched_copy(blocks[-1], inputs.pop())
    gradients = list(torch.autograd.grad(loss(given), last))  # by length, so far zero
    for block, at in zip(reversed(blocks), reversed(inputs), strict=True):
        (past, one), (through, other) = (watched_copy(block, at) for _ in range(2))
        assert block.shortcut is not None and block.merge is not None
        shortcut = block.shortcut(block.preactivation(one))
        branch = block.run_branch(block.preactivation(other), (), {})
        y = block.activation(block.merge(shortcut, branch))
        split = [torch.autograd.grad(y, [past, through], g, retain_graph=True) for g in gradients]
        longer = [torch.zeros_like(at)] + [taken for _, taken in split]
        same = [passed for passed, _ in split] + [torch.zeros_like(at)]
        gradients = [a + b for a, b in zip(same, longer, strict=True)]
    return np.array([float(in_32_bits(g).norm()) for g in gradients])


def loss_surface(
    model: nn.Module, loss: Loss, radius: float = 1.0, steps: int = 11, seed: int = 0
) -> np.ndarray:
    """Return the loss on a plane of weights around the present ones (Li et al. 2018, 1712.09913).

    Two random directions are drawn; each filter of each has the norm of the model's filter (section
    4), and norms and biases do not move. The weights are the model's again afterwards.

    Parameters
    ----------
    model: whose weights are moved. loss: called without arguments, returns a scalar.
    radius: how far each direction goes, in units of the filters' own norms, default 1.
    steps: points along each direction, odd so that the middle is the model itself; default 11.
    seed: of the directions.

    Returns
    -------
    (steps, steps) losses; the middle one is the model's own.

    Raises
    ------
    ValueError: a radius that is not above 0, an even number of steps, or a negative seed.
    """
    radius = _checks.number("radius", radius)
    steps = _checks.odd_int("steps", steps)
    generator = torch.Generator().manual_seed(_checks.positive_int("seed", seed, minimum=0))
    weights = [p for p in model.parameters() if p.ndim > 1]
    kept = [p.detach().clone() for p in weights]

    def direction() -> list[Tensor]:
        drawn = [torch.randn(p.shape, generator=generator).to(p.device) for p in kept]
        return [d * _filter_norms(p) / _filter_norms(d) for d, p in zip(drawn, kept, strict=True)]

    first, second = direction(), direction()
    along = np.linspace(-radius, radius, steps)
    surface = np.empty((steps, steps))
    with torch.no_grad():
        try:
            for i, a in enumerate(along):
                for j, b in enumerate(along):
                    for p, w, d, e in zip(weights, kept, first, second, strict=True):
                        p.copy_(w + float(a) * d + float(b) * e)
                    surface[i, j] = float(loss())
        finally:
            for p, w in zip(weights, kept, strict=True):
                p.copy_(w)
    return surface


def _filter_norms(weight: Tensor) -> Tensor:
    """The norm of each filter: over all axes but the first."""
    return in_32_bits(weight).flatten(1).norm(dim=1).reshape(-1, *[1] * (weight.ndim - 1))

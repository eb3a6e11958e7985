"""Measuring what a network costs: parameters, arithmetic, memory, time.

Inputs go to the model's device.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.measures import LayerCost, Timing, time_in_turns
from companion.torch._devices import to_device_of
from companion.torch.layers import in_inference_mode
from companion.torch.prediction import watched_copy
from companion.torch.residual import Residual
from companion.weights.layer_weights import canonical_name


def layer_costs(model: nn.Module, x: Tensor) -> list[LayerCost]:
    """Return parameters and multiply-adds of each layer, and the additions of each merge.

    Parameters
    ----------
    model: run once, without gradients, in inference mode. Multiply-adds are those of convolutions,
        linear layers and LSTMs. A layer in two places has a row for each, and its parameters in the
        first.
    x: a batch of its input; costs are for one example.
    """
    costs: list[LayerCost] = []
    counted: set[nn.Module] = set()

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            parameters = sum(p.numel() for p in module.parameters() if p.requires_grad)
            parameters = 0 if module in counted else parameters
            counted.add(module)
            outputs = output.numel() // len(output) if isinstance(output, Tensor) else 0
            products = 0
            if isinstance(module, nn.modules.conv._ConvTransposeNd):
                products = inputs[0][0].numel() * module.weight[0].numel()
            elif isinstance(module, (nn.modules.conv._ConvNd, nn.Linear)):
                products = outputs * module.weight[0].numel()
            elif isinstance(module, nn.LSTM):
                steps = inputs[0].shape[1]
                products = steps * sum(p.numel() for p in module.parameters() if p.ndim > 1)
            merged = name.endswith("merge")
            kind = type(module).__name__
            costs.append(LayerCost(name, kind, parameters, products, outputs if merged else 0))

        return hook

    def watched(name: str, module: nn.Module) -> bool:
        own = any(True for _ in module.parameters(recurse=False))
        return own or (name.endswith("merge") and not any(True for _ in module.children()))

    modules = list(model.named_modules())
    _run(model, x, {m: keep(canonical_name(n)) for n, m in modules if watched(n, m)})
    return costs


def effective_multiply_adds(model: nn.Module, x: Tensor) -> int:
    """Return the multiply-adds of convolutions and linear layers that a forward pass needs.

    :func:`layer_costs` counts as papers do, with the products of the zeros that pad an image. They
    need not be made; at 7 x 7 pixels they are 18 % of a 3 x 3 convolution.

    Parameters
    ----------
    model: run once, without gradients, in inference mode. x: a batch; all its examples count.

    Raises
    ------
    ValueError: convolutions over time or volumes, LSTMs, or paddings that are no zeros.
    """
    for name, layer in model.named_modules():
        convolution = isinstance(layer, nn.modules.conv._ConvNd)
        plain = isinstance(layer, nn.Conv2d) and layer.padding_mode == "zeros"
        if isinstance(layer, nn.RNNBase) or (convolution and not plain):
            raise ValueError(
                "model must multiply in zero-padded 2D convolutions and linear layers alone, "
                f"got {name}: {layer}"
            )
    total = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Linear):
            total += y.numel() * layer.in_features
        elif isinstance(layer, nn.Conv2d):
            image = torch.ones(1, 1, *inputs[0].shape[2:], dtype=torch.float64)
            kernel = torch.ones(1, 1, *layer.kernel_size, dtype=torch.float64)
            rest: Any = (layer.stride, layer.padding, layer.dilation)
            read = int(F.conv2d(image, kernel, None, *rest).sum())
            total += read * len(y) * y.shape[1] * layer.weight.shape[1]

    _run(model, x, dict.fromkeys(model.modules(), count))
    return total


def _run(model: nn.Module, x: Tensor, hooks: Mapping[nn.Module, Callable[..., None]]) -> None:
    """Run the model once, without gradients, in inference mode, with these forward hooks."""
    handles = [module.register_forward_hook(hook) for module, hook in hooks.items()]
    try:
        with in_inference_mode(model), torch.no_grad():
            model(to_device_of(model, x).clone())
    finally:
        for handle in handles:
            handle.remove()


def saved_bytes(model: nn.Module, x: Tensor) -> int:
    """Return the bytes that a forward pass keeps for the backward pass, exactly.

    Every storage that autograd saves is counted once; parameters and the input are not, since they
    exist anyway.
    """
    _, x = watched_copy(model, x)
    own = {p.untyped_storage().data_ptr() for p in (*model.parameters(), *model.buffers(), x)}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = model(x)
    total = sum(t.untyped_storage().nbytes() for at, t in kept.items() if at not in own)
    del y
    return total


class _Kept:
    """Stands for a saved tensor for as long as autograd needs it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def peak_saved_bytes(model: nn.Module, x: Tensor) -> int:
    """Return the most bytes that autograd held at any time of a forward and a backward pass.

    What is computed again in the backward pass is counted while it lives. Every storage is counted
    once; parameters and the input are not, since they exist anyway. Gradients of the parameters are
    afterwards what they were; batch norms in training have seen the batch, twice where it is
    computed again.

    Parameters
    ----------
    model: in its own mode. x: a batch of its input. The outputs' sum takes the place of a loss.
    """
    _, x = watched_copy(model, x)
    gradients = [(p, p.grad) for p in model.parameters()]
    own = {p.untyped_storage().data_ptr() for p in (*model.parameters(), *model.buffers(), x)}
    held: dict[int, int] = {}
    now, peak = 0, 0

    def release(at: int, size: int) -> None:
        nonlocal now
        held[at] -= 1
        if held[at] == 0:
            now -= size

    def pack(tensor: Tensor) -> _Kept:
        nonlocal now, peak
        kept, storage = _Kept(tensor), tensor.untyped_storage()
        at, size = storage.data_ptr(), storage.nbytes()
        if at not in own:
            now += 0 if held.get(at) else size
            held[at] = held.get(at, 0) + 1
            weakref.finalize(kept, release, at, size)
            peak = max(peak, now)
        return kept

    try:
        for parameter, _ in gradients:
            parameter.grad = None
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept.tensor):
            model(x).sum().backward()
    finally:
        for parameter, gradient in gradients:
            parameter.grad = gradient
    return peak


def block_time(block: Residual, x: Tensor, repetitions: int = 15, training: bool = False) -> Timing:
    """Return CPU seconds of a block with its shortcut and without, turn by turn.

    Without: the same preactivation, branch and activation, no shortcut, no merge. With ``training``
    a step is a forward and a backward pass, else a forward pass without gradients.

    Raises
    ------
    ValueError: fewer than one repetition.
    """
    plain = Residual(
        block.branch, None, activation=block.activation, preactivation=block.preactivation
    )
    x = to_device_of(block, x.detach()).clone().requires_grad_(training)

    def step(module: nn.Module) -> Callable[[], None]:
        def call() -> None:
            with torch.set_grad_enabled(training):
                y = module(x.clone() if training else x)  # a leaf must not be written over
            if training:
                y.sum().backward()

        return call

    return time_in_turns(step(block), step(plain), repetitions)

"""Measuring what a network costs: parameters, arithmetic, memory, time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from companion import _checks
from companion.probes import LayerCost, Timing
from companion.torch.residual import Residual


def layer_costs(model: nn.Module, x: Tensor) -> list[LayerCost]:
    """Return parameters and multiply-adds of each layer, and the additions of each merge.

    Parameters
    ----------
    model: run once, without gradients, in inference mode. x: a batch of its input; costs are for
        one example.
    """
    costs: list[LayerCost] = []

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            parameters = sum(p.numel() for p in module.parameters() if p.requires_grad)
            outputs = output.numel() // len(output) if isinstance(output, Tensor) else 0
            products = 0
            if isinstance(module, (nn.modules.conv._ConvNd, nn.Linear)):
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

    handles = [m.register_forward_hook(keep(n)) for n, m in model.named_modules() if watched(n, m)]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            model(x)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return costs


def saved_bytes(model: nn.Module, x: Tensor) -> int:
    """Return the bytes that a forward pass keeps for the backward pass, exactly.

    Every storage that autograd saves is counted once; parameters and the input are not, since they
    exist anyway.
    """
    if x.is_floating_point():
        x = x.detach().requires_grad_()
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


def block_time(block: Residual, x: Tensor, repetitions: int = 15, training: bool = False) -> Timing:
    """Return CPU seconds of a block with its shortcut and without, turn by turn.

    Without: the same branch and activation, no shortcut, no merge. With ``training`` a step is a
    forward and a backward pass, else a forward pass without gradients.

    Raises
    ------
    ValueError: fewer than one repetition.
    """
    plain = Residual(block.branch, None, activation=block.activation)
    x = x.detach().requires_grad_(training)

    def seconds(module: nn.Module) -> float:
        start = time.process_time()
        with torch.set_grad_enabled(training):
            y = module(x)
        if training:
            y.sum().backward()
        return time.process_time() - start

    turns = [
        (seconds(block), seconds(plain), seconds(block))
        for _ in range(_checks.positive_int("repetitions", repetitions) + 1)
    ]
    first, second, again = zip(*turns[1:], strict=True)  # the first turn warms up
    return Timing(first, second, again)

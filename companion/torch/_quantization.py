"""Image networks in int8, by PyTorch's own quantizer."""

from __future__ import annotations

import copy
import operator
import warnings
from typing import Any

import numpy as np
import torch
import torch.fx
from torch import Tensor, nn
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from companion import _checks
from companion.torch import residual
from companion.torch._folding import fold, is_convolution, untouched
from companion.torch.layers import Dense, HiddenDense
from companion.torch.merges import Add

#: Calls by which ``Residual`` watches over a branch; they hand on their first argument.
_GUARDS = (residual.counted, residual.own, residual.unwritten, residual.first_output)


def quantized(model: nn.Module, images: np.ndarray) -> nn.Module:
    """Return the network in int8: static scales, those of activations from the images.

    Parameters
    ----------
    model: in float32 and inference mode, of images; it is used up.
    images: (N, H, W, C).

    Raises
    ------
    ValueError: a model that does not take the images, lies elsewhere than on the CPU, or cannot be
        traced.
    """
    example = torch.from_numpy(images[:2]).permute(0, 3, 1, 2)
    if any(t.device.type != "cpu" for t in (*model.parameters(), *model.buffers())):
        raise ValueError("model must be on the CPU where precision is 'int8', got one elsewhere")
    with torch.no_grad():
        model(example.clone())  # which says what does not fit
    fold(model, overwrite=False)
    _as_pytorchs_own(model)
    try:
        graph = torch.fx.symbolic_trace(model)
    except (torch.fx.proxy.TraceError, TypeError, ValueError) as error:
        raise ValueError(f"model must be one that torch.fx can trace, got: {error}") from error
    _prepare(graph)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # its successor needs a compiler on the user's machine
        settings = get_default_qconfig_mapping(torch.backends.quantized.engine)
        observed = prepare_fx(graph, settings, (example,))
        for start in range(0, len(images), 64):
            observed(torch.from_numpy(images[start : start + 64]).permute(0, 3, 1, 2))
        return _Int8(convert_fx(observed), images.shape[-1])


class _Int8(nn.Module):
    """A network in int8: floats of images (N, C, H, W) come in, float32 goes out."""

    def __init__(self, network: nn.Module, channels: int) -> None:
        super().__init__()
        self.network, self.channels = network, channels
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        _checks.rank("x", x.shape, 4, "(N, C, H, W)")
        _checks.channels("x", x.shape[1], self.channels)
        y: Tensor = self.network(x.float())
        return y

    def __deepcopy__(self, memo: Any) -> _Int8:
        return _Int8(copy.deepcopy(self.network, memo), self.channels)

    def __getstate__(self) -> Any:
        raise TypeError(
            "a network in int8 cannot be pickled, as PyTorch's quantized layers cannot: save the "
            "model, and calibrate again"
        )


class _Sum(nn.Module):
    """The sum, as the quantizer knows it."""

    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        return operator.add(shortcut, branch)


def _as_pytorchs_own(model: nn.Module) -> None:
    """Put what the quantizer knows in the place of the companion's layers, weights included."""
    for module in list(model.modules()):
        for name, part in list(module.named_children()):
            kind: Any = type(part)
            if is_convolution(part) and kind is not nn.Conv2d:
                setattr(module, name, _recast(part, nn.Conv2d))
            elif kind in (Dense, HiddenDense) and untouched(part):
                setattr(module, name, _recast(part, nn.Linear))
            elif kind is Add and untouched(part):
                setattr(module, name, _Sum())


def _recast(layer: nn.Module, kind: type[nn.Module]) -> nn.Module:
    """Return the same layer as one of its base class, which computes the same."""
    result = copy.copy(layer)
    result.__class__ = kind
    return result


@torch.fx.wrap  # unknown to the quantizer, which so leaves it in float32
def mean(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return the mean, which PyTorch has in int8 for more than one pixel alone."""
    return torch.mean(x, *args, **kwargs)


def _prepare(graph: torch.fx.GraphModule) -> None:
    """Put means in float32, and take away what watches for writing in place: no int8 passes it."""
    for node in list(graph.graph.nodes):
        node.type = None  # a name without its module, which cannot be pickled
        if node.op == "call_function" and node.target in _GUARDS:
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
        elif node.target in (torch.mean, "mean"):
            node.op, node.target = "call_function", mean
            node.meta["is_wrapped"] = True
    for node in reversed(list(graph.graph.nodes)):
        if node.target is residual.writes and not node.users:
            graph.graph.erase_node(node)
    graph.recompile()

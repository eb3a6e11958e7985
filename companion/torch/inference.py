"""A network made ready to be used and not to be trained: the same outputs in less time."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized

from companion import _checks
from companion.torch.layers import BatchNorm2d, Conv2d
from companion.torch.merges import Add
from companion.torch.residual import Residual


def optimize_for_inference(model: nn.Module) -> nn.Module:
    """Return a copy of an image network that answers faster, for inference only.

    A batch norm that directly follows a convolution is folded into its weights; those lie in
    memory as the processor's convolution wants them, activations channels last; additions and
    ReLUs write over the convolution before them. Outputs agree to 1e-5 of the largest.

    It pays most where weights are many and images few: one image of 224 x 224 pixels through a
    ResNet-18. It pays least where calls are short anyway, for one small image: measure before you
    use it there. The book's page on costs has the numbers. Weights are kept twice, plain ones for
    ``state_dict`` and export, laid out ones for the calls.

    Parameters
    ----------
    model: stays as it is, and keeps its mode. Norms before a convolution, as in pre-activation,
        cannot be folded and stay in the copy. Layers with hooks or parametrisations are not
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
    _pack(result)
    return result.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class InPlaceAdd(Add):
    """The sum, written over the branch, which nothing reads afterwards.

    Raises
    ------
    ValueError: the two shapes differ.
    """

    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.same_shape(shortcut.shape, branch.shape)
        return branch.add_(shortcut)


class PackedConv2d(nn.Conv2d):
    """A convolution whose weights are laid out once, where otherwise every call does it.

    Parameters
    ----------
    conv: the convolution; its parameters are shared.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        # On "meta" nothing is drawn, so that random generators stay where they are.
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            conv.dilation,  # type: ignore[arg-type]
            conv.groups,
            bias=conv.bias is not None,
            device="meta",
        )
        self.weight, self.bias, self.training = conv.weight, conv.bias, conv.training
        self._packed: tuple[Any, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        _checks.rank("x", x.shape, 4, "(N, C, H, W)")
        _checks.channels("x", x.shape[1], self.in_channels)
        stride = self.stride
        if self.kernel_size == (1, 1) and self.padding == (0, 0):
            # The pixels between are not read; layers.Conv2d says what the kernel does with them.
            x, stride = x[:, :, :: stride[0], :: stride[1]], (1, 1)
        padding: Any = self.padding
        if torch.compiler.is_compiling() or not self._fits(x):
            rest = (stride, padding, self.dilation, self.groups)
            return F.conv2d(x, self.weight, self.bias, *rest)
        x = x.contiguous(memory_format=torch.channels_last)
        rest = (padding, stride, self.dilation, self.groups)
        return _KERNEL(x, self._laid_out(x.shape, stride), self.bias, *rest, "none", [], "")

    def _fits(self, x: Tensor) -> bool:
        gradients = torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad)
        plain = x.dtype == self.weight.dtype == torch.float32 and not self.weight.is_inference()
        return plain and x.device == self.weight.device == _CPU and not gradients

    def _laid_out(self, shape: Sequence[int], stride: tuple[int, ...]) -> Tensor:
        # New weights, as from load_state_dict, are laid out anew.
        mark = (self.weight.data_ptr(), self.weight._version)
        if self._packed is None or self._packed[0] != mark:
            weight = self.weight.detach().contiguous().to_mkldnn()
            settings: Any = (self.padding, stride, self.dilation, self.groups, shape)
            self._packed = mark, torch._C._nn.mkldnn_reorder_conv2d_weight(weight, *settings)
        return self._packed[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_packed": None}


_CPU = torch.device("cpu")
#: What torch.compile calls for a frozen convolution; None where PyTorch was built without oneDNN.
_KERNEL: Any = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
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
    """Whether no hook and no parametrisation changes what the module computes."""
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
    known = type(block).forward is Residual.forward and type(merge) is Add and _untouched(merge)
    fresh = _is_convolution(last)
    if known and fresh and block.shortcut is not None:
        block.merge = InPlaceAdd()
    once = places[id(activation)] == 1
    if known and once and type(activation) is nn.ReLU and _untouched(activation):
        activation.inplace = fresh or block.shortcut is not None


def _pack(model: nn.Module) -> None:
    if _KERNEL is None or not torch.backends.mkldnn.is_available():
        return
    for parent in list(model.modules()):
        for name, part in list(parent.named_children()):
            simple = _is_convolution(part) and isinstance(part.padding, tuple)
            if simple and part.padding_mode == "zeros":
                setattr(parent, name, PackedConv2d(part))  # type: ignore[arg-type]

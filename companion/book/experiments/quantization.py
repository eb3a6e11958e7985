"""A network in 8-bit integers: batch norms folded away, plain modules, calibrated on images."""

from __future__ import annotations

import io
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import companion.torch as ct


class Sum(nn.Module):
    """A residual block as the quantiser wants it: plain modules, an addition, no checks."""

    def __init__(self, block: ct.Residual) -> None:
        super().__init__()
        self.branch, self.shortcut = folded(block.branch), folded(block.shortcut)
        self.activation = block.activation

    def forward(self, x: Tensor) -> Tensor:
        branch = self.branch(x)
        return self.activation(branch if self.shortcut is None else self.shortcut(x) + branch)


def folded(module: Any) -> Any:
    """Return the module for inference: every batch norm folded into the convolution before it."""
    if isinstance(module, ct.ResNet):
        return nn.Sequential(folded(module.stem), folded(module.stages), folded(module.head))
    if isinstance(module, ct.Residual):
        return Sum(module)
    if isinstance(module, ct.GlobalAveragePool):
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if isinstance(module, (ct.Projection, nn.Sequential)):
        row: list[nn.Module] = []
        for child in module.children():
            if isinstance(child, nn.BatchNorm2d):
                row[-1] = fuse_conv_bn_eval(row[-1], child)
            else:
                row.append(folded(child))
        return nn.Sequential(*row)
    if isinstance(module, nn.Conv2d):
        bare = nn.Conv2d(
            module.in_channels,
            module.out_channels,
            module.kernel_size,
            module.stride,
            module.padding,
            groups=module.groups,
            bias=module.bias is not None,
        )
        bare.load_state_dict(module.state_dict())
        return bare.eval()
    if isinstance(module, nn.Linear):
        bare = nn.Linear(module.in_features, module.out_features)
        bare.load_state_dict(module.state_dict())
        return bare
    return module


def to_int8(model: nn.Module, x: Tensor) -> nn.Module:
    """Return a folded model in 8-bit integers, calibrated on x.

    PyTorch 2.13 announces the removal of torch.ao.quantization in favour of a package of its own,
    on every call; that notice, and no other, is kept off the page.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
        warnings.filterwarnings("ignore", message=".*torch.ao.quantization.*deprecated.*")
        from torch.ao.quantization import get_default_qconfig_mapping
        from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

        torch.backends.quantized.engine = "x86"
        ready = prepare_fx(model.eval(), get_default_qconfig_mapping("x86"), (x[:1],))
        with torch.inference_mode():
            ready(x)
        return convert_fx(ready)


def file_bytes(model: nn.Module) -> int:
    """Return the size of the file that keeps the weights."""
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return file.getbuffer().nbytes

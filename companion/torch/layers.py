"""The layers of an image network, with the settings that both frameworks share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion import _checks
from companion.torch._tracing import traced_as_leaf

_SKIP_INIT = ContextVar("skip_init", default=False)


@contextmanager
def skip_init() -> Iterator[None]:
    """Within it new layers do not draw their weights: ``weights.initialize`` has to follow.

    Also a decorator of functions, for those that end with ``weights.initialize``: weights are then
    drawn once, from the seed alone, and PyTorch's generator is left as it was.
    """
    token = _SKIP_INIT.set(True)
    try:
        yield
    finally:
        _SKIP_INIT.reset(token)


def draw_normal(weight: Tensor, variance: float) -> None:
    """Fill with normal numbers from PyTorch's generator, but not within :func:`skip_init`."""
    if not _SKIP_INIT.get():
        nn.init.normal_(weight, std=math.sqrt(variance))


class Conv2d(nn.Conv2d):
    """Convolution, by default without bias, symmetric padding, He normal weights (fan-out).

    Input (N, in_channels, H, W), output (N, out_channels, ceil(H / stride), ceil(W / stride)).
    He et al. 2015, arXiv 1502.01852, eq. 14: standard deviation sqrt(2 / (k^2 out_channels)).
    ``groups`` is the number of groups, not their size: each sees in_channels / groups channels.

    A 1x1 kernel reads every ``stride``-th pixel and then has stride 1. PyTorch's own, with the
    stride, may kill the process in the backward pass where fewer than 16 channels come in: see the
    book's second page on costs before you put a
    ``torch.nn.Conv2d(channels, ..., 1, stride=2)`` into a branch or a shortcut.

    Raises
    ------
    ValueError: a size below 1, an even kernel, an input of another rank or channel count.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
    ) -> None:
        in_channels = _checks.positive_int("in_channels", in_channels)
        out_channels = _checks.positive_int("out_channels", out_channels)
        kernel_size = _checks.odd_int("kernel_size", kernel_size)
        stride = _checks.positive_int("stride", stride)
        groups = _checks.groups(groups, in_channels, out_channels)
        bias = _checks.boolean("bias", bias)
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding=kernel_size // 2,
            groups=groups,
            bias=bias,
        )

    def reset_parameters(self) -> None:
        draw_normal(self.weight, 2 / self.weight[:, 0].numel())
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    @traced_as_leaf
    def forward(self, x: Tensor) -> Tensor:
        _checks.rank("x", x.shape, 4, "(N, C, H, W)")
        _checks.channels("x", x.shape[1], self.in_channels)
        if self.kernel_size == (1, 1) and self.stride != (1, 1):
            # The pixels between are not read. Left to the kernel, the gradient of the weights
            # writes past its memory for few channels (oneDNN's issue 6035): fewer than 8 with AVX2,
            # than 16 with AVX-512.
            x = x[:, :, :: self.stride[0], :: self.stride[1]]
            return F.conv2d(x, self.weight, self.bias, groups=self.groups)
        return super().forward(x)


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation: eps 1e-5, weight of a new batch in the running statistics 0.1.

    Ioffe and Szegedy 2015, arXiv 1502.03167, algorithm 1. The running variance is unbiased,
    n / (n - 1), as PyTorch has it; Keras keeps the biased one.

    Raises
    ------
    ValueError: a batch with one value per channel, in training.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(_checks.positive_int("channels", channels), eps=1e-5, momentum=0.1)

    @traced_as_leaf
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            _checks.several_values("x", x.shape[0] * x.shape[2] * x.shape[3])
        return super().forward(x)


class Dense(nn.Linear):
    """y = x W^T + b: (..., in_features) to (..., out_features).

    LeCun normal weights, variance 1 / in_features, which keep the variance of what comes in; bias
    zero. Where a ReLU came before, take :class:`HiddenDense`.

    Raises
    ------
    ValueError: a size below 1.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(
            _checks.positive_int("in_features", in_features),
            _checks.positive_int("out_features", out_features),
        )

    def reset_parameters(self) -> None:
        draw_normal(self.weight, 1 / self.in_features)
        nn.init.zeros_(self.bias)


class HiddenDense(Dense):
    """A dense layer that a ReLU precedes: He normal weights, variance 2 / in_features."""

    gain = 2.0

    def reset_parameters(self) -> None:
        draw_normal(self.weight, self.gain / self.in_features)
        nn.init.zeros_(self.bias)


class GlobalAveragePool(nn.Module):
    """Mean over all pixels: (N, C, H, W) to (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.mean(x, dim=(2, 3))


@contextmanager
def in_inference_mode(model: nn.Module) -> Iterator[None]:
    """Put the model into inference mode; afterwards every part is in the mode that it had.

    Parts may differ: a frozen batch norm keeps its statistics in a network that trains, and
    ``model.train()`` would wake it.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def in_training_mode(model: nn.Module) -> Iterator[None]:
    """Train what is in training mode, or all where nothing is; afterwards modes are as they were.

    So a norm that was put into evaluation mode keeps its statistics, and a model that was wholly in
    evaluation mode, as one is to be used, can be trained.
    """
    modes = [(module, module.training) for module in model.modules()]
    resting = [module for module, training in modes if not training]
    if model.training or len(resting) == len(modes):
        model.train()  # which a network may have made its own, to keep parts of it as they are
    if len(resting) < len(modes):
        for module in resting:
            module.training = False
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training

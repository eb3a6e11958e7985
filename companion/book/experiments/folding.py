"""A shortcut for training only: blocks of three branches, their fold, and the fold from scratch.

The 8 x 8 digits; a first convolution, 30 blocks of one 3x3 convolution each at 8, 16 and 32
channels, a classifier. In training a block of RepVGG adds a 3x3 and a 1x1 convolution and, where
shape allows, the identity, each with a batch norm of its own, before one ReLU; all three are one
3x3 convolution with a bias afterwards (Ding et al. 2021, arXiv 2101.03697, section 3). Four arms:
see ``ARMS``. Eight epochs; rates from one search on held-out images over one seed. About five
minutes on one core.

    python -m companion.book.experiments.folding
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

import companion.torch as cp
from companion import weights
from companion.book.experiments import common
from companion.book.experiments.merges import score, trained
from companion.book.experiments.without import RATES
from companion.data import digits8

SEEDS = (0, 1, 2)
STAGES = ((8, 10, 1), (16, 10, 2), (32, 10, 2))  # channels, blocks, first stride
SETTINGS: dict[str, Any] = {"epochs": 8, "batch_size": 64}
#: Which branches a block has beside its 3x3; "folded": one 3x3 with a bias, and no norm.
ARMS: dict[str, tuple[str, ...]] = {
    "three branches": ("point", "identity"),
    "3x3 alone": (),
    "folded, He's weights": ("folded",),
    "folded, the fold's start": ("folded",),
}


def fused(weight: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return kernel and bias of a convolution and the norm behind it, in evaluation mode."""
    mean, variance = norm.running_mean, norm.running_var
    return fuse_conv_bn_weights(weight, None, mean, variance, norm.eps, norm.weight, norm.bias)


class Branches(nn.Module):
    """relu of the sum of up to three branches, each with its batch norm."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, beside: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.stride = stride
        self.conv = cp.Conv2d(in_channels, out_channels, 3, stride)
        self.norm = cp.BatchNorm2d(out_channels)
        self.point, self.point_norm, self.own_norm = None, None, None
        if "point" in beside:
            self.point = cp.Conv2d(in_channels, out_channels, 1, stride)
            self.point_norm = cp.BatchNorm2d(out_channels)
        if "identity" in beside and stride == 1 and in_channels == out_channels:
            self.own_norm = cp.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        if self.point is not None and self.point_norm is not None:
            y = y + self.point_norm(self.point(x))
        if self.own_norm is not None:
            y = y + self.own_norm(x)
        return F.relu(y)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Return the one kernel and the bias that do the same in evaluation mode."""
        parts = [(self.conv.weight, self.norm)]
        if self.point is not None and self.point_norm is not None:
            parts.append((F.pad(self.point.weight, (1, 1, 1, 1)), self.point_norm))
        if self.own_norm is not None:
            same = nn.init.dirac_(torch.empty_like(self.conv.weight))
            parts.append((same, self.own_norm))
        kernels, biases = zip(*(fused(*part) for part in parts), strict=True)
        return torch.stack(kernels).sum(0).detach(), torch.stack(biases).sum(0).detach()


class Plain(nn.Module):
    """relu of one convolution with a bias."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = cp.Conv2d(in_channels, out_channels, 3, stride, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))


def network(beside: tuple[str, ...], seed: int) -> nn.Sequential:
    """Return a stack; all have the weights of the seed in what they share."""
    channels, blocks = STAGES[0][0], list[nn.Module]()
    stem = nn.Sequential(cp.Conv2d(1, channels, bias="folded" in beside), nn.ReLU())
    if "folded" not in beside:
        stem.insert(1, cp.BatchNorm2d(channels))
    for out_channels, count, stride in STAGES:
        for i in range(count):
            shape = (channels, out_channels, stride if i == 0 else 1)
            if "folded" in beside:
                blocks.append(Plain(*shape))
            else:
                blocks.append(Branches(*shape, beside))
            channels = out_channels
    head = nn.Sequential(cp.GlobalAveragePool(), cp.Dense(channels, 10))
    model = nn.Sequential(stem, nn.Sequential(*blocks), head)
    weights.initialize(model, seed)
    return model


def folded(model: nn.Sequential) -> nn.Sequential:
    """Return the plain stack that computes what ``model`` does in evaluation mode."""
    plain = network(("folded",), 0)
    stem, blocks, head = model
    kernel, bias = fused(stem[0].weight, stem[1])
    with torch.no_grad():
        plain[0][0].weight.copy_(kernel)
        plain[0][0].bias.copy_(bias)
        for new, block in zip(plain[1], blocks, strict=True):
            kernel, bias = block.folded()
            new.conv.weight.copy_(kernel)
            new.conv.bias.copy_(bias)
        plain[2].load_state_dict(head.state_dict())
    return plain


def fold_of_start(seed: int, x: Tensor) -> nn.Sequential:
    """Return the fold of three branches before any training, their averages those of x."""
    model = network(ARMS["three branches"], seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # of the averages: x alone
    with torch.no_grad():
        model.train()(x)
    return folded(model.eval())


def same(model: nn.Sequential, x: Tensor) -> float:
    """Return how far the fold's logits are from the model's, over the largest of these."""
    with torch.no_grad():
        double = model.double().eval()
        there = double(x.double())
        away = (folded(model.float()).double().eval()(x.double()) - there).abs().max()
    return float(away / there.abs().max())


if __name__ == "__main__":
    torch.set_num_threads(1)
    digits = digits8()
    held = digits.validation(300)
    pictures = torch.from_numpy(digits.x_train[:512]).movedim(3, 1)
    runs = common.Runs("folding", __file__)
    for name, beside in ARMS.items():

        def build(seed: int, name: str = name, beside: tuple[str, ...] = beside) -> nn.Module:
            if name == "folded, the fold's start":
                return fold_of_start(seed, pictures)
            return network(beside, seed)

        def tried(rate: float, seed: int, build: Any = build) -> tuple[float, float]:
            return score(build(seed), held, seed, learning_rate=rate, **SETTINGS)

        def made(
            rate: float, seed: int, build: Any = build, check: bool = name == "three branches"
        ) -> dict[str, Any]:
            model = build(seed)
            row = trained(model, digits, seed, learning_rate=rate, **SETTINGS)
            if check:
                plain = folded(model.eval())
                _, right = cp.evaluate(plain, digits.x_test, digits.y_test)
                row["fold_accuracy"], row["fold_differs"] = round(right, 4), same(model, pictures)
            return row

        rate = runs.best_rate(tried, RATES, arm=name)
        for seed in SEEDS:
            at = {"part": "test", "arm": name, "learning_rate": rate, "seed": seed}
            runs.row(lambda s=seed, r=rate, m=made: m(r, s), **at)
    runs.store()

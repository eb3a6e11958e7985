"""Stacks of residual blocks with a step size in front, many networks trained side by side.

What ``smoothness`` and ``transfer`` share. A stack of L blocks is

    x_0 = S u,    x_l = x_(l-1) + h F_l(x_(l-1)),    logits = C x_L,    h = L^-power,

with F(x) = W relu(x) for blocks of one layer and F(x) = W2 relu(W1 x) for blocks of two. Networks
that differ only in seed or learning rate are trained at once, one beside the other in each tensor:
every network has its own weights, its own order of images and its own rate, and none sees another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from companion.data import Dataset

WIDTH, BATCH = 64, 32


@dataclass(frozen=True)
class Stack:
    """What the networks of one arm have in common.

    Attributes
    ----------
    blocks: L. layers: of a branch, 1 or 2. power: h is L to the minus this.
    tied: all blocks start with the weights of the first.
    norm: each branch reads its input, and the last layer the stream, divided by its root mean
        square.
    ends: the stem and the last layer learn too, at the same rate; by default the blocks alone do.
    optimizer: "sgd", without momentum, or "adam".
    """

    blocks: int
    layers: int = 1
    power: float = 0.5
    tied: bool = False
    norm: bool = False
    ends: bool = False
    optimizer: str = "sgd"

    @property
    def step(self) -> float:
        return float(self.blocks) ** -self.power

    def start(self, seed: int, inputs: int = 49, classes: int = 10) -> list[Tensor]:
        """Return stem, all blocks' layers in order, and last layer, each (in, out)."""
        generator = torch.Generator().manual_seed(seed)

        def normal(rows: int, columns: int, variance: float) -> Tensor:
            return torch.randn(rows, columns, generator=generator) * math.sqrt(variance / rows)

        ends = [normal(inputs, WIDTH, 4.0), normal(WIDTH, classes, 1.0)]
        gains = (2.0,) if self.layers == 1 else (1.0, 2.0)  # He's, where a ReLU comes before
        body = [normal(WIDTH, WIDTH, gain) for _ in range(self.blocks) for gain in gains]
        if self.tied:
            body = [w.clone() for w in body[: self.layers] * self.blocks]
        return [ends[0], *body, ends[1]]


def scaled(x: Tensor) -> Tensor:
    return x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt()


def forward(stack: Stack, weights: Sequence[Tensor], images: Tensor, every: int = 1) -> Tensor:
    """Return the logits of all networks: (networks, images, classes).

    ``every=2`` takes every second block alone, with a step twice as long.
    """
    x = images @ weights[0]
    body = weights[1:-1]
    for at in range(0, stack.blocks, every):
        branch = scaled(x) if stack.norm else x
        if stack.layers == 2:
            branch = branch @ body[2 * at]
        branch = torch.relu(branch) @ body[stack.layers * (at + 1) - 1]
        x = x + stack.step * every * branch
    return (scaled(x) if stack.norm else x) @ weights[-1]


def train(
    stack: Stack, data: Dataset, seeds: Sequence[int], rates: Sequence[float], epochs: int
) -> tuple[list[Tensor], list[Tensor]]:
    """Train a network for each pair of seed and rate; return the weights before and after.

    Each is a list of tensors (networks, in, out). A network that diverges holds no numbers.
    """
    starts = {seed: stack.start(seed) for seed in set(seeds)}
    first = [torch.stack(layer) for layer in zip(*(starts[s] for s in seeds), strict=True)]
    weights = [w.clone().requires_grad_() for w in first]
    learned = weights if stack.ends else weights[1:-1]
    images = torch.from_numpy(data.x_train).flatten(1)
    labels = torch.from_numpy(data.y_train)
    rate = torch.tensor(rates, dtype=torch.float32)[:, None, None]
    moments = [(torch.zeros_like(w), torch.zeros_like(w)) for w in learned]
    steps, count = len(images) // BATCH, 0
    for epoch in range(epochs):
        order = {s: np.random.default_rng((s, epoch)).permutation(len(images)) for s in starts}
        every = torch.from_numpy(np.stack([order[s] for s in seeds]))
        for i in range(steps):
            at = every[:, i * BATCH : (i + 1) * BATCH]
            loss = cross_entropy(forward(stack, weights, images[at]), labels[at]).sum()
            gradients = torch.autograd.grad(loss, learned)
            count += 1
            with torch.no_grad():
                for w, g, m in zip(learned, gradients, moments, strict=True):
                    w -= rate * (g if stack.optimizer == "sgd" else adam(g, m, count))
    return first, [w.detach() for w in weights]


def adam(gradient: Tensor, moments: tuple[Tensor, Tensor], count: int) -> Tensor:
    """Return Adam's step for rate 1, and update the moments (betas 0.9 and 0.999, eps 1e-8)."""
    mean, square = moments
    mean.lerp_(gradient, 0.1)
    square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
    root = (square / (1 - 0.999**count)).sqrt_().add_(1e-8)
    return mean / (1 - 0.9**count) / root


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return each network's mean over its images: (networks,)."""
    each = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return each.view(labels.shape).mean(1)


@torch.no_grad()
def scores(
    stack: Stack, weights: Sequence[Tensor], images: np.ndarray, labels: np.ndarray, every: int = 1
) -> list[tuple[float, float]]:
    """Return (loss, accuracy) of each network; both are nan where it diverged."""
    logits = forward(stack, weights, torch.from_numpy(images).flatten(1), every)
    wanted = torch.from_numpy(labels).expand(len(logits), -1)
    right = (logits.argmax(-1) == wanted).float().mean(1)
    losses = cross_entropy(logits, wanted)
    right[~losses.isfinite()] = math.nan
    return list(zip(losses.tolist(), right.tolist(), strict=True))

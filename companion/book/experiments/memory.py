"""Bytes kept for the backward pass, 14 to 1,202 layers, and the time that keeping fewer costs.

One network, a RevNet, run in three ways with the same weights: every activation stored, checkpoints
at the square root of the depth, and reversed. Beside it the ordinary network with and without its
shortcuts, and stochastic depth that skips whole batches. Three seeds; about 4 minutes on one core.

    python -m companion.book.experiments.memory
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

import companion.torch as ct
from companion import data
from companion.architectures import linear_decay
from companion.book.experiments import common
from companion.torch.checkpointed import CheckpointedNetwork
from companion.torch.costs import peak_saved_bytes

SEEDS = (0, 1, 2)
DEPTHS = (14, 26, 50, 110, 302, 602, 1202)
WIDTH, BATCH = 8, 16
METHODS = ("stored", "checkpointed", "reversible")


def checkpointed(network: nn.Sequential, runs: int | None = None) -> CheckpointedNetwork:
    """Return the network, parameters shared, with its blocks in runs, by default sqrt(blocks)."""
    parts = dict(network.named_children())
    blocks: list[nn.Module] = []
    for name, part in parts.items():
        blocks += list(part) if name.startswith("stage") else []
        blocks += [part] if name.startswith("widen") else []
    after = nn.Sequential(*(parts[name] for name in ("norm", "relu", "pool", "dense")))
    runs = runs or round(math.sqrt(len(blocks)))
    return CheckpointedNetwork(parts["stem"], nn.Sequential(*blocks), after, runs)


class SkipOrAdd(nn.Module):
    """A residual block that is run for the whole batch or, with 1 - survival, not run at all."""

    def __init__(self, block: nn.Module, survival: float) -> None:
        super().__init__()
        self.block, self.survival = block, survival

    def forward(self, x: Tensor) -> Tensor:
        if self.training and float(torch.rand(())) > self.survival:
            return x
        return self.block(x)


def three_ways(depth: int, seed: int) -> dict[str, nn.Module]:
    """Return one network to be run in three ways, with the same weights."""
    options = {"depth": depth, "width": WIDTH, "in_channels": 1, "seed": seed}
    stored = ct.revnet_cifar(**options, recompute=False)
    return {
        "stored": stored,
        "checkpointed": checkpointed(ct.revnet_cifar(**options, recompute=False)),
        "reversible": ct.revnet_cifar(**options),
    }


def gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the gradient of the loss with respect to all parameters, as one vector."""
    model.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def seconds(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the CPU seconds of one forward and one backward pass."""
    with common.cpu_seconds() as spent:
        gradient(model, x, y)
    return spent[0]


def batch(seed: int) -> tuple[Tensor, Tensor]:
    small = data.mnist().downsampled()
    some = slice(seed * BATCH, (seed + 1) * BATCH)
    x = torch.from_numpy(small.x_train[some]).permute(0, 3, 1, 2)
    return x.contiguous(), torch.from_numpy(small.y_train[some])


def ways(runs: list[dict]) -> None:
    for depth in DEPTHS:
        for seed in SEEDS:
            x, y = batch(seed)
            models = three_ways(depth, seed)
            grads = {name: gradient(model, x, y) for name, model in models.items()}
            spent = {name: seconds(model, x, y) for name, model in models.items()}
            for name, model in models.items():
                away = (grads[name] - grads["stored"]).norm() / grads["stored"].norm()
                common.noted(
                    runs,
                    network="reversible",
                    method=name,
                    depth=depth,
                    seed=seed,
                    peak_bytes=peak_saved_bytes(model, x),
                    time_ratio=round(spent[name] / spent["stored"], 3),
                    gradient_error=float(f"{away:.1e}"),
                )


def shortcuts(runs: list[dict]) -> None:
    for depth in (20, 56, 110, 1202):
        for seed in SEEDS:
            for residual in (True, False):
                x, _ = batch(seed)
                model = ct.cifar_preact_resnet(
                    depth, WIDTH, in_channels=1, seed=seed, residual=residual
                )
                common.noted(
                    runs,
                    network="residual" if residual else "plain",
                    method="stored",
                    depth=depth,
                    seed=seed,
                    peak_bytes=peak_saved_bytes(model, x),
                )


def thinned(depth: int, seed: int, how: str) -> nn.Module:
    """Return the ordinary network with stochastic depth: none, by example, or by batch."""
    model = ct.cifar_preact_resnet(depth, WIDTH, in_channels=1, seed=seed)
    count = sum(len(stage) for stage in model.stages)
    survival = iter(linear_decay(count))
    for stage in model.stages:
        for i, block in enumerate(stage):
            kept = next(survival)
            if how == "by example":
                block.merge = ct.StochasticDepth(kept)
            elif how == "by batch" and isinstance(block.shortcut, ct.Identity):
                stage[i] = SkipOrAdd(block, kept)
    return model


def stochastic(runs: list[dict], depth: int = 110, steps: int = 10) -> None:
    arms = ("none", "by example", "by batch")
    for seed in SEEDS:
        x, y = batch(seed)
        torch.manual_seed(seed)
        models = {how: thinned(depth, seed, how) for how in arms}
        spent = {how: 0.0 for how in arms}
        held = {how: 0 for how in arms}
        for model in models.values():
            gradient(model, x, y)
        for _ in range(steps):
            for how, model in models.items():
                spent[how] += seconds(model, x, y)
        for how, model in models.items():
            held[how] = sum(peak_saved_bytes(model, x) for _ in range(steps)) // steps
        for how in arms:
            common.noted(
                runs,
                network="stochastic depth",
                method=how,
                depth=depth,
                seed=seed,
                peak_bytes=held[how],
                time_ratio=round(spent[how] / spent["none"], 3),
            )


if __name__ == "__main__":
    torch.set_num_threads(1)
    collected: list[dict] = []
    stochastic(collected)
    shortcuts(collected)
    ways(collected)
    common.store("memory", "companion/book/experiments/memory.py", collected)

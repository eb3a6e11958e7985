"""Bytes kept for the backward pass, 14 to 1,202 layers, and the time that keeping fewer costs.

One network, a RevNet, run in three ways with the same weights: every activation stored, checkpoints
at the square root of the depth, and reversed. How far each gradient is from the stored one, and how
far that is from one in double precision. By how much a process of its own grows in a step. Beside
it the ordinary network with and without its shortcuts, and stochastic depth that skips whole
batches, or examples. Three seeds. And how often, of thirty seeds, rounding changes the reversed
network's gradient by more than usual, with ReLU and with SiLU. About ten minutes on one core.

    python -m companion.book.experiments.memory
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import weakref
from functools import cache, partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

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
#: Stochastic depth: whose blocks are left out together.
DRAWN = ("none", "by example", "gathered", "by batch")
TURNS, STEPS = 3, 60
#: Where a process of its own is watched: layers and images.
WATCHED, IMAGES = (110, 302), 128
#: glibc: give back what is freed at once, or a process stays as large as its allocator was torn.
AT_ONCE = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}


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
    """A residual block that is run for what is drawn alone: the whole batch, or each example."""

    def __init__(self, block: nn.Module, survival: float, gathered: bool = False) -> None:
        super().__init__()
        self.block, self.survival, self.gathered = block, survival, gathered

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.block(x)
        drawn = torch.rand(len(x) if self.gathered else 1) < self.survival
        if drawn.all():
            return self.block(x)
        return x.index_put((drawn,), self.block(x[drawn])) if drawn.any() else x


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


class Alive(TorchDispatchMode):
    """While it is active: the bytes of all tensors that operations made and that are still there.

    Attributes
    ----------
    most: the largest number of bytes at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.there: dict[int, int] = {}
        self.most = 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = operation(*args, **(kwargs or {}))
        for tensor in (leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in self.there:
                weakref.finalize(storage, self.there.pop, storage.data_ptr())
            self.there[storage.data_ptr()] = storage.nbytes()
        self.most = max(self.most, sum(self.there.values()))
        return made


def most_alive(model: nn.Module, x: Tensor) -> int:
    """Return the most bytes of activations that are there at once in a prediction."""
    with torch.no_grad(), Alive() as alive:
        model(x)
    return alive.most


def seconds(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the CPU seconds of one forward and one backward pass."""
    with common.cpu_seconds() as spent:
        gradient(model, x, y)
    return spent[0]


def batch(seed: int, images: int = BATCH) -> tuple[Tensor, Tensor]:
    small = data.mnist().downsampled()
    some = slice(seed * images, (seed + 1) * images)
    x = torch.from_numpy(small.x_train[some]).permute(0, 3, 1, 2)
    return x.contiguous(), torch.from_numpy(small.y_train[some])


@cache
def of_three_ways(depth: int, seed: int) -> dict[str, dict]:
    x, y = batch(seed)
    models = three_ways(depth, seed)
    grads = {name: gradient(model, x, y) for name, model in models.items()}
    turns = [{name: seconds(m, x, y) for name, m in models.items()} for _ in range(TURNS)]
    exact = gradient(models["stored"].double(), x.double(), y)
    models["stored"].float()
    found = {}
    for name, model in models.items():
        away = (grads[name] - grads["stored"]).norm() / grads["stored"].norm()
        from_exact = (grads[name] - exact).norm() / exact.norm()
        found[name] = {
            "peak_bytes": peak_saved_bytes(model, x),
            "time_ratio": round(median(turn[name] / turn["stored"] for turn in turns), 3),
            "gradient_error": float(f"{away:.1e}"),
            "from_double_precision": float(f"{from_exact:.1e}"),
        }
    return found


def grown(depth: int, method: str) -> None:
    """Print by how many bytes this process grows in a step, after one with a single image."""
    torch.set_num_threads(1)
    model, (x, y) = three_ways(depth, 0)[method], batch(0, IMAGES)
    gradient(model, x[:1], y[:1])
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest so far (Linux)
    before = status("VmRSS")
    gradient(model, x, y)
    print(status("VmHWM") - before)


def status(key: str) -> int:
    """Return what the system says of this process, in bytes."""
    said = Path("/proc/self/status").read_text().split()
    return 1024 * int(said[said.index(f"{key}:") + 1])


def resident(depth: int, method: str) -> dict[str, int]:
    code = f"from companion.book.experiments.memory import grown; grown({depth}, {method!r})"
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, capture_output=True, check=True, env=AT_ONCE)
    return {"resident_bytes": int(said.stdout)}


def watched(runs: common.Runs) -> None:
    """Another meter, which sees all that a process holds."""
    for depth, method in product(WATCHED, METHODS):
        place = {"network": "process", "method": method, "depth": depth, "images": IMAGES}
        runs.row(partial(resident, depth, method), **place, seed=0)


def ways(runs: common.Runs) -> None:
    for depth in DEPTHS:
        for seed in SEEDS:
            for name in METHODS:
                place = {"network": "reversible", "method": name, "depth": depth, "seed": seed}
                runs.row(lambda d=depth, s=seed, n=name: of_three_ways(d, s)[n], **place)


def kept(depth: int, seed: int, residual: bool) -> dict:
    options = {"in_channels": 1, "seed": seed, "residual": residual}
    model = ct.cifar_preact_resnet(depth, WIDTH, **options)
    return {"peak_bytes": peak_saved_bytes(model, batch(seed)[0])}


def shortcuts(runs: common.Runs) -> None:
    for depth, seed, residual in product((20, 56, 110, 1202), SEEDS, (True, False)):
        network = "residual" if residual else "plain"
        place = {"network": network, "method": "stored", "depth": depth, "seed": seed}
        runs.row(partial(kept, depth, seed, residual), **place)


def smooth(network: nn.Module) -> None:
    """Put SiLU, which has no kink, in the place of every ReLU."""
    for name, part in network.named_children():
        if isinstance(part, nn.ReLU):
            setattr(network, name, nn.SiLU())
        else:
            smooth(part)


def rounding(depth: int, seed: int, activation: str) -> dict:
    """How far the gradient of the reversed network is from that of the stored one."""
    x, y = batch(seed)
    models = three_ways(depth, seed)
    if activation == "silu":
        for model in models.values():
            smooth(model)
    exact, reversed_ = (gradient(models[name], x, y) for name in ("stored", "reversible"))
    return {"gradient_error": float(f"{(reversed_ - exact).norm() / exact.norm():.1e}")}


def kinks() -> None:
    """Thirty seeds, with ReLU and with SiLU: how often does the error stick out?"""
    runs = common.Runs("memory_rounding", __file__)
    for depth, activation in product(DEPTHS, ("relu", "silu")):
        for seed in range(30) if depth in (26, 50) else SEEDS:
            place = {"depth": depth, "activation": activation, "seed": seed}
            runs.row(partial(rounding, **place), **place)
    runs.store()


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
            elif how != "none" and isinstance(block.shortcut, ct.Identity):
                stage[i] = SkipOrAdd(block, kept, gathered=how == "gathered")
    return model


@cache
def of_stochastic_depth(depth: int, seed: int, steps: int = 10) -> dict[str, dict]:
    x, y = batch(seed)
    torch.manual_seed(seed)
    models = {how: thinned(depth, seed, how) for how in DRAWN}
    spent = dict.fromkeys(DRAWN, 0.0)
    for model in models.values():
        gradient(model, x, y)
    for _ in range(steps):
        for how, model in models.items():
            spent[how] += seconds(model, x, y)
    held = {how: [peak_saved_bytes(m, x) for _ in range(STEPS)] for how, m in models.items()}
    return {
        how: {
            "peak_bytes": sum(held[how]) // STEPS,
            "worst_bytes": max(held[how]),
            "time_ratio": round(spent[how] / spent["none"], 3),
        }
        for how in DRAWN
    }


def stochastic(runs: common.Runs, depth: int = 110) -> None:
    for seed in SEEDS:
        for how in DRAWN:
            place = {"network": "stochastic depth", "method": how, "depth": depth, "seed": seed}
            runs.row(lambda s=seed, h=how: of_stochastic_depth(depth, s)[h], **place)


if __name__ == "__main__":
    torch.set_num_threads(1)
    collected = common.Runs("memory", __file__)
    stochastic(collected)
    shortcuts(collected)
    ways(collected)
    watched(collected)
    collected.store()
    kinks()

"""Smaller networks: sparse branches, dropped blocks, pruning, int8, distillation.

2,000 MNIST digits at 14 x 14 pixels and the small scikit-learn digits; every arm with its plain
control, three seeds, and the better of two learning rates on training images held out. Four runs of
about half a minute each on one core; each replaces its own part of the results.

    python -m companion.book.experiments.smaller residual
    python -m companion.book.experiments.smaller plain
    python -m companion.book.experiments.smaller distil
    python -m companion.book.experiments.smaller drop
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

import companion.torch as ct
from companion import data
from companion.architectures import Architecture, Stage, linear_decay
from companion.book.experiments import common
from companion.book.experiments.quantization import file_bytes, folded, to_int8
from companion.torch.costs import layer_costs

SEEDS = (0, 1, 2)
RATES = (0.05, 0.1)
BRANCHES = ("basic", "wide", "grouped", "separable")
SPARSITIES = (0.5, 0.8, 0.9)


class GroupedBlock(ct.ResNeXtBlock):
    """A ResNeXt block for few channels: four groups in the 3x3 instead of thirty-two."""

    groups = 4


def network(block: str, residual: bool, seed: int, width: int = 16, blocks: int = 1) -> ct.ResNet:
    """Return three stages of ``blocks`` blocks; width, then twice, then four times as many."""
    stages = tuple(Stage(width * 2**i, blocks, 1 if i == 0 else 2) for i in range(3))
    table = Architecture(f"small_{block}", block, width, 3, 1, False, stages)
    own = GroupedBlock if block == "grouped" else None
    return ct.ResNet(table, "B", residual, 1, 10, seed, block=own)


def accuracy(model: nn.Module, task: Any) -> float:
    return round(ct.evaluate(model, task.x_test, task.y_test)[1], 4)


def better_rate(build: Callable[[], nn.Module], held: Any, epochs: int) -> float:
    """Return the rate of which training ends best on images held out."""
    right = {}
    for rate in RATES:
        model = build()
        ct.fit(model, held, epochs=epochs, learning_rate=rate, seed=7, progress=False)
        right[rate] = ct.evaluate(model, held.x_test, held.y_test)[1]
    return max(right, key=right.__getitem__)


def cost(model: nn.Module, x: Tensor) -> dict[str, int]:
    layers = layer_costs(model, x)
    return {
        "parameters": sum(layer.parameters for layer in layers),
        "multiply_adds": sum(layer.multiply_adds for layer in layers),
    }


def interleaved(models: dict[str, nn.Module], x: Tensor, turns: int = 15) -> dict[str, float]:
    """Return each model's median CPU milliseconds for a forward pass, turn by turn."""
    spent: dict[str, list[float]] = {name: [] for name in models}
    with torch.inference_mode():
        for turn in range(turns + 2):
            for name, model in models.items():
                with common.cpu_seconds() as seconds:
                    model(x)
                if turn >= 2:  # the first turns warm up
                    spent[name].append(1000 * seconds[0])
    return {name: float(np.median(values)) for name, values in spent.items()}


def digits() -> Any:
    """Return MNIST at 14 x 14 pixels with half of its training images."""
    task = data.mnist().downsampled()
    return replace(task, x_train=task.x_train[:2000], y_train=task.y_train[:2000])


def images(task: Any) -> Tensor:
    return torch.from_numpy(task.x_test[:64]).permute(0, 3, 1, 2)


def trained(task: Any, block: str, residual: bool, seed: int, rate: float) -> nn.Module:
    model = network(block, residual, seed)
    settings = {"epochs": 3, "learning_rate": rate, "seed": seed}
    ct.fit(model, task, progress=False, **settings)
    return model


def branches(runs: list[dict], residual: bool) -> dict[int, nn.Module]:
    """Train every branch, with shortcuts or without; return the basic networks."""
    task, kept = digits(), {}
    held, x = task.validation(400), images(task)
    times = []
    for seed in SEEDS:
        models = {block: network(block, residual, seed).eval() for block in BRANCHES}
        times.append(interleaved(models, x))
    for block in BRANCHES:
        rate = better_rate(lambda b=block: network(b, residual, 7), held, 1)
        for seed in SEEDS:
            model = trained(task, block, residual, seed, rate)
            common.noted(
                runs,
                part="branch",
                branch=block,
                residual=residual,
                seed=seed,
                learning_rate=rate,
                accuracy=accuracy(model, task),
                milliseconds=round(times[seed][block], 3),
                **cost(model, x),
            )
            if block == "basic":
                kept[seed] = model
    return kept


def droppable(model: nn.Module) -> list[tuple[nn.Sequential, int]]:
    """Return where the blocks are that keep the shape, all but the first of each stage."""
    return [(stage, i) for stage in model.stages for i in range(1, len(stage))]


def without(model: nn.Module, which: Sequence[int]) -> nn.Module:
    """Return a copy in which these of the droppable blocks are the identity."""
    thinner = copy.deepcopy(model)
    for stage, i in np.array(droppable(thinner), dtype=object)[list(which)]:
        stage[i] = nn.Identity()
    return thinner


def dropping(runs: list[dict], depth: int = 20) -> None:
    task = data.digits8()
    held = task.validation(300)

    def build(arm: str, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        model = ct.cifar_resnet(depth, 8, in_channels=1, seed=seed, residual=arm != "plain")
        if arm == "stochastic depth":
            blocks = [block for stage in model.stages for block in stage]
            for block, survival in zip(blocks, linear_decay(len(blocks)), strict=True):
                block.merge = ct.StochasticDepth(survival)
        return model

    for arm in ("residual", "stochastic depth", "plain"):
        rate = better_rate(lambda a=arm: build(a, 7), held, 3)
        for seed in SEEDS:
            model = build(arm, seed)
            ct.fit(model, task, epochs=6, learning_rate=rate, seed=seed, progress=False)
            row = {"part": "drop", "arm": arm, "seed": seed, "learning_rate": rate}
            count = len(droppable(model))
            rng = np.random.default_rng(seed)
            common.noted(runs, **row, dropped=0, accuracy=accuracy(model, task))
            single = [accuracy(without(model, [i]), task) for i in range(count)]
            common.noted(runs, **row, dropped=1, accuracy=float(np.median(single)), each=single)
            for dropped in (2, 3):
                draws = [rng.choice(count, dropped, replace=False) for _ in range(10)]
                right = [accuracy(without(model, draw), task) for draw in draws]
                common.noted(runs, **row, dropped=dropped, accuracy=float(np.median(right)))


def pruned(model: nn.Module, sparsity: float) -> nn.Module:
    """Return a copy without its smallest weights, of all convolutions and dense layers together."""
    sparse = copy.deepcopy(model)
    layers = [m for m in sparse.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    prune.global_unstructured(
        [(layer, "weight") for layer in layers], prune.L1Unstructured, amount=sparsity
    )
    return sparse


def pruning(runs: list[dict], models: dict[int, nn.Module], residual: bool) -> None:
    task = digits()
    for seed, model in models.items():
        more = copy.deepcopy(model)  # the control: an epoch more, nothing pruned
        ct.fit(more, task, epochs=1, learning_rate=0.02, seed=seed, progress=False)
        row = {"part": "prune", "residual": residual, "seed": seed}
        common.noted(
            runs, **row, sparsity=0.0, at_once=accuracy(model, task), tuned=accuracy(more, task)
        )
        for sparsity in SPARSITIES:
            sparse = pruned(model, sparsity)
            at_once = accuracy(sparse, task)
            ct.fit(sparse, task, epochs=1, learning_rate=0.02, seed=seed, progress=False)
            common.noted(
                runs, **row, sparsity=sparsity, at_once=at_once, tuned=accuracy(sparse, task)
            )


def integers(runs: list[dict], models: dict[int, nn.Module], residual: bool) -> None:
    task = digits()
    x = torch.from_numpy(task.x_train[:256]).permute(0, 3, 1, 2).contiguous()
    for seed, model in models.items():
        plain = folded(copy.deepcopy(model).eval())
        small = to_int8(copy.deepcopy(plain), x)
        one, many = (interleaved({"float": plain, "int8": small}, x[:n]) for n in (1, 64))
        common.noted(
            runs,
            part="int8",
            residual=residual,
            seed=seed,
            accuracy_float=accuracy(plain, task),
            accuracy_int8=accuracy(small, task),
            bytes_float=file_bytes(plain),
            bytes_int8=file_bytes(small),
            time_one=round(one["int8"] / one["float"], 3),
            time_many=round(many["int8"] / many["float"], 3),
        )


def distilling(runs: list[dict]) -> None:
    """Train a student of a quarter of the channels, from labels or from a teacher's logits."""
    task = digits()
    x = images(task)

    def student(seed: int) -> nn.Module:
        return network("basic", True, seed, width=4)

    def right(model: nn.Module, images: np.ndarray, labels: np.ndarray) -> float:
        return round(float((ct.predict(model, images).argmax(1) == labels).mean()), 4)

    for seed in SEEDS:
        teacher = trained(task, "basic", True, seed, 0.1)
        logits = ct.predict(teacher, task.x_train)
        arms = {
            "labels": (task, "cross_entropy"),
            "logits": (replace(task, y_train=logits), "squared_error"),
        }
        for arm, (lesson, loss) in arms.items():
            held = lesson.validation(400)
            found = {}
            for rate in RATES:
                model = student(7)
                settings = {"epochs": 3, "learning_rate": rate, "seed": 7, "loss": loss}
                try:
                    ct.fit(model, held, progress=False, **settings)
                except FloatingPointError:  # too high a rate for this loss
                    continue
                found[rate] = right(model, held.x_test, task.y_train[-400:])
            rate = max(found, key=found.__getitem__)
            model = student(seed)
            settings = {"epochs": 6, "learning_rate": rate, "seed": seed, "loss": loss}
            ct.fit(model, lesson, progress=False, **settings)
            times = interleaved({"teacher": teacher.eval(), "student": model.eval()}, x)
            common.noted(
                runs,
                part="distil",
                arm=arm,
                seed=seed,
                learning_rate=rate,
                accuracy=right(model, task.x_test, task.y_test),
                teacher=accuracy(teacher, task),
                time_ratio=round(times["student"] / times["teacher"], 3),
                **cost(model, x),
            )


def both(runs: list[dict], residual: bool) -> None:
    models = branches(runs, residual)
    integers(runs, models, residual)
    pruning(runs, models, residual)


PARTS: dict[str, Callable[[list[dict]], None]] = {
    "residual": lambda runs: both(runs, True),
    "plain": lambda runs: both(runs, False),
    "distil": distilling,
    "drop": dropping,
}


def keep(name: str, part: str, runs: list[dict]) -> None:
    """Put these runs in the place of what the results had from the same part."""
    path = common.RESULTS / f"{name}.json"
    before = json.loads(path.read_text())["runs"] if path.exists() else []
    others = [r for r in before if r["run"] != part]
    common.store(name, f"experiments/{name}.py", others + [{"run": part, **r} for r in runs])


if __name__ == "__main__":
    torch.set_num_threads(1)
    (chosen,) = sys.argv[1:]
    collected: list[dict] = []
    PARTS[chosen](collected)
    keep("smaller", chosen, collected)

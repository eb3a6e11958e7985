"""Smaller networks: sparse branches, dropped blocks, pruning, int8, distillation.

2,000 MNIST digits at 14 x 14 pixels and the small scikit-learn digits; every arm with its plain
control, five seeds. The learning rate of each is searched on training images held out, by three
seeds more and as many epochs. Beside the sparse branches stand narrow networks of ordinary ones,
of about as many parameters. About ten minutes on one core.

    python -m companion.book.experiments.smaller
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
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

SEEDS, SEARCHED = range(5), (7, 8, 9)
EPOCHS, STUDENT_EPOCHS, DROP_EPOCHS, TUNE = 3, 6, 6, {"epochs": 1, "learning_rate": 0.02}
#: Kind of block and width of the first stage; the last two spend what the sparse ones save.
BRANCHES = {
    "basic": ("basic", 16),
    "wide": ("wide", 16),
    "grouped": ("grouped", 16),
    "separable": ("separable", 16),
    "narrow, 6 channels": ("basic", 6),
    "narrow, 8 channels": ("basic", 8),
}
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


def fitted(model: nn.Module, task: Any, rate: float, seed: int, epochs: int) -> nn.Module:
    ct.fit(model, task, epochs=epochs, learning_rate=rate, seed=seed, progress=False)
    return model


def score(model: nn.Module, held: Any) -> tuple[float, float]:
    """Accuracy on images held out; the smaller loss decides between equals."""
    loss, right = ct.evaluate(model, held.x_test, held.y_test)
    return right, -loss


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


@cache
def digits_and_held() -> tuple[Any, Any]:
    return digits(), digits().validation(400)


def build(branch: str, residual: bool, seed: int) -> nn.Module:
    block, width = BRANCHES[branch]
    return network(block, residual, seed, width)


@cache
def trained(branch: str, residual: bool, seed: int, rate: float, part: int = 0) -> nn.Module:
    """Train on the digits (part 1: without those held out); asked again, do not train again."""
    return fitted(build(branch, residual, seed), digits_and_held()[part], rate, seed, EPOCHS)


def branches(runs: common.Runs, residual: bool) -> float:
    """Measure every branch, with shortcuts or without; return the basic network's best rate."""
    task, held = digits_and_held()
    x, best = images(task), {}
    for seed in SEEDS:

        def times(seed: int = seed) -> dict[str, Any]:
            models = {branch: build(branch, residual, seed).eval() for branch in BRANCHES}
            return {"milliseconds": {k: round(v, 3) for k, v in interleaved(models, x).items()}}

        runs.row(times, part="time", residual=residual, seed=seed)
    for branch in BRANCHES:

        def tried(rate: float, seed: int, branch: str = branch) -> tuple[float, float]:
            return score(fitted(build(branch, residual, seed), held, rate, seed, EPOCHS), held)

        of = {"branch": branch, "residual": residual}
        best[branch] = runs.best_rate(tried, common.SGD_RATES, SEARCHED, of="branch", **of)
        for seed in SEEDS:

            def made(seed: int = seed, branch: str = branch) -> dict[str, Any]:
                model = trained(branch, residual, seed, best[branch])
                return {"accuracy": accuracy(model, task), **cost(model, x)}

            runs.row(made, part="branch", **of, seed=seed, learning_rate=best[branch])
    return best["basic"]


def droppable(model: nn.Module) -> list[tuple[nn.Sequential, int]]:
    """Return where the blocks are that keep the shape, all but the first of each stage."""
    return [(stage, i) for stage in model.stages for i in range(1, len(stage))]


def without(model: nn.Module, which: Sequence[int]) -> nn.Module:
    """Return a copy in which these of the droppable blocks are the identity."""
    thinner = copy.deepcopy(model)
    for stage, i in np.array(droppable(thinner), dtype=object)[list(which)]:
        stage[i] = nn.Identity()
    return thinner


def small_network(arm: str, seed: int, depth: int = 20) -> nn.Module:
    torch.manual_seed(seed)  # of stochastic depth
    model = ct.cifar_resnet(depth, 8, in_channels=1, seed=seed, residual=arm != "plain")
    if arm == "stochastic depth":
        blocks = [block for stage in model.stages for block in stage]
        for block, survival in zip(blocks, linear_decay(len(blocks)), strict=True):
            block.merge = ct.StochasticDepth(survival)
    return model


def dropping(runs: common.Runs) -> None:
    task = data.digits8()
    held = task.validation(300)
    for arm in ("residual", "stochastic depth", "plain"):

        def tried(rate: float, seed: int, arm: str = arm) -> tuple[float, float]:
            return score(fitted(small_network(arm, seed), held, rate, seed, DROP_EPOCHS), held)

        rate = runs.best_rate(tried, common.SGD_RATES, SEARCHED, of="drop", arm=arm)
        for seed in SEEDS:

            def made(seed: int = seed, arm: str = arm, rate: float = rate) -> dict[str, Any]:
                model = fitted(small_network(arm, seed), task, rate, seed, DROP_EPOCHS)
                count, rng = len(droppable(model)), np.random.default_rng(seed)
                single = [accuracy(without(model, [i]), task) for i in range(count)]
                left = [accuracy(model, task), float(np.median(single))]
                for dropped in (2, 3):
                    draws = [rng.choice(count, dropped, replace=False) for _ in range(10)]
                    right = [accuracy(without(model, draw), task) for draw in draws]
                    left.append(float(np.median(right)))
                return {"left": left, "each": single}

            runs.row(made, part="drop", arm=arm, seed=seed, learning_rate=rate)


def pruned(model: nn.Module, sparsity: float) -> nn.Module:
    """Return a copy without its smallest weights, of all convolutions and dense layers together."""
    sparse = copy.deepcopy(model)
    layers = [m for m in sparse.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    prune.global_unstructured(
        [(layer, "weight") for layer in layers], prune.L1Unstructured, amount=sparsity
    )
    return sparse


def pruning(runs: common.Runs, residual: bool, rate: float) -> None:
    task, of = digits_and_held()[0], {"residual": residual, "learning_rate": rate}
    for seed in SEEDS:
        for sparsity in (0.0, *SPARSITIES):  # 0: the control, an epoch more and nothing pruned

            def made(seed: int = seed, sparsity: float = sparsity) -> dict[str, Any]:
                model = trained("basic", residual, seed, rate)
                sparse = pruned(model, sparsity) if sparsity else copy.deepcopy(model)
                at_once = accuracy(sparse, task)
                ct.fit(sparse, task, seed=seed, progress=False, **TUNE)
                return {"at_once": at_once, "tuned": accuracy(sparse, task)}

            runs.row(made, part="prune", **of, seed=seed, sparsity=sparsity)


def integers(runs: common.Runs, residual: bool, rate: float) -> None:
    task, _ = digits_and_held()
    x = torch.from_numpy(task.x_train[:256]).permute(0, 3, 1, 2).contiguous()
    for seed in SEEDS:

        def made(seed: int = seed) -> dict[str, Any]:
            plain = folded(copy.deepcopy(trained("basic", residual, seed, rate)).eval())
            small = to_int8(copy.deepcopy(plain), x)
            one, many = (interleaved({"float": plain, "int8": small}, x[:n]) for n in (1, 64))
            return {
                "accuracy_float": accuracy(plain, task),
                "accuracy_int8": accuracy(small, task),
                "bytes_float": file_bytes(plain),
                "bytes_int8": file_bytes(small),
                "time_one": round(one["int8"] / one["float"], 3),
                "time_many": round(many["int8"] / many["float"], 3),
            }

        runs.row(made, part="int8", residual=residual, learning_rate=rate, seed=seed)


def student(task: Any, loss: str, rate: float, seed: int) -> nn.Module:
    """Train a network of a quarter of the channels."""
    settings = {"epochs": STUDENT_EPOCHS, "learning_rate": rate, "seed": seed, "loss": loss}
    model = network("basic", True, seed, width=4)
    ct.fit(model, task, progress=False, **settings)
    return model


def right(model: nn.Module, images: np.ndarray, labels: np.ndarray) -> float:
    return round(float((ct.predict(model, images).argmax(1) == labels).mean()), 4)


def distilling(runs: common.Runs, rate: float) -> None:
    """Train a student from labels, and from a teacher's logits by squared error."""
    task, held = digits_and_held()

    def lesson(arm: str, part: int, seed: int) -> tuple[Any, str]:
        task = digits_and_held()[part]
        if arm == "labels":
            return task, "cross_entropy"
        logits = ct.predict(trained("basic", True, seed, rate, part), task.x_train)
        return replace(task, y_train=logits), "squared_error"

    for arm in ("labels", "logits"):

        def tried(rate: float, seed: int, arm: str = arm) -> float:
            return right(student(*lesson(arm, 1, seed), rate, seed), held.x_test, held.y_test)

        found = runs.best_rate(tried, common.SGD_RATES, SEARCHED, of="distil", arm=arm)
        for seed in SEEDS:

            def made(seed: int = seed, arm: str = arm, found: float = found) -> dict[str, Any]:
                teacher = trained("basic", True, seed, rate)
                model = student(*lesson(arm, 0, seed), found, seed)
                both = {"teacher": teacher.eval(), "student": model.eval()}
                times = interleaved(both, images(task))
                return {
                    "accuracy": right(model, task.x_test, task.y_test),
                    "teacher": accuracy(teacher, task),
                    "time_ratio": round(times["student"] / times["teacher"], 3),
                    **cost(model, images(task)),
                }

            of = {"arm": arm, "learning_rate": found, "teacher_rate": rate}
            runs.row(made, part="distil", **of, seed=seed)


if __name__ == "__main__":
    torch.set_num_threads(1)
    found_runs = common.Runs("smaller", __file__)
    for with_shortcuts in (True, False):
        best_of_basic = branches(found_runs, with_shortcuts)
        integers(found_runs, with_shortcuts, best_of_basic)
        pruning(found_runs, with_shortcuts, best_of_basic)
        if with_shortcuts:
            distilling(found_runs, best_of_basic)
    dropping(found_runs)
    found_runs.store()

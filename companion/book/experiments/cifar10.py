"""Plain and residual networks of He et al. 2015 on CIFAR-10, as they trained them, to be resumed.

The paper's recipe (section 4.2): batches of 128, rate 0.1 divided by ten at 32,000 and 48,000 of
64,000 steps, momentum 0.9, weight decay 1e-4, crops of images padded by 4 pixels, mirror images,
and 400 steps at 0.01 first where there are 110 layers or more. Beside it the plain network of the
same depth, from the same weights, with the same batches.

    python -m companion.book.experiments.cifar10 --device cuda --depths 20 32 44 56 110
    python -m companion.book.experiments.cifar10 --device cuda --depths 20 32 44 56 110 --resume
    python -m companion.book.experiments.cifar10 --table

The folder of ``--out`` gets a row for each finished run and a checkpoint of the one that trains. A
hundredth of steps and images, to see that all is well: ``--fraction 0.01``. Without a network:
``--images`` and a folder with CIFAR-10's binary version, or an .npz file of other images.
"""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from companion import _checks
from companion.book.experiments import cifar10_images, common
from companion.book.experiments.cifar10_recipe import LEARNERS, PaperRecipe, placed, train

NAME = "cifar10"
#: Test error in per cent of residual networks, table 6 of the paper; for 110 layers the best of
#: five runs, whose mean is 6.61. It tabulates no plain network; that of 110 layers is above 60.
PAPER = {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.43, 1202: 7.93}
STEPS, WARM_UP = 64_000, 400
#: Of the training images on which the training error is taken, without shifts and mirrors.
SEEN = 10_000


def options() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = found.add_argument
    add("--framework", choices=("torch", "tensorflow"), default="torch")
    add("--device", default="cpu", help="cpu, cuda, cuda:1 or mps; TensorFlow knows cpu and cuda")
    add("--threads", type=int, default=1, help="of the processor, default 1")
    add("--depths", type=int, nargs="+", default=[20, 56], help="6n + 2 layers")
    add("--arms", nargs="+", choices=("plain", "residual"), default=["residual", "plain"])
    add("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add("--epochs", type=int, help="in the place of the paper's 64,000 steps")
    add("--fraction", type=float, default=1.0, help="of the steps and of the images")
    add("--images", type=Path, metavar="FOLDER_OR_NPZ", help="default: download CIFAR-10")
    add("--out", type=Path, metavar="FOLDER", default=Path("cifar10-results"))
    add("--checkpoint", type=int, default=1000, help="steps between two checkpoints")
    add("--resume", action="store_true", help="go on with the runs in the folder")
    add("--table", action="store_true", help="print what the folder has, and train nothing")
    return found


def check(chosen: argparse.Namespace) -> None:
    """Raise ``ValueError`` for an option that no run could have."""
    for depth in chosen.depths:
        _checks.depth(depth, 6, 2)
    for seed in chosen.seeds:
        _checks.seed(seed)
    for name in ("depths", "seeds", "arms"):
        given = getattr(chosen, name)
        if len(set(given)) < len(given):
            raise ValueError(f"{name} must differ from one another, got {given}")
    _checks.positive_int("threads", chosen.threads)
    _checks.positive_int("checkpoint", chosen.checkpoint)
    if chosen.epochs is not None:
        _checks.positive_int("epochs", chosen.epochs)
    if _checks.number("fraction", chosen.fraction, 0, 1) == 0:
        raise ValueError("fraction must be above 0, got 0")
    if not chosen.resume and list(chosen.out.glob(f"{NAME}*")):
        raise ValueError(
            f"out must be a folder without results, got {str(chosen.out)!r}: "
            "give --resume to go on there, or another folder"
        )


def recipe_of(chosen: argparse.Namespace, depth: int, images: int) -> PaperRecipe:
    """Return the recipe for a network; ``images`` are those that are there to train on."""
    size = PaperRecipe.batch_size
    if images < size:
        raise ValueError(f"fraction must leave a batch of {size} images, got {images}")
    steps = STEPS * chosen.fraction
    if chosen.epochs is not None:  # over all images, of which the fraction is here
        steps = chosen.epochs * (images // size)
    warm_up = WARM_UP * steps / STEPS if depth >= 110 else 0
    return PaperRecipe(steps=max(1, round(steps)), warm_up=round(warm_up))


def run(
    chosen: argparse.Namespace, data: cifar10_images.Images, depth: int, arm: str, seed: int
) -> dict[str, Any]:
    """Train one network, or the rest of it; return its errors in per cent."""
    module = importlib.import_module(f"companion.{chosen.framework}")
    recipe = recipe_of(chosen, depth, len(data.x_train))
    sizes = {"in_channels": data.x_train.shape[-1], "num_classes": data.num_classes}
    model = module.cifar_resnet(depth, residual=arm == "residual", seed=seed, **sizes)
    learner = LEARNERS[chosen.framework](model, recipe, chosen.device)
    stored = chosen.out / f"{NAME}-{chosen.framework}-{depth}-{arm}-{seed}.npz"
    try:
        found = train(learner, recipe, data, seed, stored, chosen.checkpoint)
    except FloatingPointError as error:
        print(error)
        return {"test_error": None, "train_error": None, "steps": recipe.steps}
    parts = (
        ("test", data.x_test, data.y_test),
        ("train", data.x_train[:SEEN], data.y_train[:SEEN]),
    )
    errors = {
        f"{part}_error": round(100 * (1 - module.evaluate(model, x, y)[1]), 2)
        for part, x, y in parts
    }
    return {**errors, "steps": recipe.steps, "device": chosen.device, **found}


def table(rows: list[dict[str, Any]]) -> str:
    """Return test errors by depth beside the paper's; spread over seeds where there are several."""

    def cell(depth: int, arm: str, key: str) -> str:
        found = [r[key] for r in rows if r["depth"] == depth and r["arm"] == arm]
        numbers = np.array([value for value in found if value is not None])
        if not len(numbers):
            return "diverged" if found else "-"
        spread = f" ± {numbers.std(ddof=1):.2f}" if len(numbers) > 1 else ""
        lost = f", {len(found) - len(numbers)} diverged" if len(numbers) < len(found) else ""
        return f"{numbers.mean():.2f}{spread} ({len(numbers)}{lost})"

    lines = [
        ("layers", "plain", "residual", "paper, residual", "plain, training", "residual, training")
    ]
    for depth in sorted({r["depth"] for r in rows}):
        known = depth in PAPER and rows[0]["images"] == cifar10_images.NAME
        paper = f"{PAPER[depth]:.2f}" if known else "-"
        lines.append(
            (
                str(depth),
                *(cell(depth, arm, "test_error") for arm in ("plain", "residual")),
                paper,
                *(cell(depth, arm, "train_error") for arm in ("plain", "residual")),
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join(f"{c:>{w}}" for c, w in zip(line, widths, strict=True)) for line in lines]
    return "\n".join(["Errors in per cent, mean ± deviation of seeds (how many):", *text])


def report(folder: Path) -> None:
    """Print the table of each setting for which the folder has rows, finished or not."""
    whole, partial = folder / f"{NAME}.json", folder / f"{NAME}.partial"
    rows = json.loads(whole.read_text("utf-8"))["runs"] if whole.is_file() else []
    if partial.is_file():
        rows += map(json.loads, partial.read_text("utf-8").splitlines())
    if not rows:
        raise ValueError(f"out must be a folder with results, got {str(folder)!r}")
    settings: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        settings.setdefault(
            (row["framework"], row["images"], row["fraction"], row["steps"]), []
        ).append(row)
    for (framework, images, fraction, steps), found in settings.items():
        print(f"{framework}, {images}, {fraction:g} of the images, {steps:,} steps of 128")
        print(table(found))


def main(arguments: list[str] | None = None) -> None:
    chosen = options().parse_args(arguments)
    if chosen.table:
        report(chosen.out)
        return
    check(chosen)
    with placed(chosen.framework, chosen.device, chosen.threads):
        data = cifar10_images.load(chosen.images, chosen.fraction)
        recipe_of(chosen, min(chosen.depths), len(data.x_train))
        chosen.out.mkdir(parents=True, exist_ok=True)
        runs = common.Runs(NAME, __file__, chosen.resume, chosen.out)
        place = {"framework": chosen.framework, "images": data.name, "fraction": chosen.fraction}
        place["epochs"] = chosen.epochs
        for seed in chosen.seeds:  # whole pairs first: a table of one seed is soon there
            for depth in chosen.depths:
                for arm in chosen.arms:
                    at = (depth, arm, seed)
                    runs.row(
                        lambda at=at: run(chosen, data, *at),
                        **place,
                        depth=depth,
                        arm=arm,
                        seed=seed,
                    )
                    (chosen.out / f"{NAME}-{chosen.framework}-{depth}-{arm}-{seed}.npz").unlink(
                        missing_ok=True
                    )
        runs.store(keep=True, device=chosen.device)
    report(chosen.out)


if __name__ == "__main__":
    main()

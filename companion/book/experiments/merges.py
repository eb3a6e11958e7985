"""Every merge of the companion on one task at one budget, and what each of them learns.

Transformers of four blocks on dates of thirty locales (200 steps of 32 lines), and convolutional
networks of 32 layers (or the nearest depth that their design allows) on digits of 8 x 8 pixels
(four epochs). Three seeds, the control without shortcuts beside them; the learning rate of every
arm is the better of two after half the training, on held-out examples. About 11 minutes on one
core.

    python -m companion.book.experiments.merges
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import companion.torch as cp
from companion import architectures, weights
from companion.book.experiments import common
from companion.data import Dataset, dates, digits8
from companion.torch.hyper_connections import WidthConnection, rms_norm
from companion.translation import Translation

SEEDS = (0, 1, 2)
DATES = {"epochs": 2, "batch_size": 32, "optimizer": "adam", "weight_decay": 0.0}
DIGITS = {"epochs": 4, "batch_size": 64}
#: Transformers, beside the control and addition without norms: places of the norms, other merges.
NORMS = ("pre", "post", "sandwich", "deepnorm")
MERGES = ("rezero", "layer_scale", "highway", "stochastic_depth", "hyper", "manifold")
MERGES += ("depth_attention",)


def transformer(arm: str, vocabulary: int, seed: int) -> nn.Sequential:
    if arm == "plain":
        return cp.transformer(vocabulary, 4, 32, residual=False, seed=seed)
    if arm == "no_norm":
        return cp.transformer(vocabulary, 4, 32, norm="none", seed=seed)
    if arm in MERGES:
        return cp.transformer(vocabulary, 4, 32, merge=arm, seed=seed)
    return cp.transformer(vocabulary, 4, 32, norm=arm, seed=seed)


def images(arm: str, seed: int) -> nn.Module:
    if arm == "dense":
        return cp.densenet_cifar(34, 6, in_channels=1, seed=seed)
    if arm == "reversible":
        return cp.revnet_cifar(38, 16, recompute=False, in_channels=1, seed=seed)
    if arm == "fixup":
        return cp.fixup_resnet(32, 8, in_channels=1, seed=seed)
    model = cp.cifar_preact_resnet(32, 8, residual=arm != "plain", in_channels=1, seed=seed)
    survivals = iter(architectures.linear_decay(15))
    merges: dict[str, Callable[[int], nn.Module]] = {
        "skip_init": lambda channels: cp.ScaledAdd(),
        "layer_scale": lambda channels: cp.LayerScale(channels, 0.1),
        "highway": cp.Highway,
        "stochastic_depth": lambda channels: cp.StochasticDepth(next(survivals)),
    }
    if arm in merges:
        for stage in model.stages:
            for block in stage:
                block.merge = merges[arm](block.branch.conv2.out_channels)
        weights.initialize(model, seed)
    return model


IMAGES = ("plain", "add", "skip_init", "layer_scale", "highway", "stochastic_depth", "fixup")
IMAGES += ("dense", "reversible")


def learnt(model: nn.Module, x: np.ndarray) -> dict[str, list]:
    """Return what the merges learnt, in order of depth, averaged over the examples x.

    scale: of each branch; gate: of each highway; mixing: matrix of each layer, and how far its
    rows and columns are from a sum of one; reading: weights of each layer over all before it.
    """
    found: dict[str, list] = {}

    def keep(name: str, value: Tensor) -> None:
        found.setdefault(name, []).append(np.round(value.detach().numpy(), 4).tolist())

    def mixing(module: WidthConnection, inputs: tuple, output: tuple) -> None:
        _, each, _ = module.weights(inputs[0])
        keep("mixing", each.mean(dim=(0, 1)))
        sums = torch.stack([each.sum(-1), each.sum(-2)])
        keep("furthest_from_one", (sums - 1).abs().max())

    def gate(module: cp.Highway, inputs: tuple, output: Tensor) -> None:
        shortcut = inputs[0].movedim(1, -1) if inputs[0].ndim == 4 else inputs[0]
        keep("gate", torch.sigmoid(shortcut @ module.weight + module.bias).mean())

    def reading(module: cp.DepthPooling, inputs: tuple, output: Tensor) -> None:
        each = (rms_norm(inputs[0]) @ module.query).softmax(dim=2)
        keep("reading", each.mean(dim=(0, 1)))

    hooks = []
    for module in model.modules():
        if isinstance(module, (cp.ScaledAdd, cp.LayerScale)):
            keep("scale", module.scale.abs().mean())
        if isinstance(module, WidthConnection):
            hooks.append(module.register_forward_hook(mixing))
        if isinstance(module, cp.Highway):
            hooks.append(module.register_forward_hook(gate))
        if isinstance(module, cp.DepthPooling):
            hooks.append(module.register_forward_hook(reading))
    cp.predict(model, x, batch_size=len(x))
    for hook in hooks:
        hook.remove()
    return found


def trained(model: nn.Module, data: Any, seed: int, **settings: Any) -> dict[str, Any]:
    torch.manual_seed(seed)  # of stochastic depth
    with common.cpu_seconds() as seconds:
        history = cp.fit(model, data, seed=seed, progress=False, **settings)
    return {
        "last_epoch_loss": round(history.loss[-1], 4),
        "accuracy": round(cp.evaluate(model, data.x_test[:500], data.y_test[:500])[1], 4),
        "cpu_seconds": round(seconds[0], 2),
    }


def measured(
    runs: list[dict],
    build: Callable[[int], nn.Module],
    data: Any,
    held: Any,
    rates: tuple[float, float],
    settings: dict[str, Any],
    **place: Any,
) -> None:
    """Choose the rate on held-out examples after half the epochs, then train three seeds."""
    right = {}
    half = {**settings, "epochs": settings["epochs"] // 2}
    for rate in rates:
        found = trained(build(7), held, 7, learning_rate=rate, **half)
        print("rate", place, rate, found, flush=True)
        right[rate] = found["accuracy"]
    rate = max(right, key=right.__getitem__)
    for seed in SEEDS:
        model = build(seed)
        row = {**place, "seed": seed, "learning_rate": rate}
        row["parameters"] = sum(p.numel() for p in model.parameters())
        row.update(trained(model, data, seed, learning_rate=rate, **settings))
        if isinstance(data, Translation):
            row["exact"] = round(data.exact_match(lambda x, m=model: cp.predict(m, x), 300), 4)
        row.update(learnt(model, data.x_test[:100]))
        print({k: v for k, v in row.items() if not isinstance(v, list)}, flush=True)
        runs.append(row)


def translations(runs: list[dict]) -> None:
    pairs = dates(size=12_800)
    lines, held = (Translation.from_pairs(p).first(3200) for p in (pairs, pairs.validation()))
    vocabulary = lines.num_classes
    for arm in ("plain", "no_norm", *NORMS, *MERGES):

        def build(seed: int, arm: str = arm) -> nn.Module:
            return transformer(arm, vocabulary, seed)

        measured(runs, build, lines, held, (0.01, 0.003), DATES, task="dates", arm=arm)


def pictures(runs: list[dict]) -> None:
    digits: Dataset = digits8()
    for arm in IMAGES:

        def build(seed: int, arm: str = arm) -> nn.Module:
            return images(arm, seed)

        held = digits.validation(300)
        measured(runs, build, digits, held, (0.1, 0.02), DIGITS, task="digits", arm=arm)


if __name__ == "__main__":
    torch.set_num_threads(1)
    collected: list[dict] = []
    pictures(collected)
    translations(collected)
    common.store("merges", "companion/book/experiments/merges.py", collected)

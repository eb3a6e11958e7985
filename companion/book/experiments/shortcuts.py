"""What stands on the shortcut: table 1 of He et al. 2016 (arXiv 1603.05027) redone in small.

A 44-layer network of width 8 on digits of 8 x 8 pixels, six epochs. Every arm is the same network
with another shortcut, merge or place of the norms and ReLUs, and the branches start with the same
weights. Rates come from one search for all arms, on 300 images that are in neither part, after
half the epochs. Three seeds; five for the pairs that are compared closely, a shortcut with a norm
or a ReLU on it and the same without, which are also trained at each other's rate. About 7 minutes
on one core.

    python -m companion.book.experiments.shortcuts
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

import companion.torch as cp
from companion import architectures, weights
from companion.book.experiments import common
from companion.data import Dataset, digits8
from companion.torch.transformer import Scale

SEEDS = (0, 1, 2)
#: A shortcut with something on it, and the same network without: more seeds, and equal rates.
PAIRS = {"norm": "identity", "preact_relu": "preact"}
PAIR_SEEDS = (0, 1, 2, 3, 4)
DEPTH, WIDTH = 44, 8
EPOCHS = 6
SETTINGS: dict[str, Any] = {"batch_size": 64, "progress": False}


class ShortcutGate(nn.Module):
    """(1 - g) * shortcut + branch, g = sigmoid(W shortcut + b) (arXiv 1603.05027, section 3.1)."""

    own_parameters = ("weight", "bias")

    def __init__(self, channels: int, bias: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, channels))
        self.bias = nn.Parameter(torch.full((channels,), bias))

    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        gate = torch.sigmoid(shortcut.movedim(1, -1) @ self.weight + self.bias).movedim(-1, 1)
        return (1 - gate) * shortcut + branch


def after(carry: nn.Module, operation: nn.Module) -> nn.Module:
    return nn.Sequential(carry, operation)


def changed(block: cp.Residual, design: str) -> cp.Residual:
    """The same branch in another residual connection; ``carry`` is identity or zero-padding."""
    branch, carry, relu = block.branch, block.shortcut, block.activation
    conv, channels = branch.conv1, branch.conv1.out_channels
    if design == "half":
        return cp.Residual(branch, after(carry, Scale(0.5)), activation=relu)
    if design == "half_both":
        branch.add_module("halved", Scale(0.5))
        return cp.Residual(branch, after(carry, Scale(0.5)), activation=relu)
    if design == "exclusive_gate":
        return cp.Residual(branch, carry, cp.Highway(channels, bias=-6.0), relu)
    if design == "shortcut_gate_0":
        return cp.Residual(branch, carry, ShortcutGate(channels, 0.0), relu)
    if design == "shortcut_gate_6":
        return cp.Residual(branch, carry, ShortcutGate(channels, -6.0), relu)
    if design == "conv":
        projection = cp.Projection(conv.in_channels, channels, conv.stride[0])
        return cp.Residual(branch, projection, activation=relu)
    if design == "dropout":
        return cp.Residual(branch, after(carry, nn.Dropout(0.5)), activation=relu)
    if design == "norm":
        return cp.Residual(branch, after(carry, cp.BatchNorm2d(channels)), activation=relu)
    if design == "norm_after":
        norm = branch.norm2
        del branch.norm2
        return cp.Residual(branch, carry, activation=after(norm, relu))
    if design == "relu_before":
        branch.add_module("relu2", nn.ReLU())
        return cp.Residual(branch, carry)
    assert design == "preact_relu"
    return cp.Residual(branch, after(carry, nn.ReLU()))


#: Arms that are a network of the companion as it is.
WHOLE: dict[str, dict[str, Any]] = {
    "identity": {},
    "none": {"residual": False},
    "preact": {"block": "pre_activation"},
    "separable": {"block": "separable"},
    "separable_none": {"block": "separable", "residual": False},
}
CHANGED = ("half", "half_both", "exclusive_gate", "shortcut_gate_0", "shortcut_gate_6", "conv")
CHANGED += ("dropout", "norm", "norm_after", "relu_before", "preact_relu")


def network(design: str, seed: int) -> nn.Module:
    """Return the network of one arm; its branches start alike in all of them."""
    options = dict(WHOLE.get("preact" if design == "preact_relu" else design, {}))
    residual = options.pop("residual", True)
    table = replace(architectures.cifar_resnet(DEPTH, WIDTH), **options)
    model = cp.ResNet(table, "A", residual, in_channels=1, num_classes=10, seed=seed)
    if design in CHANGED:
        for stage in model.stages:
            for i, block in enumerate(stage):
                stage[i] = changed(block, design)
        weights.initialize(model, seed)
    return model


def trained(design: str, data: Dataset, seed: int, rate: float) -> dict[str, Any]:
    model = network(design, seed)
    row: dict[str, Any] = {"parameters": sum(p.numel() for p in model.parameters())}
    torch.manual_seed(seed)  # of the dropout
    with common.cpu_seconds() as seconds:
        try:
            history = cp.fit(model, data, seed=seed, epochs=EPOCHS, learning_rate=rate, **SETTINGS)
            row["last_epoch_loss"] = round(history.loss[-1], 4)
            row["train_accuracy"] = round(cp.evaluate(model, data.x_train, data.y_train)[1], 4)
            row["test_accuracy"] = round(cp.evaluate(model, data.x_test, data.y_test)[1], 4)
            row["diverged"] = False
        except (FloatingPointError, ValueError):  # the loss or the outputs are no numbers any more
            row.update(last_epoch_loss=9.9, train_accuracy=0.1, test_accuracy=0.1, diverged=True)
    row["cpu_seconds"] = round(seconds[0], 2)
    return row


def score(design: str, held: Dataset, seed: int, rate: float) -> tuple[float, float]:
    """Accuracy and minus the loss after half the epochs, on images of neither part."""
    model = network(design, seed)
    torch.manual_seed(seed)
    cp.fit(model, held, seed=seed, epochs=EPOCHS // 2, learning_rate=rate, **SETTINGS)
    try:
        loss, accuracy = cp.evaluate(model, held.x_test, held.y_test)
    except ValueError as error:  # outputs that are no numbers
        raise FloatingPointError from error
    return accuracy, -loss


if __name__ == "__main__":
    torch.set_num_threads(1)
    digits, rows = digits8(), common.Runs("shortcuts", __file__)
    held = digits.validation(300)
    best: dict[str, float] = {}

    def run(design: str, rate: float, part: str, seeds: tuple[int, ...]) -> None:
        for seed in seeds:
            place = {"part": part, "design": design, "seed": seed, "learning_rate": rate}
            rows.row(lambda s=seed: trained(design, digits, s, rate), **place)

    for design in (*WHOLE, *CHANGED):
        best[design] = rows.best_rate(
            lambda rate, seed, d=design: score(d, held, seed, rate),
            common.SGD_RATES,
            design=design,
        )
        close = design in PAIRS or design in PAIRS.values()
        run(design, best[design], "test", PAIR_SEEDS if close else SEEDS)
    for pair in PAIRS.items():  # what an arm does at the rate of the other
        for design, rate in zip(pair, (best[pair[1]], best[pair[0]]), strict=True):
            if rate != best[design]:
                run(design, rate, "at the other's rate", PAIR_SEEDS)
    # One seed chose the rates: two rows that come out close, at the next rate below.
    for design in ("half", "half_both"):
        run(design, 0.03, "at a lower rate", SEEDS)
    rows.store()

"""Two views of a digit, an image and a sequence, fused on the residual stream or by concatenation.

The upper half of a scan is read as an image, the lower half line by line as a sequence. Eleven
arms, the same initial weights, five seeds; the learning rate of every arm is searched on training
images held out, with as many epochs as in the test. About five minutes on one core.

    python -m companion.book.experiments.fusion
"""

from __future__ import annotations

import copy
import math
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

import companion.torch as ct
from companion import data
from companion.book.experiments import common

SEEDS = range(5)
EPOCHS, WIDTH, BLOCKS = 8, 32, 3


class TanhGate(nn.Module):
    """shortcut + tanh(a) * branch, a learned from 0: a gate that starts shut (as in Flamingo)."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(1))

    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        return shortcut + torch.tanh(self.gate) * branch


class Ask(nn.Module):
    """The stream asks, the sequence answers, one head: (N, C) and (N, T, C) to (N, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ct.LayerNorm(channels)
        self.query, self.key, self.value, self.out = (
            ct.Dense(channels, channels) for _ in range(4)
        )

    def forward(self, stream: Tensor, tokens: Tensor) -> Tensor:
        query = self.query(self.norm(stream))[:, None]  # (N, 1, C)
        scores = (query * self.key(tokens)).sum(-1) / math.sqrt(stream.shape[1])  # (N, T)
        answer = (scores.softmax(-1)[:, :, None] * self.value(tokens)).sum(1)
        return self.out(answer)


class TwoViews(nn.Module):
    """Digits (N, 1, 8, 8) to logits: the upper half by convolutions, the lower half by an LSTM.

    Parameters
    ----------
    fusion: ``"gated"`` adds what the sequence answers behind a gate that starts shut, before each
        block; ``"added"`` the same without a gate; ``"replaced"`` puts the answer in the
        stream's place, so that the image only asks; ``"concatenated"`` joins both views before the
        first block, and ``"plain"`` is its control, whose blocks have no shortcuts;
        ``"image"`` and ``"sequence"`` see one view.
    absent: fraction of training batches in which the sequence is missing, default 0.
    seed: of the initial weights, the same for every fusion.
    """

    def __init__(self, fusion: str, seed: int, absent: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.fusion, self.absent, self.missing = fusion, absent, False
        self.image = nn.Sequential(
            ct.Conv2d(1, 16),
            ct.BatchNorm2d(16),
            nn.ReLU(),
            ct.BasicBlock(16, 16),
            nn.Flatten(),
            ct.Dense(16 * 4 * 8, WIDTH),
        )
        self.sequence = ct.LSTM(8, WIDTH)
        plain = fusion in ("replaced", "plain")
        self.blocks = nn.ModuleList(
            ct.MLPBlock(WIDTH, "layer", residual=not plain) for _ in range(BLOCKS)
        )
        self.ask = nn.ModuleList(Ask(WIDTH) for _ in range(BLOCKS))
        self.join = ct.Dense(2 * WIDTH, WIDTH)
        gates = {"gated": TanhGate, "added": ct.Add}
        self.merge = nn.ModuleList(gates[fusion]() for _ in range(BLOCKS) if fusion in gates)
        self.norm, self.dense = ct.LayerNorm(WIDTH), ct.Dense(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        stream = self.image(x[:, :, :4])
        tokens = self.sequence(x[:, 0, 4:])  # (N, 4, C): a state for each line
        missing = self.missing or (self.training and float(torch.rand(())) < self.absent)
        if self.fusion == "sequence":
            stream = tokens[:, -1]
        if self.fusion in ("concatenated", "plain"):
            last = torch.zeros_like(stream) if missing else tokens[:, -1]
            stream = self.join(torch.cat([stream, last], dim=1))
        for i, block in enumerate(self.blocks):
            if self.fusion == "replaced" and not missing:
                stream = self.ask[i](stream, tokens)
            elif self.merge and not missing:
                stream = self.merge[i](stream, self.ask[i](stream, tokens))
            stream = block(stream)
        return self.dense(torch.relu(self.norm(stream)))

    def gates(self) -> list[float]:
        """Return tanh(a) of every gate."""
        return [float(torch.tanh(m.gate)) for m in self.merge if isinstance(m, TanhGate)]


class OnTopOf(nn.Module):
    """A trained model of one view, its weights and statistics frozen, with fusion added to it."""

    def __init__(self, trained: TwoViews, fusion: str, seed: int) -> None:
        super().__init__()
        self.whole = TwoViews(fusion, seed)
        frozen = ("image", "blocks", "norm", "dense")
        for name in frozen:
            part = copy.deepcopy(getattr(trained, name)).requires_grad_(False)
            setattr(self.whole, name, part)
        self.frozen = frozen

    def train(self, mode: bool = True) -> OnTopOf:
        super().train(mode)
        for name in self.frozen:
            getattr(self.whole, name).eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.whole(x)


def accuracies(model: Any, task: Any) -> dict[str, float]:
    """Return the accuracy with both views, and with the sequence missing."""
    inner, found = getattr(model, "whole", model), {}
    for name, missing in (("both", False), ("without_sequence", True)):
        inner.missing = missing
        found[name] = round(ct.evaluate(model, task.x_test, task.y_test)[1], 4)
    inner.missing = False
    return found


def fitted(model: Any, task: Any, rate: float, seed: int, epochs: int = EPOCHS) -> Any:
    settings = {"optimizer": "adam", "weight_decay": 0.0, "batch_size": 64}
    torch.manual_seed(seed)  # which batches miss the sequence
    ct.fit(model, task, epochs=epochs, learning_rate=rate, seed=seed, progress=False, **settings)
    return model


ARMS: dict[str, dict[str, Any]] = {
    "image": {"fusion": "image"},
    "sequence": {"fusion": "sequence"},
    "concatenated": {"fusion": "concatenated"},
    "plain": {"fusion": "plain"},
    "added": {"fusion": "added"},
    "gated": {"fusion": "gated"},
    "replaced": {"fusion": "replaced"},
    "concatenated, sometimes absent": {"fusion": "concatenated", "absent": 0.5},
    "gated, sometimes absent": {"fusion": "gated", "absent": 0.5},
}
FROZEN = {"frozen, added": "added", "frozen, gated": "gated"}


@cache
def images_alone(seed: int, rate: float, held: bool) -> TwoViews:
    """Return the model of images that fusion is added to, trained as its own arm is."""
    task = data.digits8().validation(300) if held else data.digits8()
    return fitted(TwoViews("image", seed), task, rate, seed)


def arms(runs: common.Runs) -> None:
    task = data.digits8()
    held, of_images = task.validation(300), math.nan
    for arm in (*ARMS, *FROZEN):

        def build(seed: int, held: bool, arm: str = arm, rate: float = of_images) -> nn.Module:
            if arm in FROZEN:
                return OnTopOf(images_alone(seed, rate, held), FROZEN[arm], seed)
            return TwoViews(seed=seed, **ARMS[arm])

        def tried(rate: float, seed: int, build: Any = build) -> tuple[float, float]:
            loss, right = ct.evaluate(
                fitted(build(seed, True), held, rate, seed), held.x_test, held.y_test
            )
            return right, -loss

        rate = runs.best_rate(tried, common.ADAM_RATES, seeds=(7, 8), arm=arm)
        of_images = rate if arm == "image" else of_images
        for seed in SEEDS:

            def made(seed: int = seed, build: Any = build, rate: float = rate) -> dict[str, Any]:
                model = build(seed, False)
                row = {"start": accuracies(model, task)["both"]}
                row |= accuracies(fitted(model, task, rate, seed), task)
                gates = getattr(model, "whole", model).gates()
                return {**row, "gates": [round(gate, 3) for gate in gates]}

            runs.row(made, part="test", arm=arm, seed=seed, learning_rate=rate)


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = common.Runs("fusion", __file__)
    arms(found)
    found.store()

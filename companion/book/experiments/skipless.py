"""Transformers without shortcuts on the dates: what shaped attention repairs.

Four blocks of 32 channels as in ``merges``, norms before attention and MLP in every arm. Shaped
attention is I + A - C by head at the start, each of the three with a factor that is learned; the
queries start at 0, so that A = C, the even attention, and tokens are not mixed at all (He and
Hofmann 2024, arXiv 2311.01906, section 4.1). 200 steps of 32 lines. Rates come from one search
over 100 steps, on held-out days. About four minutes on one core.

    python -m companion.book.experiments.skipless
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import companion.torch as cp
from companion.book.experiments import common
from companion.book.experiments.merges import score, trained
from companion.data import dates
from companion.torch.sequence_layers import Attention
from companion.translation import Translation

SEEDS = (0, 1, 2)
BLOCKS, CHANNELS = 4, 32
ADAM: dict[str, Any] = {"batch_size": 32, "optimizer": "adam", "weight_decay": 0.0}


class ShapedAttention(Attention):
    """(a I + b A - c C) V by head: a, b and c are learned from 1, C is the even attention.

    The queries start at 0, so that A = C and each token reads itself alone (He and Hofmann 2024,
    arXiv 2311.01906, section 4.1; Noci et al. 2023, arXiv 2306.17759). (N, T, channels) to the
    same shape.

    Parameters
    ----------
    like: an attention, whose layers it takes, with their weights.
    identity: whether value and projection start as the identity.
    """

    def __init__(self, like: Attention, identity: bool = False) -> None:
        super().__init__(like.query.in_features, like.heads, like.causal)
        self.query, self.key, self.value, self.out = like.query, like.key, like.value, like.out
        self.mix = nn.Parameter(torch.ones(3, like.heads, 1, 1))
        nn.init.zeros_(self.query.weight)
        if identity:
            nn.init.eye_(self.value.weight)
            nn.init.eye_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        def split(y: Tensor) -> Tensor:  # (N, T, C) to (N, heads, T, d)
            return y.unflatten(2, (self.heads, -1)).transpose(1, 2)

        query, key, value = split(self.query(x)), split(self.key(x)), split(self.value(x))
        scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])  # (N, heads, T, T)
        even = torch.zeros_like(scores[0, 0])  # (T, T)
        if self.causal:
            even = even.masked_fill(torch.ones_like(even, dtype=torch.bool).triu(1), -math.inf)
        own, read, level = self.mix
        mixed = read * (scores + even).softmax(dim=3) - level * even.softmax(dim=1)
        mixed = (mixed @ value) + own * value
        return self.out(mixed.transpose(1, 2).flatten(2))


class Parallel(nn.Module):
    """attention(n) + g MLP(n), n = LN(x), g learned from 1 / sqrt(blocks): no shortcut.

    The parallel block of He and Hofmann 2024, section 4.3, with its values and projection free.
    """

    def __init__(self, attention: nn.Module, mlp: nn.Module, norm: nn.Module, blocks: int) -> None:
        super().__init__()
        self.attention, self.mlp, self.norm = attention, mlp, norm
        self.gain = nn.Parameter(torch.tensor(blocks**-0.5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        return self.attention(x) + self.gain * self.mlp(x)  # type: ignore[no-any-return]


class Arm(NamedTuple):
    """Where shortcuts are, and how attention starts."""

    attention: bool = False
    mlp: bool = False
    shaped: bool = False
    identity: bool = False
    parallel: bool = False


ARMS = {
    "none": Arm(),
    "both": Arm(attention=True, mlp=True),
    "none, parallel, shaped, identity": Arm(shaped=True, identity=True, parallel=True),
    "none, shaped, identity": Arm(shaped=True, identity=True),
    "mlp": Arm(mlp=True),
    "mlp, shaped, identity": Arm(mlp=True, shaped=True, identity=True),
}


def transformer(arm: Arm, vocabulary: int, seed: int, blocks: int = BLOCKS) -> nn.Sequential:
    """Return the arm's network; all have the weights of the seed where the arm changes none."""
    model = cp.transformer(vocabulary, blocks, CHANNELS, seed=seed)
    for block in model.blocks:
        for name, kept in (("attention", arm.attention), ("mlp", arm.mlp)):
            if not kept:
                setattr(block, name, cp.Residual(getattr(block, name).branch, shortcut=None))
        if arm.shaped:
            branch = block.attention.branch
            branch.function = ShapedAttention(branch.function, arm.identity)
    if arm.parallel:
        model.blocks = nn.Sequential(*(parallel(block, blocks) for block in model.blocks))
    return model


def parallel(block: nn.Module, blocks: int) -> Parallel:
    """Return a block with the same layers, side by side, and one norm for both."""
    attention, mlp = block.attention.branch, block.mlp.branch
    return Parallel(attention.function, mlp.function, attention.norm, blocks)


def measure(runs: common.Runs, lines: Translation, held: Translation, name: str) -> None:
    """Search the arm's rate, and train at it."""

    def build(seed: int) -> nn.Module:
        return transformer(ARMS[name], lines.num_classes, seed)

    def found(rate: float, seed: int) -> tuple[float, float]:
        return score(build(seed), held, seed, learning_rate=rate, epochs=1, **ADAM)

    def made(rate: float, seed: int) -> dict[str, Any]:
        model = build(seed)
        row = trained(model, lines, seed, learning_rate=rate, epochs=2, **ADAM)
        if row["diverged"]:
            return {**row, "exact": 0.0}
        return {**row, "exact": round(lines.exact_match(lambda x: cp.predict(model, x), 300), 4)}

    rate = runs.best_rate(found, common.ADAM_RATES, arm=name)
    for seed in SEEDS:
        at = {"part": "test", "arm": name, "epochs": 2, "learning_rate": rate, "seed": seed}
        runs.row(lambda seed=seed: made(rate, seed), **at)


if __name__ == "__main__":
    torch.set_num_threads(1)
    pairs = dates(size=12_800)
    task, apart = (Translation.from_pairs(p).take(3200) for p in (pairs, pairs.validation()))
    stored = common.Runs("skipless", __file__)
    for arm in ARMS:
        measure(stored, task, apart, arm)
    stored.store()

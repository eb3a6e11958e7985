"""What a residual stream loses in bfloat16, and whether a network that is trained so minds.

Forward, at the initial weights: stacks of 16 to 256 blocks of three designs, computed in float64
but for the stream, which is kept in one of four ways; every branch reads the stream in bfloat16 and
puts out bfloat16. A row has the share of additions that left a number of the stream as it was, what
a formula says of it, and how far the stream is in the end from one that was never rounded.

Training: pre-norm stacks whose blocks read and write bfloat16, with the stream between them in
bfloat16 or in float32 and nothing else changed, so that its gradient is in the same. Data, budget
and search of rates are those of ``remedies``, with Adam. Five seeds; about six minutes on one core.

    python -m companion.book.experiments.sixteen_bits
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

import companion.torch as ct
from companion.book.experiments import common
from companion.book.experiments.remedies import outcome, searched
from companion.data import mnist

SEEDS = (0, 1, 2, 3, 4)
WIDTH, IMAGES = 128, 64
STREAMS = ("bfloat16", "stochastic", "compensated", "float32")
#: Blocks of the stacks that are not trained. A bare sum doubles its variance in each block.
BLOCKS = {"bare sum": (16, 64), "branch times 1/√L": (16, 64, 256), "pre-norm": (16, 64, 256)}
#: Of the trained ones: blocks, merge, and what LayerScale starts at.
TRAINED = {
    "addition": (50, "add", None),
    "LayerScale from 1e-6": (50, "layer_scale", 1e-6),
}


def short(x: Tensor) -> Tensor:
    """Round to bfloat16, and come back to the type of x. A gradient is rounded likewise."""
    return x.to(torch.bfloat16).to(x.dtype)


def drawn(x: Tensor) -> Tensor:
    """Round to one of the two neighbours in bfloat16, the nearer the likelier."""
    bits = x.float().view(torch.int32)
    noise = torch.randint(0, 1 << 16, bits.shape, dtype=torch.int32)
    return ((bits + noise) & -(1 << 16)).view(torch.float32).to(x.dtype)


def predicted_share(ratio: float | Tensor) -> float | Tensor:
    """Return the share of additions that change nothing, of a branch so long against the stream.

    Stream and branch are normal and independent. A number s keeps its value if the branch's is
    below half of its step, 2^(floor(log2 |s|) - 8). For short steps that is the density of the
    branch at 0 times the mean step; E|s| = sqrt(2/pi), and the floor takes 1/(2 log 2) of it.
    """
    return (2 / math.pi) / (2 * math.log(2)) / 2**8 / ratio


#: Standard deviation of the rounding error of a normal number, over that of the number: a step is
#: even over its width, and E 4^floor(log2 |s|) = 3/(8 log 2) for s of any scale.
ROUNDING = 2**-7 / math.sqrt(12) * math.sqrt(3 / (8 * math.log(2)))


def add(stream: Tensor, branch: Tensor, carry: Tensor, how: str) -> tuple[Tensor, Tensor]:
    """Return the stream after one addition, and what a compensated sum carries to the next."""
    if how == "float32":
        return (stream.float() + branch.float()).to(stream.dtype), carry
    if how == "stochastic":
        return drawn(stream + branch), carry
    if how == "bfloat16":
        return short(stream + branch), carry
    small = short(branch + carry)  # Kahan 1965
    total = short(stream + small)
    return total, short(small - short(total - stream))


@torch.no_grad()
def forward(design: str, blocks: int, how: str, seed: int) -> dict[str, float]:
    """Send normal inputs through a stack; return what its stream lost."""
    norm = "layer" if design == "pre-norm" else "none"
    model = ct.residual_mlp(WIDTH, 10, blocks, WIDTH, norm, seed=seed).double()
    scale = blocks**-0.5 if "√" in design else 1.0
    torch.manual_seed(seed)
    exact = short(model.stem(torch.randn(IMAGES, WIDTH, dtype=torch.float64)))
    stream, carry = exact.clone(), torch.zeros_like(exact)
    unchanged, expected = [], []
    for block in model.blocks:
        exact = exact + scale * block.branch(exact)
        branch = short(scale * block.branch(short(stream)))
        before = stream
        stream, carry = add(stream, branch, carry, how)
        unchanged.append(float((stream == before).double().mean()))
        ratio = branch.square().mean().sqrt() / before.square().mean().sqrt()
        expected.append(float(predicted_share(ratio)))
    return {
        "unchanged": sum(unchanged) / blocks,
        "expected": sum(expected) / blocks,
        "unchanged_last": unchanged[-1],
        "expected_last": expected[-1],
        "error": float((stream + carry - exact).norm() / exact.norm()),
    }


class Rounded(nn.Module):
    """A block whose branch reads and writes bfloat16, on a stream in bfloat16 or in float32."""

    def __init__(self, block: ct.Residual, how: str) -> None:
        super().__init__()
        self.block, self.how = block, how

    def forward(self, x: Tensor) -> Tensor:
        total = self.block.merge(x, short(self.block.branch(short(x))))
        return short(total) if self.how == "bfloat16" else total


def stack(arm: str, how: str, seed: int) -> nn.Sequential:
    blocks, merge, initial = TRAINED[arm]
    model = ct.residual_mlp(49, 10, blocks, 64, "layer", merge, seed=seed)
    for i, block in enumerate(model.blocks):
        if initial is not None:
            nn.init.constant_(block.merge.scale, initial)
        model.blocks[i] = Rounded(block, how)
    return nn.Sequential(nn.Flatten(), model)


def main() -> None:
    runs = common.Runs("sixteen_bits", __file__)
    for design, depths in BLOCKS.items():
        for blocks in depths:
            for how in STREAMS:
                for seed in SEEDS:
                    place = {"design": design, "blocks": blocks, "stream": how, "seed": seed}
                    runs.row(
                        lambda a=(design, blocks, how, seed): forward(*a), part="forward", **place
                    )
    tiny = mnist().downsampled(2)
    for arm in TRAINED:
        for how in ("bfloat16", "float32"):
            place: dict[str, Any] = {"arm": arm, "stream": how}
            rate = searched(runs, tiny, lambda s, a=arm, h=how: stack(a, h, s), "adam", place)
            for seed in SEEDS:
                runs.row(
                    lambda a=(arm, how, seed), r=rate: outcome(stack(*a), tiny, "adam", r, a[-1]),
                    part="training",
                    **place,
                    learning_rate=rate,
                    seed=seed,
                )
    runs.store()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()

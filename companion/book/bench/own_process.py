"""What PyTorch's networks cost in a process of its own, whose memory nothing has touched before."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np
from torch import nn

from companion.allocator import keep_freed_memory
from companion.book.bench.timing import (
    Comparison,
    Measurement,
    Row,
    Subprocess,
    compared,
    seconds_of,
)
from companion.book.bench.torch import NETWORKS, images, step
from companion.torch.checkpointed import CheckpointedNetwork
from companion.torch.costs import peak_saved_bytes, saved_bytes
from companion.torch.networks import ResNet, cifar_resnet
from companion.torch.training import use_threads


def measurements() -> dict[str, Measurement]:
    memory = Comparison(
        "torch/memory/cifar20/32",
        "cifar20, 32 at 32 px, step of training: freed memory kept",
        lambda: (Subprocess(_steps, True), Subprocess(_steps, False)),
        rounds=5,
    )
    depths = (20, 56, 326, 1202)
    return {
        memory.id: memory.run,
        "torch/depth": lambda rounds: Subprocess(depth_row, depths, rounds or 5, True)(),
        "torch/depth/default": lambda rounds: Subprocess(depth_row, depths, rounds or 5, False)(),
        "torch/checkpoint/1202": lambda rounds: Subprocess(checkpoint_row, 1202, rounds or 3)(),
    }


def _begin(kept: bool) -> bool:
    """Make a new process ready; return whether it keeps freed memory."""
    use_threads(1)
    return kept and keep_freed_memory()


def _steps(kept: bool) -> float:
    """Return the median of the CPU seconds of 20 steps of training, in this process."""
    _begin(kept)
    network, side = NETWORKS["cifar20"]
    model = network().train()
    call = step(model, model.parameters(), images(32, side))
    return median(seconds_of(call) for _ in range(20))


def depth_row(depths: tuple[int, ...], rounds: int, kept: bool) -> Row:
    """Return the row of time and saved bytes per block of ``cifar_resnet`` (width 16, 32 x 32).

    Of a step of training on a batch of 16, without the first round, at four depths. ``ratio``:
    median over the rounds of the slope between the two deep networks over that between the two
    shallow ones.

    Parameters
    ----------
    kept: whether freed memory stays with this process, see :mod:`companion.allocator`.
    """
    how = "kept" if _begin(kept) else "as the C library will"
    target = 1.1 if kept else None
    x = images(16, 32)
    models = [cifar_resnet(depth, seed=0) for depth in depths]
    steps = [step(model, model.parameters(), x) for model in models]
    blocks = [(depth - 2) // 2 for depth in depths]
    seconds: list[list[float]] = [[] for _ in depths]
    for _ in range(rounds + 1):
        for taken, call, count in zip(seconds, steps, blocks, strict=True):
            repeats = 4 if count < 100 else 1  # short ones are lost in the noise
            taken.append(sum(seconds_of(call) for _ in range(repeats)) / repeats)
    seconds = [taken[1:] for taken in seconds]
    saved = [saved_bytes(model, x) for model in models]
    shallow, deep = (slope.tolist() for slope in slopes(seconds, blocks))
    times = compared(deep, shallow)
    return {
        "id": "torch/depth" if kept else "torch/depth/default",
        "statement": f"time per block, depth {depths[2]:,} to {depths[3]:,} against {depths[:2]}, "
        f"freed memory {how}",
        "rounds": rounds,
        "blocks": blocks,
        **times,
        "seconds": median(deep),
        "base_seconds": median(shallow),
        "saved_bytes": saved,
        "saved_linear": len(set(slopes(saved, blocks))) == 1,
        "step_seconds": list(map(median, seconds)),
        "target": target,
        "met": target is None or times["ratio"] <= target,
    }


def slopes(values: Sequence, blocks: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the growth per block between two shallow networks, and between two deep ones."""
    a, b, c, d = np.asarray(values)
    return (b - a) / (blocks[1] - blocks[0]), (d - c) / (blocks[3] - blocks[2])


def checkpointed(model: ResNet, segments: int) -> CheckpointedNetwork:
    """Return the same network, parameters shared, that keeps one activation for each segment."""
    blocks = nn.Sequential(*(block for stage in model.stages for block in stage))  # type: ignore[attr-defined]
    return CheckpointedNetwork(model.stem, blocks, model.head, segments)


def checkpoint_row(depth: int, rounds: int) -> Row:
    """Return the row of a step of training that keeps few activations against one that keeps all.

    ``kept_ratio``: the most bytes that autograd held without checkpoints over that with them, of
    which at least 7 is asked for at 1,202 layers, at most 1.6 times the time.
    """
    _begin(True)
    model, x = cifar_resnet(depth, seed=0), images(16, 32)
    # The optimum of the book's page on memory; on average a block keeps 7/3 of what enters the
    # first stage. The valley is flat.
    segments = round((7 / 3 * (depth - 2) / 2) ** 0.5)
    few = checkpointed(model, segments)
    case = Comparison(
        f"torch/checkpoint/{depth}",
        f"a step of training at {depth:,} layers: {segments} checkpoints against none",
        lambda: (step(few, model.parameters(), x), step(model, model.parameters(), x)),
        target=1.6,
    )
    row = case.run(rounds)
    held = [peak_saved_bytes(network, x) for network in (model, few)]
    ratio = held[0] / held[1]
    return {**row, "peak_bytes": held, "kept_ratio": ratio, "met": row["met"] and ratio >= 7}

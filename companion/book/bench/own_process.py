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
    kept = Comparison(
        "torch/memory/cifar20/32",
        "cifar20, 32 at 32 px, step of training: freed memory kept",
        lambda: (Subprocess(_steps, True), Subprocess(_steps, False)),
        rounds=5,
    )
    return {
        kept.id: kept.run,
        "torch/depth": lambda rounds: depth_row(rounds=rounds or 5),
        "torch/depth/default": lambda rounds: depth_row(rounds=rounds or 5, kept=False),
        "torch/checkpoint/1202": lambda rounds: checkpoint_row(rounds=rounds or 3),
    }


def _begin(kept: bool) -> bool:
    """Make a new process ready; return whether it keeps freed memory."""
    use_threads(1)
    return kept and keep_freed_memory()


def _steps(kept: bool, count: int = 20) -> float:
    """Return the median of the CPU seconds of some steps of training, in this process."""
    _begin(kept)
    network, side = NETWORKS["cifar20"]
    model = network().train()
    call = step(model, model.parameters(), images(32, side))
    return median(seconds_of(call) for _ in range(count))


def depth_row(
    depths: tuple[int, ...] = (20, 56, 326, 1202), rounds: int = 5, kept: bool = True
) -> Row:
    """Return the row of time and saved bytes per block of ``cifar_resnet`` (width 16, 32 x 32).

    Of a step of training on a batch of 16, without the first round.

    Parameters
    ----------
    kept: whether freed memory stays with the process, see :mod:`companion.allocator`.
    """
    row: Row = Subprocess(_by_depth, depths, rounds, kept)()
    return row


def _by_depth(depths: tuple[int, ...], rounds: int, kept: bool) -> Row:
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
    shallow, deep = slopes(saved, blocks)
    times = per_block(seconds, blocks)
    return {
        "id": "torch/depth" if kept else "torch/depth/default",
        "statement": f"time per block, depth {depths[2]:,} to {depths[3]:,} against {depths[:2]}, "
        f"freed memory {how}",
        "rounds": rounds,
        "blocks": blocks,
        **times,
        "saved_bytes": saved,
        "saved_linear": shallow == deep,
        "step_seconds": list(map(median, seconds)),
        "target": target,
        "met": target is None or times["ratio"] <= target,
    }


def slopes(values: Sequence, blocks: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return by how much values grow per block, between the first two and between the last two."""
    each = np.diff(np.array(values), axis=0).T / np.diff(blocks)
    return each[..., 0], each[..., 2]


def per_block(seconds: Sequence[Sequence[float]], blocks: Sequence[int]) -> dict[str, float]:
    """Compare the time per block of two deep networks with that of two shallow ones.

    Parameters
    ----------
    seconds: four lists, of the same turns, of networks with ``blocks`` blocks.

    Returns
    -------
    ``ratio``: median over the turns of the slope between the two deep ones over that between the
    two shallow ones; ``low``, ``high``: its quartiles.
    """
    shallow, deep = (slope.tolist() for slope in slopes(seconds, blocks))
    times = {"seconds": median(deep), "base_seconds": median(shallow)}
    return {**compared(deep, shallow), **times}


def checkpoint_row(depth: int = 1202, rounds: int = 3) -> Row:
    """Return the row of a step of training that keeps few activations against one that keeps all.

    ``kept_ratio``: the most bytes that autograd held without checkpoints over that with them, of
    which at least 7 is asked for at 1,202 layers, at most 1.6 times the time.
    """
    row: Row = Subprocess(_checkpointed, depth, rounds)()
    return row


def checkpointed(model: ResNet, segments: int) -> CheckpointedNetwork:
    """Return the same network, parameters shared, that keeps one activation for each segment."""
    blocks = nn.Sequential(*(block for stage in model.stages for block in stage))  # type: ignore[attr-defined]
    return CheckpointedNetwork(model.stem, blocks, model.head, segments)


def _checkpointed(depth: int, rounds: int) -> Row:
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

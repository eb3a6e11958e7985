"""What PyTorch's networks cost in a process of its own, whose memory nothing has touched before."""

from __future__ import annotations

from statistics import median
from typing import Any

from torch import nn

from companion.allocator import keep_freed_memory
from companion.book.bench import roofline
from companion.book.bench.timing import Comparison, Program, Subprocess, run_comparison, seconds_of
from companion.book.bench.torch import NETWORKS, images, step
from companion.torch.checkpointed import CheckpointedNetwork
from companion.torch.costs import peak_saved_bytes, saved_bytes
from companion.torch.networks import ResNet, cifar_resnet
from companion.torch.training import use_threads


def memory_comparison(name: str = "cifar20", batch: int = 32) -> Comparison:
    """Return the comparison of training steps with freed memory kept and without."""
    return Comparison(
        f"torch/memory/{name}/{batch}",
        f"{name}, {batch} at {NETWORKS[name][2]} px, step of training: freed memory kept",
        lambda: (Subprocess(_steps, name, batch, True), Subprocess(_steps, name, batch, False)),
        rounds=5,
    )


def _steps(name: str, batch: int, kept: bool, count: int = 20) -> float:
    """Return the median of the CPU seconds of some steps of training, in this process."""
    _begin(kept)
    network, _, side = NETWORKS[name]
    model = network().train()
    call = step(model, model.parameters(), images(batch, side))
    return median(seconds_of(call) for _ in range(count))


def _begin(kept: bool) -> bool:
    """Make a new process ready; return whether it keeps freed memory."""
    use_threads(1)
    return kept and keep_freed_memory()


def depth_row(
    depths: tuple[int, ...] = (20, 56, 326, 1202), rounds: int = 5, kept: bool = True
) -> dict[str, Any]:
    """Return the row of time and saved bytes per block of ``cifar_resnet`` (width 16, 32 x 32).

    Of a step of training on a batch of 16, without the first round.

    Parameters
    ----------
    kept: whether freed memory stays with the process, see :mod:`companion.allocator`.
    """
    row: dict[str, Any] = Subprocess(_by_depth, depths, rounds, kept)()
    how = "kept" if row.pop("memory_kept") else "as the C library will"
    row["statement"] = (
        f"time per block, depth {depths[2]:,} to {depths[3]:,} against {depths[:2]}, "
        f"freed memory {how}"
    )
    target = 1.1 if kept else None
    return {**row, "target": target, "met": target is None or row["ratio"] <= target}


def _by_depth(depths: tuple[int, ...], rounds: int, kept: bool) -> dict[str, Any]:
    memory_kept = _begin(kept)
    x = images(16, 32)
    models = [cifar_resnet(depth, seed=0) for depth in depths]
    steps = [step(model, model.parameters(), x) for model in models]
    blocks = [(depth - 2) // 2 for depth in depths]
    seconds: list[list[float]] = [[] for _ in depths]
    faults: list[list[float]] = [[] for _ in depths]
    for _ in range(rounds + 1):
        for which, call in enumerate(steps):
            repeats = 4 if blocks[which] < 100 else 1  # short ones are lost in the noise
            before = _page_faults()
            seconds[which].append(sum(seconds_of(call) for _ in range(repeats)) / repeats)
            faults[which].append((_page_faults() - before) / repeats)
    saved = [saved_bytes(model, x) for model in models]
    shallow, deep = (
        (saved[i + 1] - saved[i]) / (blocks[i + 1] - blocks[i]) for i in range(0, 4, 2)
    )
    name = "torch/depth" if kept else "torch/depth/default"
    return {
        **roofline.by_depth(name, [s[1:] for s in seconds], blocks),
        "saved_bytes": saved,
        "saved_linear": shallow == deep,
        "step_seconds": [median(s[1:]) for s in seconds],
        "page_faults": [median(f[1:]) for f in faults],
        "memory_kept": memory_kept,
    }


def _page_faults() -> float:
    """Return how often the system gave this process a page of memory so far, NaN if unknown."""
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)


def checkpoint_row(depth: int = 1202, rounds: int = 3) -> dict[str, Any]:
    """Return the row of a step of training that keeps few activations against one that keeps all.

    ``kept_ratio``: the most bytes that autograd held without checkpoints over that with them, of
    which at least 7 is asked for at 1,202 layers, at most 1.6 times the time.
    """
    row: dict[str, Any] = Subprocess(_checkpointed, depth, rounds)()
    return {**row, "met": row["met"] and row["kept_ratio"] >= 7}


def checkpointed(model: ResNet, segments: int) -> CheckpointedNetwork:
    """Return the same network, parameters shared, that keeps one activation for each segment."""
    blocks = nn.Sequential(*(block for stage in model.stages for block in stage))  # type: ignore[attr-defined]
    return CheckpointedNetwork(model.stem, blocks, model.head, segments)


def _checkpointed(depth: int, rounds: int) -> dict[str, Any]:
    _begin(True)
    model, x = cifar_resnet(depth, seed=0), images(16, 32)
    # The optimum of the book's page on memory; on average a block keeps 7/3 of what enters the
    # first stage. The valley is flat.
    segments = round((7 / 3 * (depth - 2) / 2) ** 0.5)
    few = checkpointed(model, segments)

    def build() -> tuple[Program, Program]:
        return step(few, model.parameters(), x), step(model, model.parameters(), x)

    statement = f"a step of training at {depth:,} layers: {segments} checkpoints against none"
    row = run_comparison(Comparison(f"torch/checkpoint/{depth}", statement, build, 1.6, rounds))
    held = [peak_saved_bytes(network, x) for network in (model, few)]
    return {**row, "peak_bytes": held, "kept_ratio": held[0] / held[1]}

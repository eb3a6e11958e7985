"""The programs in PyTorch that :mod:`companion.book.bench` times, and the machine's roofline."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.allocator import keep_freed_memory
from companion.book.bench import roofline
from companion.book.bench.timing import Comparison, Program, Subprocess, cpu_seconds, run_comparison
from companion.torch.blocks import BasicBlock
from companion.torch.checkpointed import CheckpointedNetwork
from companion.torch.costs import effective_multiply_adds, peak_saved_bytes, saved_bytes
from companion.torch.export import export_onnx
from companion.torch.inference import optimize_for_inference
from companion.torch.networks import ResNet, cifar_resnet, resnet18, resnet50
from companion.torch.residual import Residual
from companion.torch.training import use_threads

#: name: how to build it, blocks per stage, side of its images.
NETWORKS: dict[str, tuple[Callable[[], ResNet], tuple[int, ...], int]] = {
    "resnet18": (lambda: resnet18(seed=0), (2, 2, 2, 2), 224),
    "resnet50": (lambda: resnet50(seed=0), (3, 4, 6, 3), 224),
    "cifar20": (lambda: cifar_resnet(20, seed=0), (3, 3, 3), 32),
}


def functional_resnet(model: ResNet, counts: tuple[int, ...]) -> Callable[[Tensor, bool], Tensor]:
    """Return the network as one loop over tensors: no modules, no ``Residual``, no checks.

    Written from the layer names and table 1 of He et al. 2015 alone, as the network to compare
    with. It shares the model's parameters.

    Parameters
    ----------
    model: basic blocks or bottlenecks ("v1.5"), shortcut option A or B.
    counts: blocks of each stage.
    """
    values = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    parts = ("running_mean", "running_var", "weight", "bias")

    def layer(at: str, norm: str, stride: int) -> tuple[Any, ...]:
        weight = values[f"{at}.weight"]
        statistics = [values[f"{norm}.{part}"] for part in parts]
        return weight, stride, weight.shape[-1] // 2, statistics

    stem = layer("stem.conv", "stem.norm", 2 if len(counts) == 4 else 1)
    blocks = []
    for stage, count in enumerate(counts):
        for i in range(count):
            at, stride = f"stages.{stage}.{i}", 2 if stage and not i else 1
            depth = 3 if f"{at}.branch.conv3.weight" in values else 2
            strided = 2 if depth == 3 else 1  # the 3x3 of a bottleneck
            branch = [
                layer(f"{at}.branch.conv{j}", f"{at}.branch.norm{j}", stride if j == strided else 1)
                for j in range(1, depth + 1)
            ]
            projected = f"{at}.shortcut.conv.weight" in values
            project = (
                layer(f"{at}.shortcut.conv", f"{at}.shortcut.norm", stride) if projected else None
            )
            blocks.append((branch, project, stride))
    weight, bias = values["head.dense.weight"], values["head.dense.bias"]

    def convolved(x: Tensor, part: tuple[Any, ...], training: bool) -> Tensor:
        weight, stride, padding, norm = part
        y = F.conv2d(x, weight, None, stride, padding)
        mean, variance, scale, shift = norm
        return F.batch_norm(y, mean, variance, scale, shift, training, 0.1, 1e-5)

    def forward(x: Tensor, training: bool = False) -> Tensor:
        x = F.relu(convolved(x, stem, training))
        if len(counts) == 4:
            x = F.max_pool2d(x, 3, 2, 1)
        for branch, project, stride in blocks:
            y = x
            for part in branch[:-1]:
                y = F.relu(convolved(y, part, training))
            y = convolved(y, branch[-1], training)
            if project is not None:
                x = convolved(x, project, training)
            elif stride > 1:
                x = F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
            x = F.relu(x + y)
        return F.linear(x.mean((2, 3)), weight, bias)

    return forward


def inference_call(model: Callable[..., Any], x: Tensor, *rest: Any) -> Program:
    """Return a call of the model in inference mode."""

    def call() -> Any:
        with torch.inference_mode():
            return model(x, *rest)

    return call


def step(model: Callable[..., Tensor], parameters: Any, x: Tensor, *rest: Any) -> Program:
    """Return a step of training: forward, cross-entropy, backward, gradient descent."""
    parameters = list(parameters)
    labels = torch.arange(len(x)) % 10

    def call() -> None:
        loss = F.cross_entropy(model(x, *rest), labels)
        loss.backward()
        with torch.no_grad():
            torch._foreach_add_(parameters, [p.grad for p in parameters], alpha=-1e-4)
        for p in parameters:
            p.grad = None

    return call


def images(batch: int, side: int, channels: int = 3) -> Tensor:
    """Return the same normal numbers at each call, (batch, channels, side, side)."""
    return torch.randn(batch, channels, side, side, generator=torch.Generator().manual_seed(0))


def comparisons() -> list[Comparison]:
    """Return what is compared in PyTorch."""
    return [
        *(_optimized("resnet18", batch, 0.75, rounds) for batch, rounds in ((1, 15), (8, 9))),
        *(_optimized("cifar20", *row) for row in ((32, 0.85, 21), (8, None, 31), (1, None, 51))),
        *(_onnx(*row) for row in (("resnet18", 1, 15), ("resnet18", 8, 9), ("cifar20", 32, 21))),
        *(_flat(*row) for row in (("resnet18", 2, 11), ("resnet50", 1, 11), ("cifar20", 32, 21))),
        _flat_step("resnet18", 2, 9),
        _flat_step("resnet50", 2, 7),
        _flat_step("cifar20", 32, 15),
        _channels_last("cifar20", 32, 32, 0.9, 15),
        _channels_last("resnet18", 8, 64, None, 9),
        _skip("as_written", False, False, 15),
        _skip("in_place", True, False, 15),
        _skip("training", False, True, 11),
        _memory("cifar20", 32, 5),
    ]


def _counted(name: str, batch: int) -> Callable[[], int]:
    def count() -> int:
        build, _, side = NETWORKS[name]
        return batch * effective_multiply_adds(build(), images(1, side))

    return count


def _optimized(name: str, batch: int, target: float | None, rounds: int) -> Comparison:
    network, _, side = NETWORKS[name]

    def build() -> tuple[Program, Program]:
        model, x = network().eval(), images(batch, side)
        return inference_call(optimize_for_inference(model), x), inference_call(model, x)

    statement = f"{name}, {batch} at {side} px: optimize_for_inference against the model as it is"
    return Comparison(
        f"torch/optimized/{name}/{batch}", statement, build, target, rounds, _counted(name, batch)
    )


def _onnx(name: str, batch: int, rounds: int) -> Comparison:
    network, _, side = NETWORKS[name]

    def build() -> tuple[Program, Program]:
        import onnxruntime

        model, x = network().eval(), images(batch, side)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        with tempfile.TemporaryDirectory() as folder:
            example = x.permute(0, 2, 3, 1).numpy()
            path = export_onnx(model, Path(folder) / "m.onnx", example, channels_last=False)
            session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        return lambda: session.run(None, {"x": x.numpy()}), inference_call(model, x)

    statement = f"{name}, {batch} at {side} px: onnxruntime against the model as it is"
    target = 0.6 if side > 32 else None
    return Comparison(
        f"torch/onnx/{name}/{batch}", statement, build, target, rounds, _counted(name, batch)
    )


def _flat(name: str, batch: int, rounds: int) -> Comparison:
    network, counts, side = NETWORKS[name]

    def build() -> tuple[Program, Program]:
        model, x = network().eval(), images(batch, side)
        return inference_call(model, x), inference_call(functional_resnet(model, counts), x, False)

    statement = f"{name}, {batch} at {side} px, forward: the model against one written flat"
    return Comparison(f"torch/flat/{name}/forward", statement, build, 1.05, rounds)


def _flat_step(name: str, batch: int, rounds: int) -> Comparison:
    network, counts, side = NETWORKS[name]

    def build() -> tuple[Program, Program]:
        model, x = network().train(), images(batch, side)
        written = functional_resnet(model, counts)
        return step(model, model.parameters(), x), step(written, model.parameters(), x, True)

    statement = (
        f"{name}, {batch} at {side} px, step of training: the model against one written flat"
    )
    return Comparison(f"torch/flat/{name}/step", statement, build, 1.05, rounds)


def _channels_last(
    name: str, batch: int, side: int, target: float | None, rounds: int
) -> Comparison:
    def build() -> tuple[Program, Program]:
        order = torch.channels_last
        one, other = (NETWORKS[name][0]().train() for _ in range(2))
        other.to(memory_format=order)  # type: ignore[call-overload]
        x = images(batch, side)
        first = step(other, other.parameters(), x.contiguous(memory_format=order))
        return first, step(one, one.parameters(), x)

    statement = f"{name}, {batch} at {side} px, step of training: channels last against first"
    return Comparison(f"torch/channels_last/{name}/{batch}", statement, build, target, rounds)


def _skip(name: str, in_place: bool, training: bool, rounds: int) -> Comparison:
    shape = (8, 64, 56, 56)

    def build() -> tuple[Program, Program]:
        block: nn.Module = BasicBlock(64, 64).train(training)
        plain: nn.Module = Residual(block.branch, None, activation=block.activation)  # type: ignore[arg-type]
        plain.train(training)
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        if in_place:
            block, plain = optimize_for_inference(block), optimize_for_inference(plain)
        if not training:
            return inference_call(block, x), inference_call(plain, x)
        x.requires_grad_()
        return _gradients(block, x), _gradients(plain, x)

    statement = (
        f"a basic block of {shape}: with the addition against without, {name.replace('_', ' ')}"
    )
    # Two tensors read, one written; backward adds the two gradients once more.
    moved = 3 * 4 * int(np.prod(shape)) * (2 if training else 1)
    return Comparison(f"torch/skip/{name}", statement, build, 1.1, rounds, extra={"bytes": moved})


def _gradients(block: nn.Module, x: Tensor) -> Program:
    def call() -> None:
        block(x).sum().backward()
        block.zero_grad()
        x.grad = None

    return call


def _memory(name: str, batch: int, rounds: int) -> Comparison:
    def build() -> tuple[Program, Program]:
        return tuple(Subprocess(_steps, name, batch, kept) for kept in (True, False))  # type: ignore[return-value]

    statement = f"{name}, {batch} at {NETWORKS[name][2]} px, step of training: freed memory kept"
    return Comparison(f"torch/memory/{name}/{batch}", statement, build, None, rounds)


def _steps(name: str, batch: int, kept: bool, count: int = 20) -> float:
    """Return the median of the CPU seconds of some steps of training, in this process."""
    _alone(kept)
    network, _, side = NETWORKS[name]
    model = network().train()
    call = step(model, model.parameters(), images(batch, side))
    return float(np.median([cpu_seconds(call) for _ in range(count)]))


def _alone(kept: bool) -> bool:
    """Make a new process ready; return whether it keeps freed memory."""
    use_threads(1)
    return kept and keep_freed_memory()


def depth_row(
    depths: tuple[int, ...] = (20, 56, 326, 1202), rounds: int = 5, kept: bool = True
) -> dict[str, Any]:
    """Return the row of time and saved bytes per block of ``cifar_resnet`` (width 16, 32 x 32).

    Of a step of training on a batch of 16, without the first of the turns, in a process of its own.

    Parameters
    ----------
    kept: whether freed memory stays with the process, see :mod:`companion.allocator`.
    """
    row: dict[str, Any] = Subprocess(_by_depth, depths, rounds, kept)()
    how = "freed memory kept" if row["memory_kept"] else "freed memory as the C library will"
    row["statement"] = (
        f"time per block, depth {depths[2]:,} to {depths[3]:,} against {depths[:2]}, {how}"
    )
    target = 1.1 if kept else None
    return {**row, "target": target, "met": target is None or row["ratio"] <= target}


def _by_depth(depths: tuple[int, ...], rounds: int, kept: bool) -> dict[str, Any]:
    memory_kept = _alone(kept)
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
            spent = cpu_seconds(lambda call=call, n=repeats: [call() for _ in range(n)])  # type: ignore[misc]
            seconds[which].append(spent / repeats)
            faults[which].append((_page_faults() - before) / repeats)
    name = "torch/depth" if kept else "torch/depth/default"
    row = roofline.by_depth(name, [s[1:] for s in seconds], blocks)
    saved = [saved_bytes(model, x) for model in models]
    row["saved_bytes"] = saved
    row["saved_linear"] = (saved[1] - saved[0]) * (blocks[3] - blocks[2]) == (
        saved[3] - saved[2]
    ) * (blocks[1] - blocks[0])
    row["step_seconds"] = [float(np.median(s[1:])) for s in seconds]
    row["page_faults"] = [float(np.median(f[1:])) for f in faults]
    return {**row, "memory_kept": memory_kept}


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


def checkpointed(model: ResNet) -> CheckpointedNetwork:
    """Return the same network, parameters shared, that keeps few activations."""
    blocks = nn.Sequential(*(block for stage in model.stages for block in stage))  # type: ignore[attr-defined]
    # The optimum of the book's page on memory; on average a block keeps 7/3 of what enters the
    # first stage. The valley is flat.
    return CheckpointedNetwork(model.stem, blocks, model.head, round((7 / 3 * len(blocks)) ** 0.5))


def _checkpointed(depth: int, rounds: int) -> dict[str, Any]:
    _alone(True)
    model, x = cifar_resnet(depth, seed=0), images(16, 32)
    few = checkpointed(model)

    def build() -> tuple[Program, Program]:
        return step(few, model.parameters(), x), step(model, model.parameters(), x)

    statement = f"a step of training at {depth:,} layers: {few.runs} checkpoints against none"
    row = run_comparison(Comparison(f"torch/checkpoint/{depth}", statement, build, 1.6, rounds))
    held = [peak_saved_bytes(network, x) for network in (model, few)]
    return {**row, "peak_bytes": held, "kept_ratio": held[0] / held[1]}


def limit_rows(size: int = 2048, rounds: int = 15) -> list[dict[str, Any]]:
    """Return the rows of the peak of matrix products and of the bandwidth of memory.

    Parameters
    ----------
    size: of the square matrices, default 2048. rounds: measurements of each.
    """
    a, b, c = (torch.randn(size, size) for _ in range(3))
    one, other, out = (tensor.numpy() for tensor in (a, b, c))
    x, y, z = (torch.ones(2**25 * size // 2048) for _ in range(3))  # 128 MiB each: no cache
    statement = f"10^9 operations a second, products of {size} x {size} matrices"
    products = [
        roofline.rate("limit/sgemm", f"{statement} in {library}", call, 2 * size**3, rounds)
        for library, call in (
            ("PyTorch", lambda: torch.mm(a, b, out=c)),
            ("NumPy", lambda: np.matmul(one, other, out=out)),
        )
    ]
    triad = roofline.rate(
        "limit/triad",
        "10^9 bytes a second, x = y + 3 z, two arrays read and one written",
        lambda: torch.add(y, z, alpha=3, out=x),
        3 * x.numel() * 4,
        rounds,
    )
    # The faster library is nearer to what the processor can do.
    return [max(products, key=lambda row: row["best"]), triad]

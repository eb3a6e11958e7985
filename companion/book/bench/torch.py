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

from companion.book.bench import roofline
from companion.book.bench.functional_resnet import functional_resnet
from companion.book.bench.timing import Comparison, Program
from companion.torch.blocks import BasicBlock
from companion.torch.costs import effective_multiply_adds
from companion.torch.export import export_onnx
from companion.torch.inference import optimize_for_inference
from companion.torch.networks import ResNet, cifar_resnet, resnet18, resnet50
from companion.torch.residual import Residual

#: name: how to build it, blocks per stage, side of its images.
NETWORKS: dict[str, tuple[Callable[[], ResNet], tuple[int, ...], int]] = {
    "resnet18": (lambda: resnet18(seed=0), (2, 2, 2, 2), 224),
    "resnet50": (lambda: resnet50(seed=0), (3, 4, 6, 3), 224),
    "cifar20": (lambda: cifar_resnet(20, seed=0), (3, 3, 3), 32),
}
Pair = tuple[Program, Program]


def images(batch: int, side: int, channels: int = 3) -> Tensor:
    """Return the same normal numbers at each call, (batch, channels, side, side)."""
    return torch.randn(batch, channels, side, side, generator=torch.Generator().manual_seed(0))


def inference_call(model: Callable[..., Any], x: Tensor) -> Program:
    """Return a call of the model in inference mode."""

    def call() -> Any:
        with torch.inference_mode():
            return model(x)

    return call


def step(model: Callable[..., Tensor], parameters: Any, x: Tensor, *rest: Any) -> Program:
    """Return a step of training: forward, cross-entropy, backward, gradient descent."""
    parameters = list(parameters)
    labels = torch.arange(len(x)) % 10

    def call() -> None:
        loss = F.cross_entropy(model(x, *rest), labels)
        loss.backward()
        with torch.no_grad():
            for p in parameters:
                p.sub_(p.grad, alpha=1e-4)
                p.grad = None

    return call


def comparisons() -> list[Comparison]:
    """Return what is compared in PyTorch."""
    flat = "step of training: the model against one written flat"
    ordered = "step of training: channels last against first"
    return [
        _optimized("resnet18", 1, 0.75, 15),
        _optimized("resnet18", 8, 0.75, 9),
        _optimized("cifar20", 32, 0.85, 21),
        _optimized("cifar20", 8, None, 31),
        _optimized("cifar20", 1, None, 51),
        _onnx("resnet18", 1, 0.6, 15),
        _onnx("resnet18", 8, 0.6, 9),
        _onnx("cifar20", 32, None, 21),
        _forward("resnet18", 2, 11),
        _forward("resnet50", 1, 11),
        _forward("cifar20", 32, 21),
        _training("flat/resnet18/step", flat, _flat_steps, "resnet18", 2, 224, 1.05, 9),
        _training("flat/resnet50/step", flat, _flat_steps, "resnet50", 2, 224, 1.05, 7),
        _training("flat/cifar20/step", flat, _flat_steps, "cifar20", 32, 32, 1.05, 15),
        _training("channels_last/cifar20/32", ordered, _orders, "cifar20", 32, 32, 0.9, 15),
        _training("channels_last/resnet18/8", ordered, _orders, "resnet18", 8, 64, None, 9),
        _skip("as_written", False, False, 15),
        _skip("in_place", True, False, 15),
        _skip("training", False, True, 11),
    ]


def _optimized(name: str, batch: int, target: float | None, rounds: int) -> Comparison:
    def pair(model: nn.Module, x: Tensor) -> Pair:
        return inference_call(optimize_for_inference(model), x), inference_call(model, x)

    about = "optimize_for_inference against the model as it is"
    return _prediction("optimized", about, pair, name, batch, target, rounds)


def _onnx(name: str, batch: int, target: float | None, rounds: int) -> Comparison:
    def pair(model: nn.Module, x: Tensor) -> Pair:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        with tempfile.TemporaryDirectory() as folder:
            example = x.permute(0, 2, 3, 1).numpy()
            path = export_onnx(model, Path(folder) / "m.onnx", example, channels_last=False)
            session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        return lambda: session.run(None, {"x": x.numpy()}), inference_call(model, x)

    about = "onnxruntime against the model as it is"
    return _prediction("onnx", about, pair, name, batch, target, rounds)


def _prediction(
    kind: str,
    about: str,
    pair: Callable[[nn.Module, Tensor], Pair],
    name: str,
    batch: int,
    target: float | None,
    rounds: int,
) -> Comparison:
    """Compare a pair of programs that predict a batch, and count its multiply-adds."""
    network, _, side = NETWORKS[name]
    return Comparison(
        f"torch/{kind}/{name}/{batch}",
        f"{name}, {batch} at {side} px: {about}",
        lambda: pair(network().eval(), images(batch, side)),
        target,
        rounds,
        lambda: batch * effective_multiply_adds(network(), images(1, side)),
    )


def _forward(name: str, batch: int, rounds: int) -> Comparison:
    network, counts, side = NETWORKS[name]

    def build() -> Pair:
        model, x = network().eval(), images(batch, side)
        return inference_call(model, x), inference_call(functional_resnet(model, counts), x)

    about = f"{name}, {batch} at {side} px, forward: the model against one written flat"
    return Comparison(f"torch/flat/{name}/forward", about, build, 1.05, rounds)


def _training(
    id: str,
    about: str,
    pair: Callable[[str, Tensor], Pair],
    name: str,
    batch: int,
    side: int,
    target: float | None,
    rounds: int,
) -> Comparison:
    statement = f"{name}, {batch} at {side} px, {about}"
    build = lambda: pair(name, images(batch, side))  # noqa: E731
    return Comparison(f"torch/{id}", statement, build, target, rounds)


def _flat_steps(name: str, x: Tensor) -> Pair:
    network, counts, _ = NETWORKS[name]
    model = network().train()
    written = functional_resnet(model, counts)
    return step(model, model.parameters(), x), step(written, model.parameters(), x, True)


def _orders(name: str, x: Tensor) -> Pair:
    order = torch.channels_last
    one, other = (NETWORKS[name][0]().train() for _ in range(2))
    other.to(memory_format=order)  # type: ignore[call-overload]
    last = step(other, other.parameters(), x.contiguous(memory_format=order))
    return last, step(one, one.parameters(), x)


def _skip(name: str, in_place: bool, training: bool, rounds: int) -> Comparison:
    shape = (8, 64, 56, 56)

    def build() -> Pair:
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

    words = name.replace("_", " ")
    statement = f"a basic block of {shape}: with the addition against without, {words}"
    # Two tensors read, one written; backward adds the two gradients once more.
    moved = 3 * 4 * int(np.prod(shape)) * (2 if training else 1)
    return Comparison(f"torch/skip/{name}", statement, build, 1.1, rounds, extra={"bytes": moved})


def _gradients(block: nn.Module, x: Tensor) -> Program:
    def call() -> None:
        block(x).sum().backward()
        block.zero_grad()
        x.grad = None

    return call


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

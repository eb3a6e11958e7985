"""The programs in PyTorch that :mod:`companion.book.bench` times."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.book.bench.functional_resnet import functional_resnet
from companion.book.bench.timing import Comparison, Measurement, Program
from companion.torch.blocks import BasicBlock
from companion.torch.costs import effective_multiply_adds
from companion.torch.export import export_onnx
from companion.torch.inference import optimize_for_inference
from companion.torch.networks import ResNet, cifar_resnet, resnet18, resnet50
from companion.torch.residual import Residual

#: name: how to build it, side of its images.
NETWORKS: dict[str, tuple[Callable[[], ResNet], int]] = {
    "resnet18": (lambda: resnet18(seed=0), 224),
    "resnet50": (lambda: resnet50(seed=0), 224),
    "cifar20": (lambda: cifar_resnet(20, seed=0), 32),
}
Pair = tuple[Program, Program]


def measurements() -> dict[str, Measurement]:
    from companion.book.bench import own_process  # which builds on this module

    return {**{case.id: case.run for case in comparisons()}, **own_process.measurements()}


def comparisons() -> list[Comparison]:
    """Return what is compared in this process."""
    optimized = ": optimize_for_inference against the model as it is", _optimized
    onnx = ": onnxruntime against the model as it is", _onnx
    forward = ", forward: the model against one written flat", _flat_forward
    flat = ", step of training: the model against one written flat", _flat_step
    ordered = ", step of training: channels last against first", _channels_last
    return [
        _network("optimized/resnet18/1", *optimized, "resnet18", 1, 0.75, 15),
        _network("optimized/resnet18/8", *optimized, "resnet18", 8, 0.75, 9),
        _network("optimized/cifar20/32", *optimized, "cifar20", 32, 0.85, 21),
        _network("optimized/cifar20/8", *optimized, "cifar20", 8, None, 31),
        _network("optimized/cifar20/1", *optimized, "cifar20", 1, None, 51),
        _network("onnx/resnet18/1", *onnx, "resnet18", 1, 0.6, 15),
        _network("onnx/resnet18/8", *onnx, "resnet18", 8, 0.6, 9),
        _network("onnx/cifar20/32", *onnx, "cifar20", 32, None, 21),
        _network("flat/resnet18/forward", *forward, "resnet18", 2, 1.05, 11),
        _network("flat/resnet50/forward", *forward, "resnet50", 1, 1.05, 11),
        _network("flat/cifar20/forward", *forward, "cifar20", 32, 1.05, 21),
        _network("flat/resnet18/step", *flat, "resnet18", 2, 1.05, 9),
        _network("flat/resnet50/step", *flat, "resnet50", 2, 1.05, 7),
        _network("flat/cifar20/step", *flat, "cifar20", 32, 1.05, 15),
        _network("channels_last/cifar20/32", *ordered, "cifar20", 32, 0.9, 15),
        _network("channels_last/resnet18/8", *ordered, "resnet18", 8, None, 9, side=64),
        _skip("as_written", 15),
        _skip("in_place", 15, in_place=True),
        _skip("training", 11, training=True),
    ]


def _network(
    id: str,
    about: str,
    pair: Callable[[ResNet, Tensor], Pair],
    name: str,
    batch: int,
    target: float | None,
    rounds: int,
    side: int | None = None,
) -> Comparison:
    """Compare the programs that ``pair`` makes of a network and a batch of images."""
    build, own_side = NETWORKS[name]
    side = side or own_side
    return Comparison(
        f"torch/{id}",
        f"{name}, {batch} at {side} px{about}",
        lambda: pair(build(), images(batch, side)),
        target,
        rounds,
        # Of those that are told beside the peak of matrix products.
        (lambda: batch * effective_multiply_adds(build(), images(1, side)))
        if pair in (_optimized, _onnx)
        else None,
    )


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


def _optimized(model: ResNet, x: Tensor) -> Pair:
    return inference_call(optimize_for_inference(model), x), inference_call(model.eval(), x)


def _onnx(model: ResNet, x: Tensor) -> Pair:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        example = x.permute(0, 2, 3, 1).numpy()
        path = export_onnx(model, Path(folder) / "m.onnx", example, channels_last=False)
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x.numpy()}), inference_call(model.eval(), x)


def _flat_forward(model: ResNet, x: Tensor) -> Pair:
    return inference_call(model.eval(), x), inference_call(functional_resnet(model), x)


def _flat_step(model: ResNet, x: Tensor) -> Pair:
    flat = functional_resnet(model)
    parameters = list(model.parameters())
    return step(model.train(), parameters, x), step(flat, parameters, x, True)


def _channels_last(model: ResNet, x: Tensor) -> Pair:
    order = torch.channels_last
    other = copy.deepcopy(model.train()).to(memory_format=order)  # type: ignore[call-overload]
    last = step(other, other.parameters(), x.contiguous(memory_format=order))
    return last, step(model, model.parameters(), x)


def _skip(name: str, rounds: int, in_place: bool = False, training: bool = False) -> Comparison:
    shape = (8, 64, 56, 56)

    def build() -> Pair:
        block: nn.Module = BasicBlock(64, 64).train(training)
        plain: nn.Module = Residual(block.branch, None, activation=block.activation)  # type: ignore[arg-type]
        plain.train(training)
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        if training:
            x.requires_grad_()
            return _gradients(block, x), _gradients(plain, x)
        if in_place:
            block, plain = optimize_for_inference(block), optimize_for_inference(plain)
        return inference_call(block, x), inference_call(plain, x)

    words = name.replace("_", " ")
    statement = f"a basic block of {shape}: with the addition against without, {words}"
    # Two tensors read, one written; backward adds the two gradients once more.
    moved = 3 * 4 * math.prod(shape) * (2 if training else 1)
    return Comparison(f"torch/skip/{name}", statement, build, 1.1, rounds, extra={"bytes": moved})


def _gradients(block: nn.Module, x: Tensor) -> Program:
    def call() -> None:
        block(x).sum().backward()
        block.zero_grad()
        x.grad = None

    return call

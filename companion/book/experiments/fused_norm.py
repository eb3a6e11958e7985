"""Addition and norm as operations of their own, and compiled into one.

CPU seconds in turns on one thread, after freed memory was kept (else most of the time goes into
pages that the system clears). A stream of few rows lies in the processor's caches, one of many does
not. ``torch.compile`` needs a C++ compiler. About a minute on one core; other programs' memory
traffic counts, so run it on a quiet machine.

    python -m companion.book.experiments.fused_norm
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.allocator import keep_freed_memory
from companion.book.bench import Comparison
from companion.book.experiments import common

#: Rows and numbers in each; float32.
SIZES = {"in the cache": (256, 512), "in memory": (8192, 1024)}
#: How many are worked on in one measurement, by as many calls as it takes.
NUMBERS = 4_000_000

Pair = tuple[Tensor, Tensor]


def layer_norm(stream: Tensor, branch: Tensor, weight: Tensor, bias: Tensor) -> Pair:
    """Return the new stream, and its layer norm, which the next branch reads."""
    stream = stream + branch
    return stream, F.layer_norm(stream, stream.shape[-1:], weight, bias)


def rms_norm(stream: Tensor, branch: Tensor, weight: Tensor, bias: Tensor) -> Pair:
    """Return the new stream, and its norm by the root of its mean square; there is no bias."""
    stream = stream + branch
    return stream, F.rms_norm(stream, stream.shape[-1:], weight, 1e-5)


def addition(stream: Tensor, branch: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the new stream alone: the share of the pair that is not the norm's."""
    return stream + branch


def measured(
    name: str, program: Callable[..., Any], base: Callable[..., Any], size: str
) -> dict[str, Any]:
    """Return ratio, quartiles and noise, and how far the two norms are apart."""
    rows, width = SIZES[size]
    torch.manual_seed(0)
    given = (*torch.randn(2, rows, width), *torch.randn(2, width))
    repeats = max(1, NUMBERS // (rows * width))

    def build() -> tuple[Callable[[], Any], Callable[[], Any]]:
        def call(function: Callable[..., Any]) -> Callable[[], Any]:
            return lambda: [function(*given) for _ in range(repeats)]

        return call(program), call(base)

    row = Comparison(f"{name}/{size}", name, build).run()
    one, other = program(*given), base(*given)
    apart = {} if program is addition else {"apart": float((one[1] - other[1]).abs().max())}
    per_call = {key: row[key] / repeats for key in ("seconds", "base_seconds")}
    return {**row, **per_call, "numbers": rows * width, **apart}


def apart(norm: Callable[..., Pair]) -> Callable[..., Pair]:
    """Return addition and norm with the norm compiled, and the addition not in it."""
    zero = torch.zeros(())

    def alone(stream: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return norm(stream, zero, weight, bias)[1]

    compiled = torch.compile(alone, dynamic=False)

    def both(stream: Tensor, branch: Tensor, weight: Tensor, bias: Tensor) -> Pair:
        stream = stream + branch
        return stream, compiled(stream, weight, bias)

    return both


def main() -> None:
    runs = common.Runs("fused_norm", __file__)
    layer, rms = (torch.compile(norm, dynamic=False) for norm in (layer_norm, rms_norm))
    pairs: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
        "layer norm, compiled": (layer, layer_norm),
        "RMS norm, compiled": (rms, rms_norm),
        "layer norm, joined": (layer, apart(layer_norm)),
        "RMS norm, joined": (rms, apart(rms_norm)),
        "the addition alone": (addition, layer_norm),
        "RMS norm against layer norm": (rms_norm, layer_norm),
    }
    for size in SIZES:
        for name, (program, base) in pairs.items():
            runs.row(
                lambda n=name, p=program, b=base, s=size: measured(n, p, b, s), pair=name, size=size
            )
    runs.store()


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    keep_freed_memory()
    main()

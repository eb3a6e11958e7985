"""The same training in several processes: each takes its share of every batch.

    torchrun --nproc_per_node=2 -m companion train --out runs/a

In a program of your own, ``torch.distributed.init_process_group("gloo")`` before
:func:`companion.torch.fit` is all. Sums over processes are as exact as sums within one: the loss is
the mean over all labels of the whole batch, a batch norm has the statistics of the whole batch, and
a layer that draws one number an example draws what one process would.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from companion.recipe import Recipe
from companion.torch.merges import StochasticDepth

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """The processes that train one model, all of them computing on the CPU.

    Alone, ``size`` 1, nothing is sent and nothing changes by any method.

    Attributes
    ----------
    rank: of this process, from 0. size: how many there are.
    """

    rank: int = 0
    size: int = 1

    def check(self, recipe: Recipe) -> None:
        """Raise ``ValueError`` unless the batch can be divided into equal shares."""
        if recipe.batch_size % self.size:
            raise ValueError(
                f"batch_size must be a multiple of the {self.size} processes that share each "
                f"batch, got {recipe.batch_size}"
            )

    def agree(self, recipe: Recipe, data: Any, weights: Mapping[str, Tensor]) -> None:
        """Raise ``ValueError`` in every process unless all were given the same things to do."""
        if self.size == 1:
            return
        mine = {
            "settings": recipe.as_dict(),
            "training data": [_checksum(data.x_train), _checksum(data.y_train)],
            "model": {name: (str(t.dtype), *t.shape) for name, t in weights.items()},
        }
        everyone: list[Any] = [None] * self.size
        dist.all_gather_object(everyone, mine)
        for what, first in everyone[0].items():
            others = [rank for rank, facts in enumerate(everyone) if facts[what] != first]
            if others:
                raise ValueError(
                    f"{what} must be the same in all {self.size} processes, got others in "
                    f"process {others[0]} than in process 0"
                )

    def from_first(self, value: T) -> T:
        """Return the value that process 0 has."""
        if self.size == 1:
            return value
        box = [value if self.rank == 0 else None]
        dist.broadcast_object_list(box)
        return box[0]  # type: ignore[return-value]

    @torch.no_grad()
    def start_alike(self, tensors: Iterable[Tensor]) -> None:
        """Give the tensors the values that they have in process 0."""
        if self.size == 1:
            return
        for tensor in tensors:
            sent = tensor.contiguous()
            dist.broadcast(sent, 0)
            tensor.copy_(sent)

    def share(self, batch: np.ndarray) -> np.ndarray:
        """Return this process's part of a batch: the first process has the first examples."""
        each = len(batch) // self.size
        return batch[self.rank * each : (self.rank + 1) * each]

    def total(self, *numbers: float) -> tuple[float, ...]:
        """Return the sums over all processes."""
        if self.size == 1:
            return numbers
        sums = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(sums)
        return tuple(sums.tolist())

    def total_gradients(self, parameters: list[Tensor]) -> None:
        """Let each gradient be the sum over all processes, the same to the last bit in each."""
        if self.size == 1:
            return
        found = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        sent = torch.cat([gradient.reshape(-1) for gradient in found])
        dist.all_reduce(sent)
        parts = sent.split([p.numel() for p in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view(parameter.shape)

    @contextmanager
    def working(self, model: nn.Module, batch_size: int) -> Iterator[None]:
        """Let layers of the model compute as if the whole batch were in this process.

        Backward too: a reversible layer runs its norms again there.
        """
        concerned = [m for m in model.modules() if isinstance(m, _CONCERNED)]
        if self.size == 1 or not concerned:
            yield
            return
        mode = _AsOne(self, batch_size // self.size)

        def within(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
            def caught(*inputs: Tensor) -> Tensor:
                with mode:
                    return forward(*inputs)

            return caught

        try:
            for module in concerned:
                vars(module)["forward"] = within(module.forward)
            yield
        finally:
            for module in concerned:
                vars(module).pop("forward", None)


#: Layers whose result depends on the other examples of the batch, or on how many there are.
_CONCERNED = (nn.modules.batchnorm._BatchNorm, StochasticDepth)


def team() -> Team:
    """Return the processes of the group that this process has joined; alone where it has not."""
    if dist.is_available() and dist.is_initialized():
        return Team(dist.get_rank(), dist.get_world_size())
    return Team()


@contextmanager
def joined() -> Iterator[Team]:
    """Join the processes that ``torchrun`` started, and leave them at the end.

    Alone where there are no others. A group that has been joined already is used and kept.
    """
    if dist.is_initialized() or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield team()
        return
    dist.init_process_group("gloo")
    try:
        yield team()
    finally:
        dist.destroy_process_group()


def _checksum(values: Any) -> tuple[Any, ...]:
    values = np.ascontiguousarray(values)
    return values.shape, str(values.dtype), zlib.crc32(values.view(np.uint8).reshape(-1))


class _AsOne(TorchFunctionMode):
    """Catches the two calls of such layers in which the whole batch matters."""

    def __init__(self, team: Team, share: int) -> None:
        super().__init__()
        self.team, self.count = team, share

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.batch_norm:
            return batch_norm(*args, **kwargs)
        if func is torch.rand and args:
            size = tuple(args[0]) if isinstance(args[0], (tuple, list)) else args
            if size and size[0] == self.count:  # one draw an example, as in stochastic depth
                first = self.team.rank * self.count
                whole = func((self.team.size * self.count, *size[1:]), **kwargs)
                return whole[first : first + self.count]
        return func(*args, **kwargs)


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """``torch.nn.functional.batch_norm`` over the batches of all processes of the group.

    The same numbers, running statistics included, as one process has on the batches in a row, but
    for rounding. ``torch.nn.SyncBatchNorm`` does that on GPUs alone. The gradients of ``weight``
    and ``bias`` are this process's part: they are to be summed, as every gradient is. All processes
    must call it, and go backward through it, in the same order.

    Parameters
    ----------
    x: (N, C, ...), with as many channels in each process; N may differ.
    """
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    mean, variance, count = _moments(x)
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            unbiased = variance * (count / (count - 1))
            running_var.lerp_(unbiased.to(running_var.dtype), momentum)
    y: Tensor = _Normalise.apply(x, mean, variance, weight, bias, eps, count)
    return y


@torch.no_grad()
def _moments(x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and biased variance of each channel over all processes, and how many values they have.

    From each process's own mean and sum of squared deviations (Chan, Golub and LeVeque 1979): a
    difference of large squares would lose digits.
    """
    own = x.numel() // x.shape[1]
    variance, mean = torch.var_mean(x, _all_but_channels(x), correction=0)
    sent = torch.stack([torch.full_like(mean, own), mean, variance]).double()
    parts = [torch.empty_like(sent) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, sent)
    counts, means, variances = torch.stack(parts, dim=1)
    whole = counts.sum(0)
    mean = (counts * means).sum(0) / whole
    variance = (counts * (variances + (means - mean) ** 2)).sum(0) / whole
    return mean.to(x.dtype), variance.to(x.dtype), int(whole[0])


def _all_but_channels(x: Tensor) -> list[int]:
    return [0, *range(2, x.ndim)]


class _Normalise(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps), where both are of x and of what other processes hold."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        mean: Tensor,
        variance: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
        count: int,
    ) -> Tensor:
        ctx.save_for_backward(x, mean, variance, weight)
        ctx.eps, ctx.count, ctx.shifted = eps, count, bias is not None
        return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Any, ...]:
        x, mean, variance, weight = ctx.saved_tensors
        each = (1, -1, *(1 for _ in range(2, x.ndim)))
        scale = torch.rsqrt(variance + ctx.eps)
        normal = (x - mean.view(each)) * scale.view(each)
        own = torch.stack([dy.sum(_all_but_channels(x)), (dy * normal).sum(_all_but_channels(x))])
        d_bias, d_weight = own.clone()
        dist.all_reduce(own)
        along_one, along_normal = (own / ctx.count).view(2, *each)
        scale = scale if weight is None else scale * weight
        dx = (dy - along_one - normal * along_normal) * scale.view(each)
        return (
            dx,
            None,
            None,
            None if weight is None else d_weight,
            d_bias if ctx.shifted else None,
            None,
            None,
        )

"""Batch norms over the shards of all processes that train one model."""

from __future__ import annotations

import copy
import warnings

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from companion.torch.prediction import in_32_bits


def convert_batch_norm(model: nn.Module) -> nn.Module:
    """Return a copy, with the model's own parameters and buffers, whose norms see the whole batch.

    Like ``torch.nn.SyncBatchNorm.convert_sync_batchnorm``, which the companion's networks may be
    given to as well, but subclasses keep their checks, and CPUs, where that refuses to work, get
    :class:`WholeBatchNorm`.
    """
    tensors = [*model.parameters(), *model.buffers()]
    converted = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    synced = nn.SyncBatchNorm if any(tensor.is_cuda for tensor in tensors) else WholeBatchNorm
    for norm in converted.modules():
        if isinstance(norm, _BatchNorm) and not isinstance(norm, nn.SyncBatchNorm):
            norm.__class__ = type(type(norm).__name__, (type(norm), synced), {})
            vars(norm)["process_group"] = None  # SyncBatchNorm's word for all processes
    return converted


class WholeBatchNorm(_BatchNorm):
    """A batch norm over the shards (N, C, ...) of all processes, in plain differentiable PyTorch.

    The mean comes first, then the deviations: a difference of large squares would lose digits.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        axes, each = (0, *range(2, x.ndim)), (1, -1, *(1 for _ in x.shape[2:]))
        given, x = x.dtype, in_32_bits(x)
        own = x.new_full((1,), x.numel() // x.shape[1])
        sums, count = _sum(torch.cat([x.sum(axes), own])).split((x.shape[1], 1))
        mean = sums / count
        centered = x - mean.view(each)
        variance = _sum(centered.square().sum(axes)) / count
        self._remember(mean.detach(), (variance * count / (count - 1)).detach())
        y = centered * torch.rsqrt(variance + self.eps).view(each)
        y = y if self.weight is None else y * self.weight.view(each) + self.bias.view(each)
        return y.to(given)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        running_mean, running_var = self.running_mean, self.running_var
        if self.track_running_stats and running_mean is not None and running_var is not None:
            batches = self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
            rate = 1 / int(batches) if self.momentum is None else self.momentum
            running_mean.lerp_(mean.to(running_mean.dtype), rate)
            running_var.lerp_(variance.to(running_var.dtype), rate)


def _sum(x: Tensor) -> Tensor:
    """Return the sum over all processes, whose gradient is the sum of theirs.

    That is the gradient of the loss, which is a sum over all processes too. The functional
    collective that newer versions advise instead passes no gradient in older ones.
    """
    from torch.distributed.nn import functional  # not every build of PyTorch has it

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*all_reduce is deprecated", FutureWarning)
        total: Tensor = functional.all_reduce(x, group=dist.group.WORLD)
    return total

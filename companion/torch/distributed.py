"""Training in several processes of ``torchrun``, on PyTorch's own engine.

    torchrun --nproc_per_node=2 -m companion train --out runs/a

In a program of your own, call :func:`companion.torch.fit` in ``with process_group():``. Each
process takes its shard of every batch; ``DistributedDataParallel`` averages the gradients.

Equal to one process, in float64 to the last digits: losses, accuracies and the weights after every
step, since losses are means over the labels of the whole batch and batch norms see the whole batch.
Not equal: what layers draw at random, such as stochastic depth. Each process draws for its own
shard, seeded with the recipe's seed, the epoch and its rank: such runs repeat and resume to the
last bit, with as many processes. A norm whose ``forward`` does not go through PyTorch's sees its
shard alone. A network uses the same parameters in every step.
"""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from companion.torch.whole_batch_norm import convert_batch_norm


@dataclass(frozen=True)
class World:
    """The processes that train one model: this one's ``rank`` from 0, and their ``size``."""

    rank: int = 0
    size: int = 1

    def shard(self, batch: np.ndarray) -> np.ndarray:
        """Return this process's part of a batch: rank 0 has the first examples."""
        each = len(batch) // self.size
        return batch[self.rank * each : (self.rank + 1) * each]

    def all_reduce(self, *numbers: float) -> tuple[float, ...]:
        """Return the sums over all processes."""
        if self.size == 1:
            return numbers
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        sums = torch.tensor(numbers, dtype=torch.float64, device=device)
        dist.all_reduce(sums)
        return tuple(sums.tolist())

    def broadcast_object(self, value: Any) -> Any:
        """Return the value that rank 0 has."""
        box = [value]
        if self.size > 1:
            dist.broadcast_object_list(box)
        return box[0]

    def check_same_inputs(self, inputs: Mapping[str, Any]) -> None:
        """Raise ``ValueError`` in every process unless all have the same under every name."""
        everyone: list[Any] = [inputs] * self.size
        if self.size > 1:
            dist.all_gather_object(everyone, inputs)
        for name, first in everyone[0].items():
            others = [rank for rank, theirs in enumerate(everyone) if theirs[name] != first]
            if others:
                raise ValueError(
                    f"{name} must be the same in all {self.size} processes, got others in "
                    f"process {others[0]} than in process 0"
                )


def current_world() -> World:
    """Return the processes of the group that this one has joined; alone where it has not."""
    if dist.is_available() and dist.is_initialized():
        return World(dist.get_rank(), dist.get_world_size())
    return World()


@contextmanager
def process_group() -> Iterator[World]:
    """Join the processes that ``torchrun`` started, each with its own GPU, until the block ends.

    Alone where there are no others. A group that has been joined already is used and kept.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield current_world()
        return
    local = int(os.environ["LOCAL_RANK"])
    if local < torch.cuda.device_count():  # else they train on the CPU, or share what is there
        torch.cuda.set_device(local)
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        with warnings.catch_warnings():  # a copy more of a small convolution's gradient
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view")
            yield current_world()
    finally:
        dist.destroy_process_group()


def checksum(*arrays: np.ndarray) -> list[Any]:
    """Return what tells whether two processes have the same arrays."""
    return [(a.shape, str(a.dtype), zlib.crc32(np.ascontiguousarray(a).data)) for a in arrays]


def data_parallel(model: nn.Module) -> nn.Module:
    """Return a network that trains the model's own parameters and buffers, as rank 0 has them."""
    # A static graph: the same parameters get a gradient in every step, and some may get none.
    parallel = DistributedDataParallel(convert_batch_norm(model), static_graph=True)
    parallel.training = model.training  # the wrapper alone: the parts have their own modes
    return parallel

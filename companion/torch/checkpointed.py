"""Checkpoints: the blocks are computed again from what came in."""

from __future__ import annotations

from torch import Tensor, nn

from companion import _checks
from companion.torch._recomputation import Recomputation, keep, recomputes


class CheckpointedNetwork(nn.Module):
    """A network whose blocks go in runs; each run keeps its input and is computed again.

    Chen et al. 2016, arXiv 1604.06174. Gradients are those of the network that keeps everything,
    also those of second order, of some of the parameters, under autocast and with dropout; each
    batch counts once in the statistics of batch norms. The last run is not computed again: its
    backward pass comes first. Activations are kept, as without runs, within ``torch.func``'s
    transforms and compilers, and where modules inside have forward hooks.

    Parameters
    ----------
    before, blocks, after: the network in three parts; its parameters are shared.
    segments: how many runs the blocks go in, as equal in length as can be, and so how many inputs
        are kept. About the square root of the number of blocks keeps least.

    Raises
    ------
    ValueError: fewer than one run, or more than blocks.
    RuntimeError: in the backward pass, parameters were changed in place since.
    """

    def __init__(
        self, before: nn.Module, blocks: nn.Sequential, after: nn.Module, segments: int
    ) -> None:
        super().__init__()
        self.before, self.blocks, self.after = before, blocks, after
        self.segments = _checks.positive_int("segments", segments)
        if self.segments > len(blocks):
            raise ValueError(
                f"segments must be at most the {len(blocks)} blocks, got {self.segments}"
            )

    def extra_repr(self) -> str:
        return f"segments={self.segments}"

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        if not recomputes(self.blocks):
            return self.after(self.blocks(x))  # type: ignore[no-any-return]
        ends = [i * len(self.blocks) // self.segments for i in range(1, self.segments + 1)]
        *starts, last = [0, *ends[:-1]]
        for start, end in zip(starts, ends, strict=False):
            x = _run(self.blocks[start:end], x)
        return self.after(self.blocks[last:](x))  # type: ignore[no-any-return]


def _run(blocks: nn.Module, x: Tensor) -> Tensor:
    call, kept = Recomputation(blocks, x), keep(x)
    with call.dropped(lambda: call.repeat(kept(0))):
        return blocks(x)  # type: ignore[no-any-return]

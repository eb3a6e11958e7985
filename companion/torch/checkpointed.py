"""Checkpoints: the blocks are computed again from what came in."""

from __future__ import annotations

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint_sequential

from companion import _checks


class CheckpointedNetwork(nn.Module):
    """A network whose blocks go in runs; each run keeps its input and is computed again.

    Chen et al. 2016, arXiv 1604.06174. Batch norms in training see each batch twice.

    Parameters
    ----------
    before, blocks, after: the network in three parts; its parameters are shared.
    segments: how many runs the blocks go in, and so how many inputs are kept. About the square root
        of the number of blocks keeps least.
    """

    def __init__(
        self, before: nn.Module, blocks: nn.Sequential, after: nn.Module, segments: int
    ) -> None:
        super().__init__()
        self.before, self.blocks, self.after = before, blocks, after
        self.segments = _checks.positive_int("segments", segments)

    def extra_repr(self) -> str:
        return f"segments={self.segments}"

    def forward(self, x: Tensor) -> Tensor:
        y = checkpoint_sequential(self.blocks, self.segments, self.before(x), use_reentrant=True)
        return self.after(y)  # type: ignore[no-any-return]

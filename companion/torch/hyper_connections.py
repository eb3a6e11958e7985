"""Many streams instead of one: hyper-connections, free and on a manifold.

Axes, here and in the reference:

    N  batch    T  time    C  channels of a stream    n  streams    k  weights per stream

The state is (N, T, n, C): n streams of width C beside one another. A block reads one vector from
them for its branch, mixes them, and writes the branch's output to all of them:

    y = write(mix(x), branch(read(x)))

In the papers' words, read and mix are the width connection, here the shortcut of a ``Residual``;
write is the depth connection, here its merge.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.fx
from torch import Tensor, nn

from companion import _checks
from companion.torch._tracing import traced_as_leaf
from companion.torch.residual import Residual


class ExpandStreams(nn.Module):
    """Copy the stream n times: (N, T, C) to (N, T, n, C)."""

    def __init__(self, streams: int) -> None:
        super().__init__()
        self.streams = _checks.positive_int("streams", streams)

    def extra_repr(self) -> str:
        return f"{self.streams}"

    @traced_as_leaf
    def forward(self, x: Tensor) -> Tensor:
        _checks.rank("x", x.shape, 3, "(N, T, C)")
        return x.unsqueeze(2).expand(-1, -1, self.streams, -1)


class ReduceStreams(nn.Module):
    """Mean over the streams: (N, T, n, C) to (N, T, C).

    The paper sums; the norm that follows does not see the factor n.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=2)


class StreamWeights(nn.Module):
    """static + scale * tanh(z W), the weights that a block's streams set, z being their norm.

    Zhu et al. 2025, arXiv 2409.19606, eq. 10 to 13: z is (N, T, n, C) and the result (N, T, n, k).
    W starts at zero, so that the weights are static at first.

    Parameters
    ----------
    width: of z's last axis. initial: (n, k), where the static part starts.
    """

    own_parameters = ("static", "scale", "dynamic")

    def __init__(self, width: int, initial: np.ndarray) -> None:
        super().__init__()
        self.initial = initial
        self.static = nn.Parameter(torch.empty(initial.shape))
        self.scale = nn.Parameter(torch.empty(1))
        self.dynamic = nn.Parameter(torch.empty(self._dynamic_shape(width, *initial.shape)))
        self.reset_parameters()

    def _dynamic_shape(self, width: int, streams: int, k: int) -> tuple[int, int]:
        return width, k

    def reset_parameters(self) -> None:
        with torch.no_grad():
            self.static.copy_(torch.from_numpy(self.initial))
        nn.init.constant_(self.scale, 0.01)
        nn.init.zeros_(self.dynamic)

    def extra_repr(self) -> str:
        streams, k = self.initial.shape
        return f"{len(self.dynamic)}, streams={streams}, k={k}"

    def forward(self, z: Tensor) -> Tensor:
        return self.static + self.scale * torch.tanh(z @ self.dynamic)


class ManifoldWeights(StreamWeights):
    """static + scale * (z W), z being the norm of all streams at once, (N, T, n C).

    Xie et al. 2025, arXiv 2512.24880, section 4.2, eq. 7: the numbers that are then constrained.
    """

    def _dynamic_shape(self, width: int, streams: int, k: int) -> tuple[int, int]:
        return width, streams * k

    def forward(self, z: Tensor) -> Tensor:
        return self.static + self.scale * (z @ self.dynamic).unflatten(2, self.static.shape)


class WidthConnection(nn.Module):
    """Streams (N, T, n, C) to what is read, (N, T, C), the mixed streams, and writing weights.

    Stream i becomes the sum over j of mix[j, i] times stream j. The norm of x, on which all three
    weights depend, is computed once.

    Parameters
    ----------
    read, mix, write: give weights (N, T, n, 1), (N, T, n, n) and (N, T, n, 1) for the norm of x.
    """

    def __init__(self, read: nn.Module, mix: nn.Module, write: nn.Module) -> None:
        super().__init__()
        self.read, self.mix, self.write = read, mix, write

    def weights(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z = nn.functional.layer_norm(x, x.shape[-1:])
        return self.read(z), self.mix(z), self.write(z)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        read, mix, write = self.weights(x)
        return (read * x).sum(dim=2), mix.transpose(2, 3) @ x, write


class ManifoldWidthConnection(WidthConnection):
    """A width connection whose mixing matrix is doubly stochastic (arXiv 2512.24880, eq. 8)."""

    def weights(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z = rms_norm(x.flatten(2))  # (N, T, n C)
        return self.read(z).sigmoid(), sinkhorn(self.mix(z)), 2 * self.write(z).sigmoid()


class DepthConnection(nn.Module):
    """Write the branch's output (N, T, C) to all streams (N, T, n, C), by weights (N, T, n, 1)."""

    def forward(self, streams: Tensor, branch: Tensor, weights: Tensor) -> Tensor:
        return streams + weights * branch.unsqueeze(2)


class StreamResidual(Residual):
    """y = write(mix(x), branch(read(x))): a width connection, the branch, a depth connection."""

    shortcut: WidthConnection
    merge: nn.Module

    def __init__(self, branch: nn.Module, width: WidthConnection) -> None:
        super().__init__(branch, shortcut=width, merge=DepthConnection())

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        vector, mixed, weights = self.shortcut(x)
        return self.merge(mixed, self.run_branch(vector, args, kwargs), weights)


class HyperConnection(StreamResidual):
    """y = write(mix(x), branch(read(x))) over n streams (Zhu et al. 2025, arXiv 2409.19606).

    (N, T, n, channels) to the same shape; :class:`ExpandStreams` before the first,
    :class:`ReduceStreams` after the last. It starts (eq. 14) as one residual connection: streams
    that are equal stay equal, and each becomes x + branch(x).

    Parameters
    ----------
    branch: maps (N, T, channels) to the same shape; further inputs of a call go to it.
    channels: of one stream.
    streams: n, default 4.
    index: the number of the layer; it starts by reading stream index mod n.

    Raises
    ------
    ValueError: any argument out of its range.
    """

    def __init__(self, branch: nn.Module, channels: int, streams: int = 4, index: int = 0) -> None:
        channels = _checks.positive_int("channels", channels)
        n = _checks.positive_int("streams", streams)
        first = _checks.positive_int("index", index, minimum=0) % n
        width = WidthConnection(
            read=StreamWeights(channels, np.eye(n)[:, first : first + 1]),
            mix=StreamWeights(channels, np.eye(n)),
            write=StreamWeights(channels, np.ones((n, 1))),
        )
        super().__init__(branch, width)


class ManifoldHyperConnection(StreamResidual):
    """Hyper-connections whose mixing matrix is doubly stochastic (Xie et al. 2025, 2512.24880).

    Rows and columns of non-negative numbers that sum to one mix streams without amplifying them,
    however many layers follow one another. Reading weights are sigmoid, writing weights 2 sigmoid,
    the mixing matrix is :func:`sinkhorn` of its logits (section 4.2). It starts with weights 1 / n
    for reading and 1 for writing, and a mixing matrix near the identity, so equal streams become
    x + branch(x), as with plain addition. Arguments and errors are those of
    :class:`HyperConnection`, without ``index``; ``streams`` is at least 2.
    """

    def __init__(self, branch: nn.Module, channels: int, streams: int = 4) -> None:
        channels = _checks.positive_int("channels", channels)
        n = _checks.positive_int("streams", streams, minimum=2)
        width = ManifoldWidthConnection(
            read=ManifoldWeights(n * channels, np.full((n, 1), -math.log(n - 1))),
            mix=ManifoldWeights(n * channels, 4 * np.eye(n)),
            write=ManifoldWeights(n * channels, np.zeros((n, 1))),
        )
        super().__init__(branch, width)


def sinkhorn(logits: Tensor, iterations: int = 20) -> Tensor:
    """Return a matrix with positive entries whose rows and columns sum to one.

    Sinkhorn and Knopp 1967: divide columns and rows of exp(logits) by their sums in turn, here in
    logarithms. After the last step rows sum to one exactly, columns approximately.

    Parameters
    ----------
    logits: (..., n, n). iterations: default 20, as in arXiv 2512.24880.
    """
    for _ in range(_checks.positive_int("iterations", iterations)):
        logits = logits - logits.logsumexp(dim=-2, keepdim=True)
        logits = logits - logits.logsumexp(dim=-1, keepdim=True)
    return logits.exp()


@torch.fx.wrap  # the precision is known only when the traced network runs
def rms_norm(x: Tensor) -> Tensor:
    """Divide by the root of the mean square over the last axis (Zhang and Sennrich 2019)."""
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x  # 256 squared overflows
    return (wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + 1e-6)).to(x.dtype)

"""Many streams instead of one: hyper-connections, and attention over depth.

The state is (N, T, n, C): n streams of width C beside one another. ``Residual`` stays what it was:
its shortcut mixes the streams, its branch reads one vector from them and writes one back.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from companion import _checks
from companion.torch.residual import Residual


class ExpandStreams(nn.Module):
    """Copy the stream n times: (N, T, C) to (N, T, n, C)."""

    def __init__(self, streams: int) -> None:
        super().__init__()
        self.streams = _checks.positive_int("streams", streams)

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
    """Weights that the streams set: static + scale * tanh(norm(x) W), shape (N, T, n, k).

    Zhu et al. 2025, arXiv 2409.19606, eq. 10 to 13. W starts at zero, so the weights are static at
    first.
    """

    own_parameters = ("static", "scale", "dynamic")

    def __init__(self, channels: int, static: Tensor) -> None:
        super().__init__()
        self.static = nn.Parameter(static)  # (n, k)
        self.scale = nn.Parameter(torch.full((1,), 0.01))
        self.dynamic = nn.Parameter(torch.zeros(channels, static.shape[1]))

    def forward(self, x: Tensor) -> Tensor:
        normal = nn.functional.layer_norm(x, x.shape[-1:])
        return self.static + self.scale * torch.tanh(normal @ self.dynamic)


class ManifoldWeights(nn.Module):
    """static + scale * (norm(x) W), norm over all streams at once, shape (N, T, n, k).

    Xie et al. 2025, arXiv 2512.24880, section 4.2: the numbers that are then constrained. W starts
    at zero.
    """

    own_parameters = ("static", "scale", "dynamic")

    def __init__(self, channels: int, static: Tensor) -> None:
        super().__init__()
        self.static = nn.Parameter(static)  # (n, k)
        self.scale = nn.Parameter(torch.full((1,), 0.01))
        self.dynamic = nn.Parameter(torch.zeros(len(static) * channels, static.numel()))

    def forward(self, x: Tensor) -> Tensor:
        flat = rms_norm(x.flatten(2))  # (N, T, n C)
        return self.static + self.scale * (flat @ self.dynamic).unflatten(2, self.static.shape)


class WidthConnection(nn.Module):
    """The shortcut of hyper-connections: stream i becomes sum over j of H[j, i] times stream j."""

    def __init__(self, weights: nn.Module, constrained: bool) -> None:
        super().__init__()
        self.weights = weights
        self.constrained = constrained

    def forward(self, x: Tensor) -> Tensor:
        mixing = self.weights(x)  # (N, T, n, n)
        if self.constrained:
            mixing = sinkhorn(mixing)
        return mixing.transpose(2, 3) @ x


class DepthConnection(nn.Module):
    """Read one vector from the streams, run the branch on it, write the result to all of them."""

    def __init__(
        self, inner: nn.Module, read: nn.Module, write: nn.Module, constrained: bool
    ) -> None:
        super().__init__()
        self.inner, self.read, self.write = inner, read, write
        self.constrained = constrained

    def forward(self, x: Tensor) -> Tensor:
        read, write = self.read(x), self.write(x)  # (N, T, n, 1)
        if self.constrained:
            read, write = torch.sigmoid(read), 2 * torch.sigmoid(write)
        return write * self.inner((read * x).sum(dim=2)).unsqueeze(2)


class HyperConnection(Residual):
    """n streams, mixed, read and written with learned weights (Zhu et al. 2025, arXiv 2409.19606).

    (N, T, n, channels) to the same shape; :class:`ExpandStreams` before the first, :class:`ReduceStreams` after
    the last. It starts (eq. 14) as one residual connection: streams that are equal stay equal, and
    each becomes x + branch(x).

    Parameters
    ----------
    branch: maps (N, T, channels) to the same shape.
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
        read = StreamWeights(channels, torch.eye(n)[:, first : first + 1].clone())
        write = StreamWeights(channels, torch.ones(n, 1))
        mix = StreamWeights(channels, torch.eye(n))
        super().__init__(DepthConnection(branch, read, write, False), WidthConnection(mix, False))


class ManifoldHyperConnection(Residual):
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
        read = ManifoldWeights(channels, torch.full((n, 1), -math.log(n - 1)))
        write = ManifoldWeights(channels, torch.zeros(n, 1))
        mix = ManifoldWeights(channels, 4 * torch.eye(n))
        super().__init__(DepthConnection(branch, read, write, True), WidthConnection(mix, True))


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


def rms_norm(x: Tensor) -> Tensor:
    """Divide by the root of the mean square over the last axis (Zhang and Sennrich 2019)."""
    return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 1e-6)

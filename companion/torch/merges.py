"""Merges: how shortcut and branch become one stream again.

Each is called as ``merge(shortcut, branch)``; shapes must be equal unless the merge says otherwise.
A merge that tells channels apart is told their axis: 1 by default, as in images (N, C, H, W) and
vectors (N, C); -1 for tokens (N, T, C).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from companion import _checks
from companion.torch._tracing import traced_as_leaf


class Add(nn.Module):
    """shortcut + branch (He et al. 2015, eq. 1), never broadcast.

    Raises
    ------
    ValueError: the two shapes differ.
    """

    @traced_as_leaf
    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        return shortcut + branch


class ScaledAdd(nn.Module):
    """shortcut + a * branch with one learned a: ReZero and SkipInit (both start at a = 0).

    Bachlechner et al. 2020, arXiv 2003.04887, eq. 1; De and Smith 2020, arXiv 2002.10444. At
    a = 1 it is plain addition.

    Parameters
    ----------
    initial: value of a before training, default 0: every block starts as its shortcut.

    Raises
    ------
    ValueError: an initial value that is not a finite number, or shapes that differ.
    """

    own_parameters = ("scale",)

    def __init__(self, initial: float = 0.0) -> None:
        super().__init__()
        self.initial = _checks.finite_number("initial", initial)
        self.scale = nn.Parameter(torch.empty(1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.scale, self.initial)

    def extra_repr(self) -> str:
        return f"initial={self.initial:g}"

    @traced_as_leaf
    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        return shortcut + self.scale * branch


class LayerScale(nn.Module):
    """shortcut + diag(a) branch, a learned per channel (Touvron et al. 2021, arXiv 2103.17239).

    Parameters
    ----------
    channels: of the stream.
    initial: value of every a before training, default 1e-4. At 1 it is plain addition.
    axis: of the channels, default 1.

    Raises
    ------
    ValueError: arguments out of range, shapes that differ, or another number of channels.
    """

    own_parameters = ("scale",)

    def __init__(self, channels: int, initial: float = 1e-4, axis: int = 1) -> None:
        super().__init__()
        self.channels = _checks.positive_int("channels", channels)
        self.initial = _checks.finite_number("initial", initial)
        self.axis = _checks.axis(axis)
        self.scale = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.scale, self.initial)

    def extra_repr(self) -> str:
        return f"{self.channels}, initial={self.initial:g}, axis={self.axis}"

    @traced_as_leaf
    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        _checks.channels_on_axis("branch", branch.shape, self.axis, self.channels)
        sizes = [1] * branch.ndim
        sizes[self.axis] = self.channels
        return shortcut + self.scale.view(sizes) * branch


class Highway(nn.Module):
    """(1 - T) * shortcut + T * branch, T = sigmoid(W shortcut + b).

    Srivastava et al. 2015, arXiv 1505.00387, eq. 3. The gate looks at the shortcut, which is the
    block's input where the shortcut is the identity; on images it is a 1x1 convolution.

    Parameters
    ----------
    channels: of the stream.
    bias: initial b, default -2: blocks start by carrying most of their input. W starts at zero,
        so T is sigmoid(b) everywhere; there is no setting in which the gate is plain addition.
    axis: of the channels, default 1.

    Raises
    ------
    ValueError: arguments out of range, shapes that differ, or another number of channels.
    """

    own_parameters = ("weight", "bias")

    def __init__(self, channels: int, bias: float = -2.0, axis: int = 1) -> None:
        super().__init__()
        self.channels = _checks.positive_int("channels", channels)
        self.initial = _checks.finite_number("bias", bias)
        self.axis = _checks.axis(axis)
        self.weight = nn.Parameter(torch.empty(channels, channels))  # (in, out)
        self.bias = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        nn.init.constant_(self.bias, self.initial)

    def extra_repr(self) -> str:
        return f"{self.channels}, bias={self.initial:g}, axis={self.axis}"

    @traced_as_leaf
    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        _checks.channels_on_axis("branch", branch.shape, self.axis, self.channels)
        vectors = shortcut.movedim(self.axis, -1)
        gate = torch.sigmoid(vectors @ self.weight + self.bias).movedim(-1, self.axis)
        return (1 - gate) * shortcut + gate * branch


class StochasticDepth(nn.Module):
    """shortcut + b * branch: b is 0 or 1 at random for each example in training.

    Huang et al. 2016, arXiv 1603.09382, eq. 2 and 5: in inference the branch is multiplied by its
    probability of survival. At survival 1 it is plain addition. The paper's rule for a whole
    network is :func:`companion.architectures.linear_decay`.

    Parameters
    ----------
    survival: probability that an example's branch is kept, in (0, 1].

    Raises
    ------
    ValueError: a survival outside (0, 1], or shapes that differ.
    """

    def __init__(self, survival: float) -> None:
        super().__init__()
        self.survival = _checks.probability("survival", survival)

    def extra_repr(self) -> str:
        return f"{self.survival:g}"

    @traced_as_leaf
    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        if not self.training:
            return shortcut + self.survival * branch
        each = (len(branch),) + (1,) * (branch.ndim - 1)
        kept = torch.rand(each, device=branch.device) < self.survival
        return shortcut + kept.to(branch.dtype) * branch


class Concatenate(nn.Module):
    """Shortcut and branch side by side along the channels (Huang et al. 2017, arXiv 1608.06993).

    All other axes must agree: (N, C, H, W) and (N, G, H, W) to (N, C + G, H, W).

    Parameters
    ----------
    axis: of the channels, default 1.

    Raises
    ------
    ValueError: an axis that is 0 or no integer, or shapes that differ on another axis.
    """

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        self.axis = _checks.axis(axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}"

    @traced_as_leaf
    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes(
            "shortcut and branch", shortcut.shape, branch.shape, except_axis=self.axis
        )
        return torch.cat([shortcut, branch], dim=self.axis)


class Subtract(nn.Module):
    """shortcut - branch: the branch predicts what to take away, as noise (DnCNN).

    Zhang et al. 2017, arXiv 1608.03981, section III.

    Raises
    ------
    ValueError: the two shapes differ.
    """

    @traced_as_leaf
    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        return shortcut - branch


def make_merge(merge: Callable[[int], nn.Module] | None, channels: int) -> nn.Module | None:
    """Return ``merge(channels)``; ``None`` stays ``None``, which is addition.

    Raises
    ------
    ValueError: a merge that is neither ``None`` nor callable, or that returns no module.
    """
    if merge is None:
        return None
    made = merge(channels) if callable(merge) else merge
    if not callable(merge) or not isinstance(made, nn.Module):
        raise ValueError(f"merge must be None or make a module from channels, got {merge!r}")
    return made

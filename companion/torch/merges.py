"""Merges: how shortcut and branch become one stream again.

Each is called as ``merge(shortcut, branch)``; shapes must be equal unless the merge says otherwise.
Channels are axis 1 of images (N, C, H, W) and the last axis of tokens and vectors.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from companion import _checks


class Add(nn.Module):
    """shortcut + branch (He et al. 2015, eq. 1), never broadcast.

    Raises
    ------
    ValueError: the two shapes differ.
    """

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
        initial = _checks.finite_number("initial", initial)
        self.scale = nn.Parameter(torch.full((1,), initial))

    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        return shortcut + self.scale * branch


class LayerScale(nn.Module):
    """shortcut + diag(a) branch, a learned per channel (Touvron et al. 2021, arXiv 2103.17239).

    Parameters
    ----------
    channels: of the stream.
    initial: value of every a before training, default 1e-4. At 1 it is plain addition.

    Raises
    ------
    ValueError: arguments out of range, shapes that differ, or another number of channels.
    """

    own_parameters = ("scale",)

    def __init__(self, channels: int, initial: float = 1e-4) -> None:
        super().__init__()
        self.channels = _checks.positive_int("channels", channels)
        initial = _checks.finite_number("initial", initial)
        self.scale = nn.Parameter(torch.full((channels,), initial))

    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        return shortcut + _per_channel(self.scale, branch) * branch


class Highway(nn.Module):
    """(1 - T) * shortcut + T * branch, T = sigmoid(W shortcut + b).

    Srivastava et al. 2015, arXiv 1505.00387, eq. 3. The gate looks at the shortcut, which is the
    block's input where the shortcut is the identity; on images it is a 1x1 convolution.

    Parameters
    ----------
    channels: of the stream.
    bias: initial b, default -2: blocks start by carrying most of their input. W starts at zero,
        so T is sigmoid(b) everywhere; there is no setting in which the gate is plain addition.

    Raises
    ------
    ValueError: arguments out of range, shapes that differ, or another number of channels.
    """

    own_parameters = ("weight", "bias")

    def __init__(self, channels: int, bias: float = -2.0) -> None:
        super().__init__()
        self.channels = _checks.positive_int("channels", channels)
        bias = _checks.finite_number("bias", bias)
        self.weight = nn.Parameter(torch.zeros(channels, channels))  # (in, out)
        self.bias = nn.Parameter(torch.full((channels,), bias))

    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        _checks.channels("branch", branch.shape[_axis(branch)], self.channels)
        moved = shortcut.movedim(_axis(shortcut), -1)
        gate = torch.sigmoid(moved @ self.weight + self.bias).movedim(-1, _axis(shortcut))
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

    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        if not self.training:
            return shortcut + self.survival * branch
        each = (len(branch),) + (1,) * (branch.ndim - 1)
        kept = torch.rand(each, device=branch.device) < self.survival
        return shortcut + kept.to(branch.dtype) * branch


class Concatenate(nn.Module):
    """Shortcut and branch side by side along the channels (Huang et al. 2017, arXiv 1608.06993).

    All axes but the channels must agree: (N, C, H, W) and (N, G, H, W) to (N, C + G, H, W).

    Raises
    ------
    ValueError: another axis differs.
    """

    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        axis = _axis(shortcut)
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape, except_axis=axis)
        return torch.cat([shortcut, branch], dim=axis)


class Subtract(nn.Module):
    """shortcut - branch: the branch predicts what to take away, as noise (DnCNN).

    Zhang et al. 2017, arXiv 1608.03981, section III.

    Raises
    ------
    ValueError: the two shapes differ.
    """

    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        return shortcut - branch


def _axis(x: Tensor) -> int:
    return 1 if x.ndim == 4 else -1


def _per_channel(values: Tensor, like: Tensor) -> Tensor:
    _checks.channels("branch", like.shape[_axis(like)], len(values))
    return values[:, None, None] if like.ndim == 4 else values

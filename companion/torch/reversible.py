"""Reversible blocks: the input is computed back from the output, so nothing has to be stored.

A block is a ``Residual`` over two halves of the channels:

    (y1, y2) = (x2, x1 + F(x2)),    (x1, x2) = (y2 - F(y1), y1)

A stack of them leaves its equation once: in the backward pass, where it recomputes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from companion import _checks
from companion.torch._recomputation import Recomputation, keep, recomputes
from companion.torch._tracing import traced_as_leaf
from companion.torch.layers import BatchNorm2d, Conv2d, Dense, GlobalAveragePool, skip_init
from companion.torch.residual import Residual
from companion.torch.resnet import build_sequential
from companion.torch.shortcuts import Identity, ZeroPad


class SecondHalf(nn.Module):
    """The second half of the channels: (N, 2 C, H, W) to (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.chunk(2, dim=1)[1]


class EachHalf(nn.Module):
    """Apply a shortcut to both halves of the channels."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        return torch.cat([self.inner(first), self.inner(second)], dim=1)


class AdditiveCoupling(nn.Module):
    """(x1, x2) and F(x2) to (x2, x1 + F(x2)): x2 is kept, so x1 can be computed back.

    Gomez et al. 2017, arXiv 1707.04585, eq. 6; the halves change places, so that the next block
    adds to the other one.

    Raises
    ------
    ValueError: the branch has not half the channels of the shortcut.
    """

    @traced_as_leaf
    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        first, second = shortcut.chunk(2, dim=1)
        _checks.equal_shapes("shortcut and branch", first.shape, branch.shape)
        return torch.cat([second, first + branch], dim=1)


class ReversibleBlock(Residual):
    """Half of a reversible unit: a pre-activation branch on one half, added to the other.

    (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)). Two of them in
    a row are eq. 6 of arXiv 1707.04585.

    Parameters
    ----------
    in_channels, out_channels: of both halves together, even. Where they or the stride change, the
        halves are zero-padded (option A) and the block cannot be reversed.
    stride: default 1.

    Raises
    ------
    ValueError: any argument out of its range.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        half_in = _checks.multiple_of("in_channels", in_channels, 2) // 2
        half_out = _checks.multiple_of("out_channels", out_channels, 2) // 2
        function = nn.Sequential(
            OrderedDict(
                norm1=BatchNorm2d(half_in),
                relu1=nn.ReLU(),
                conv1=Conv2d(half_in, half_out, kernel_size=3, stride=stride),
                norm2=BatchNorm2d(half_out),
                relu2=nn.ReLU(),
                conv2=Conv2d(half_out, half_out, kernel_size=3),
            )
        )
        self_inverse = in_channels == out_channels and stride == 1
        shortcut: nn.Module = (
            Identity() if self_inverse else EachHalf(ZeroPad(half_in, half_out, stride))
        )
        branch = nn.Sequential(OrderedDict(pick=SecondHalf(), function=function))
        super().__init__(branch, shortcut, AdditiveCoupling())
        self.reversible = self_inverse

    def _function(self, half: Tensor) -> Tensor:
        return self.branch.get_submodule("function")(half)

    def inverse(self, y: Tensor) -> Tensor:
        """Return the x of which y is the output, to rounding: x1 = y2 - F(y1).

        Raises
        ------
        ValueError: a block that changes channels or stride.
        """
        if not self.reversible:
            raise ValueError("a block that changes channels or stride cannot be inverted")
        with torch.no_grad():
            return self.step_back(y, self._function)

    def step_back(self, y: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the input, from the output alone; F is computed again, by ``function``."""
        second, summed = y.chunk(2, dim=1)
        return torch.cat([summed - function(second), second], dim=1)


class ReversibleSequential(nn.Sequential):
    """A stack of :class:`ReversibleBlock` that keeps only its output for the backward pass.

    Gradients of any order, of some parameters, under autocast and with dropout are those of the
    same stack that keeps its activations, but for the rounding of what is computed back, which
    grows with depth and in 16 bits is about half of what those change by themselves. Each batch
    counts once in the statistics of the norms. Activations are kept all the same where they cannot
    be computed again: within ``torch.func``'s transforms and compilers, and where modules inside
    have forward hooks.

    Parameters
    ----------
    blocks: reversible ones. recompute: ``False`` keeps every activation, as any other stack does:
        the same numbers for more memory and less time.

    Raises
    ------
    ValueError: a block that cannot be reversed.
    RuntimeError: in the backward pass, parameters or the output were changed in place since.
    """

    def __init__(self, *blocks: ReversibleBlock, recompute: bool = True) -> None:
        if not all(block.reversible for block in blocks):
            raise ValueError("blocks must be reversible, got one that changes channels or stride")
        super().__init__(*blocks)
        self.recompute = _checks.boolean("recompute", recompute)

    def extra_repr(self) -> str:
        return f"recompute={self.recompute}"

    @traced_as_leaf
    def forward(self, x: Tensor) -> Tensor:
        if not self.recompute or not recomputes(self):
            return super().forward(x)
        return _WayBack(list(self)).forward(x)  # type: ignore[arg-type]


class _WayBack:
    """The blocks of one forward pass, from whose last output all inputs are computed."""

    def __init__(self, blocks: list[ReversibleBlock]) -> None:
        self.blocks = blocks
        self.calls: list[Recomputation] = []
        self.outputs: dict[int, Callable[[], Tensor]] = {}  # those that are there

    def forward(self, x: Tensor) -> Tensor:
        for i, block in enumerate(self.blocks):
            call = Recomputation(block.branch.get_submodule("function"), x)
            self.calls.append(call)
            with call.dropped(partial(self.repeat, i)):
                x = block(x)
        self.outputs[len(self.blocks) - 1] = partial(keep(x), 0)
        return x

    def repeat(self, i: int) -> None:
        """Compute what block i kept, and its input, from the nearest output after it."""
        for k in range(min(k for k in self.outputs if k >= i), i - 1, -1):
            y = self.outputs[k]()
            x = self.blocks[k].step_back(y, partial(self.calls[k].repeat, collect=k == i))
            if k < len(self.blocks) - 1:
                del self.outputs[k]
            if k > 0:
                self.outputs[k - 1] = partial(_same, x)


def _same(x: Tensor) -> Tensor:
    return x


@skip_init()
def revnet_cifar(
    depth: int = 38,
    width: int = 32,
    recompute: bool = True,
    in_channels: int = 3,
    num_classes: int = 10,
    seed: int | None = None,
) -> nn.Sequential:
    """Return a RevNet for small images (Gomez et al. 2017, arXiv 1707.04585).

    (N, in_channels, H, W) to logits (N, num_classes). A unit has two branches of two convolutions.
    Without its shortcuts a reversible network has no meaning, so there is no ``residual`` argument;
    :func:`cifar_preact_resnet` is the network to compare with.

    Parameters
    ----------
    depth: 12n+2: 14, 26, 38, ..., 110.
    width: channels of the first stage, both halves together, default 32, then twice and four times
        as many.
    recompute: whether to compute activations back rather than to keep them, default True.
    in_channels, num_classes: of images and of labels.
    seed: of the initial weights, the same in both frameworks; ``None`` draws one.

    Raises
    ------
    ValueError: a depth that is not 12n+2, or any argument out of its range.
    """
    units = _checks.depth(depth, 12, 2)
    width = _checks.multiple_of("width", width, 2)
    _checks.boolean("recompute", recompute)
    _checks.positive_int("num_classes", num_classes)
    seed = _checks.seed(seed)
    parts = OrderedDict[str, nn.Module](stem=Conv2d(in_channels, width))
    channels = width
    for i in range(3):
        halves = 2 * units
        if i > 0:
            parts[f"widen{i}"] = ReversibleBlock(channels, 2 * channels, stride=2)
            channels, halves = 2 * channels, halves - 1
        blocks = [ReversibleBlock(channels, channels) for _ in range(halves)]
        parts[f"stage{i}"] = ReversibleSequential(*blocks, recompute=recompute)
    parts["norm"], parts["relu"] = BatchNorm2d(channels), nn.ReLU()
    parts["pool"], parts["dense"] = GlobalAveragePool(), Dense(channels, num_classes)
    return build_sequential(parts, seed)

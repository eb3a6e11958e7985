"""Depth tables as plain data: what to build, in no framework's words.

Both frameworks build their networks from these, so that they cannot drift apart. Counts of layers
are the papers' own: weight layers on the main path, projections not counted.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from companion import _checks


@dataclass(frozen=True)
class Stage:
    """A run of blocks at one resolution; the first block applies ``stride``."""

    out_channels: int
    blocks: int
    stride: int


@dataclass(frozen=True)
class Architecture:
    """A residual network: stem, stages, head.

    Attributes
    ----------
    block: which residual block, a key of ``resnet.BLOCKS``, as ``"basic"`` or ``"bottleneck"``.
    stem_channels, stem_kernel, stem_stride: the first convolution.
    stem_pool: whether a 3x3 max pooling of stride 2 follows it.
    stages: the blocks, in order.
    """

    name: str
    block: str
    stem_channels: int
    stem_kernel: int
    stem_stride: int
    stem_pool: bool
    stages: tuple[Stage, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the table as plain data, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, table: dict[str, Any]) -> Architecture:
        """Return the table that :meth:`as_dict` wrote."""
        return cls(**{**table, "stages": tuple(Stage(**stage) for stage in table["stages"])})


#: Table 1 of He et al. 2015 (arXiv 1512.03385), as blocks per stage, and the kind of block.
IMAGENET = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}


def imagenet_resnet(depth: int, block: str | None = None) -> Architecture:
    """Return the ImageNet network of ``depth`` 18, 34, 50, 101 or 152 (table 1).

    ``block`` puts another bottleneck in the place of the paper's, as ``"resnext"``.

    Raises
    ------
    ValueError: any other depth.
    """
    kind, counts = IMAGENET[_checks.option("depth", depth, tuple(IMAGENET))]
    expansion = 4 if kind == "bottleneck" else 1
    stages = tuple(
        Stage(expansion * 64 * 2**i, blocks, stride=1 if i == 0 else 2)
        for i, blocks in enumerate(counts)
    )
    name = f"resnet{depth}" if block is None else f"{block}_resnet{depth}"
    return Architecture(name, block or kind, 64, 7, 2, True, stages)


def cifar_resnet(depth: int, width: int = 16) -> Architecture:
    """Return the small-image network of section 4.2: 6n+2 layers, widths w, 2w, 4w.

    Parameters
    ----------
    depth: 8, 14, 20, 26, ...: one stem, three stages of n blocks with two layers each, one dense.
    width: channels of the first stage; the paper's is 16.

    Raises
    ------
    ValueError: a depth that is not 6n+2 with n >= 1, or a width below 1.
    """
    n = _checks.depth(depth, 6, 2)
    width = _checks.positive_int("width", width)
    stages = tuple(Stage(width * 2**i, n, stride=1 if i == 0 else 2) for i in range(3))
    return Architecture(f"cifar_resnet{depth}", "basic", width, 3, 1, False, stages)


def cifar_preact_resnet(depth: int, width: int = 16) -> Architecture:
    """Return the small-image network with pre-activation (He et al. 2016): 6n+2 layers.

    Raises
    ------
    ValueError: a depth that is not 6n+2 with n >= 1, or a width below 1.
    """
    table = cifar_resnet(depth, width)
    return replace(table, name=f"cifar_preact_resnet{depth}", block="pre_activation")


def fixup_resnet(depth: int, width: int = 16) -> Architecture:
    """Return the small-image network without norms (Zhang et al. 2019, 1901.09321): 6n+2 layers.

    Raises
    ------
    ValueError: a depth that is not 6n+2 with n >= 1, or a width below 1.
    """
    table = cifar_resnet(depth, width)
    return replace(table, name=f"fixup_resnet{depth}", block="fixup")


def wide_resnet(depth: int, k: int) -> Architecture:
    """Return WRN-depth-k: stem of 16, then 16k, 32k, 64k channels, pre-activation blocks.

    Zagoruyko and Komodakis 2016, arXiv 1605.07146, table 1: depth is 6n+4, the projections
    counted.

    Raises
    ------
    ValueError: a depth that is not 6n+4 with n >= 1, or k below 1.
    """
    n = _checks.depth(depth, 6, 4)
    k = _checks.positive_int("k", k)
    stages = tuple(Stage(16 * k * 2**i, n, stride=1 if i == 0 else 2) for i in range(3))
    return Architecture(f"wide_resnet{depth}_{k}", "pre_activation", 16, 3, 1, False, stages)


def mnist_resnet() -> Architecture:
    """Return the book's small recipe network for 28x28 digits.

    A 5x5 stem of stride 2 brings the image to 14x14 at once, where a block costs a quarter; then
    one basic block each at 16, 32 and 64 channels.
    """
    stages = (Stage(16, 1, 1), Stage(32, 1, 2), Stage(64, 1, 2))
    return Architecture("mnist_resnet", "basic", 16, 5, 2, False, stages)


def article_network() -> Architecture:
    """Return the network that the source article describes: a 7x7 stem, five blocks of 64."""
    return Architecture("residual_network", "basic", 64, 7, 2, False, (Stage(64, 5, 1),))


def linear_decay(blocks: int, last: float = 0.5) -> list[float]:
    """Return each block's survival: just below 1 in the first, falling linearly to ``last``.

    Huang et al. 2016, arXiv 1603.09382, eq. 4: block l of L survives with 1 - l/L (1 - last).

    Raises
    ------
    ValueError: fewer than one block, or ``last`` outside (0, 1].
    """
    blocks = _checks.positive_int("blocks", blocks)
    last = _checks.probability("last", last)
    return [1 - block / blocks * (1 - last) for block in range(1, blocks + 1)]


#: Where the layer norms of a Transformer stand.
NORMS = ("pre", "post", "sandwich", "deepnorm", "none")
#: How the branches of a Transformer join its stream, or streams.
MERGES = (
    "add",
    "rezero",
    "layer_scale",
    "highway",
    "stochastic_depth",
    "hyper",
    "manifold",
    "depth_attention",
)

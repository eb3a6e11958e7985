"""Residual networks for images, each with its plain control at ``residual=False``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from companion import _checks, architectures
from companion.torch.resnet import ResNet
from companion.torch.shortcuts import Shortcut

Merge = Callable[[int], nn.Module]


def cifar_resnet(
    depth: int,
    width: int = 16,
    shortcut: Shortcut = "A",
    residual: bool = True,
    in_channels: int = 3,
    num_classes: int = 10,
    seed: int | None = None,
    block: Callable[..., nn.Module] | None = None,
    merge: Merge | None = None,
) -> ResNet:
    """Return the small-image network of He et al. 2015, section 4.2: ``depth`` = 6n+2.

    Parameters
    ----------
    depth: 8, 14, 20, 26, 32, ...
    width: channels of the first stage, default 16; then twice, then four times as many.
    shortcut: the paper's CIFAR networks use ``"A"``, the default.
    residual, in_channels, num_classes, seed, block, merge: see :class:`ResNet`.

    Raises
    ------
    ValueError: a depth that is not 6n+2, or any argument out of its range.
    """
    table = architectures.cifar_resnet(depth, width)
    return ResNet(table, shortcut, residual, in_channels, num_classes, seed, block, merge)


def mnist_resnet(
    shortcut: Shortcut = "B",
    residual: bool = True,
    in_channels: int = 1,
    num_classes: int = 10,
    seed: int | None = None,
    block: Callable[..., nn.Module] | None = None,
    merge: Merge | None = None,
) -> ResNet:
    """Return the book's small network for 28 x 28 digits: a 5x5 stem and three basic blocks.

    Raises
    ------
    ValueError: any argument out of its range, see :class:`ResNet`.
    """
    table = architectures.mnist_resnet()
    return ResNet(table, shortcut, residual, in_channels, num_classes, seed, block, merge)


def residual_network(
    input_shape: Sequence[int],
    num_classes: int,
    residual: bool = True,
    seed: int | None = None,
    block: Callable[..., nn.Module] | None = None,
    merge: Merge | None = None,
) -> ResNet:
    """Return the source article's network, corrected: a 7x7 stem and five blocks of 64 channels.

    Parameters
    ----------
    input_shape: (channels, height, width) of one image. (Keras: (height, width, channels).)
    num_classes: length of the logits; apply softmax for probabilities.
    residual, seed, block, merge: see :class:`ResNet`.

    Raises
    ------
    ValueError: an input_shape that is not three positive integers, or num_classes below 1.
    """
    channels, _, _ = _checks.image_shape("input_shape", input_shape, "(channels, height, width)")
    table = architectures.article_network()
    return ResNet(table, "B", residual, channels, num_classes, seed, block, merge)


def resnet18(**options: Any) -> ResNet:
    """Return the 18-layer ImageNet network (basic blocks); options of :class:`ResNet`."""
    return ResNet(architectures.imagenet_resnet(18), **options)


def resnet34(**options: Any) -> ResNet:
    """Return the 34-layer ImageNet network (basic blocks); options of :class:`ResNet`."""
    return ResNet(architectures.imagenet_resnet(34), **options)


def resnet50(version: str = "v1.5", **options: Any) -> ResNet:
    """Return the 50-layer ImageNet network (bottlenecks); options of :class:`ResNet`.

    ``version`` ``"v1.5"`` has the stride on the 3x3 convolution (torchvision), ``"v1"`` on the
    first 1x1 (the paper, Keras).
    """
    return _bottlenecks(50, version, options)


def resnet101(version: str = "v1.5", **options: Any) -> ResNet:
    """Return the 101-layer ImageNet network; see :func:`resnet50`."""
    return _bottlenecks(101, version, options)


def resnet152(version: str = "v1.5", **options: Any) -> ResNet:
    """Return the 152-layer ImageNet network; see :func:`resnet50`."""
    return _bottlenecks(152, version, options)


def _bottlenecks(depth: int, version: str, options: dict[str, Any]) -> ResNet:
    _checks.option("version", version, ("v1.5", "v1"))
    name = "bottleneck_v1" if version == "v1" else None
    return ResNet(architectures.imagenet_resnet(depth, name), **options)


def wide_resnet50_2(**options: Any) -> ResNet:
    """Return ResNet-50 with twice the channels in every 3x3; options of :class:`ResNet`."""
    return ResNet(architectures.imagenet_resnet(50, "wide"), **options)


def resnext50_32x4d(**options: Any) -> ResNet:
    """Return ResNeXt-50, 32 groups of 4 channels (arXiv 1611.05431); options of :class:`ResNet`."""
    return ResNet(architectures.imagenet_resnet(50, "resnext"), **options)


def se_resnet50(**options: Any) -> ResNet:
    """Return SE-ResNet-50 (arXiv 1709.01507); options of :class:`ResNet`."""
    return ResNet(architectures.imagenet_resnet(50, "se"), **options)


def cifar_preact_resnet(
    depth: int,
    width: int = 16,
    shortcut: Shortcut = "A",
    residual: bool = True,
    in_channels: int = 3,
    num_classes: int = 10,
    seed: int | None = None,
    block: Callable[..., nn.Module] | None = None,
    merge: Merge | None = None,
) -> ResNet:
    """Return the small-image network with pre-activation (He et al. 2016, arXiv 1603.05027).

    Arguments and errors are those of :func:`cifar_resnet`.
    """
    table = architectures.cifar_preact_resnet(depth, width)
    return ResNet(table, shortcut, residual, in_channels, num_classes, seed, block, merge)


def fixup_resnet(
    depth: int,
    width: int = 16,
    shortcut: Shortcut = "A",
    residual: bool = True,
    in_channels: int = 3,
    num_classes: int = 10,
    seed: int | None = None,
    block: Callable[..., nn.Module] | None = None,
    merge: Merge | None = None,
) -> ResNet:
    """Return the small-image network without norms, started by Fixup (arXiv 1901.09321).

    Arguments and errors are those of :func:`cifar_resnet`.
    """
    table = architectures.fixup_resnet(depth, width)
    return ResNet(table, shortcut, residual, in_channels, num_classes, seed, block, merge)


def wide_resnet(
    depth: int,
    k: int,
    shortcut: Shortcut = "B",
    residual: bool = True,
    in_channels: int = 3,
    num_classes: int = 10,
    seed: int | None = None,
    block: Callable[..., nn.Module] | None = None,
    merge: Merge | None = None,
) -> ResNet:
    """Return WRN-depth-k for small images (Zagoruyko and Komodakis 2016, arXiv 1605.07146).

    Parameters
    ----------
    depth: 10, 16, 22, 28, ... (6n+4).
    k: widening factor; the stages have 16k, 32k, 64k channels.
    shortcut, residual, in_channels, num_classes, seed, block, merge: see :class:`ResNet`.

    Raises
    ------
    ValueError: a depth that is not 6n+4, or any argument out of its range.
    """
    table = architectures.wide_resnet(depth, k)
    return ResNet(table, shortcut, residual, in_channels, num_classes, seed, block, merge)

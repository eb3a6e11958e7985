"""Residual networks, each with its plain control at ``residual=False``."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import keras

from companion import _checks, architectures, weights
from companion.architectures import Architecture
from companion.tensorflow.blocks import (
    BasicBlock,
    BottleneckBlock,
    BottleneckBlockV1,
    ResNeXtBlock,
    WideBottleneckBlock,
)
from companion.tensorflow.fixup import FixupBlock
from companion.tensorflow.layers import BatchNorm2d, Conv2d, Dense, GlobalAveragePool, MaxPool2d
from companion.tensorflow.preactivation import PreActivationBlock, PreActivationBottleneckBlock
from companion.tensorflow.separable import SeparableBlock
from companion.tensorflow.squeeze_excitation import SEBottleneckBlock

#: The blocks that an :class:`companion.architectures.Architecture` can name.
BLOCKS: dict[str, Any] = {
    "basic": BasicBlock,
    "bottleneck": BottleneckBlock,
    "bottleneck_v1": BottleneckBlockV1,
    "wide": WideBottleneckBlock,
    "resnext": ResNeXtBlock,
    "se": SEBottleneckBlock,
    "separable": SeparableBlock,
    "fixup": FixupBlock,
    "pre_activation": PreActivationBlock,
    "pre_activation_bottleneck": PreActivationBottleneckBlock,
}


@keras.saving.register_keras_serializable("companion")
class Built(keras.Sequential):
    """Layers in a row, saved as the function that built them and its arguments.

    Parameters
    ----------
    layers: the first is a ``keras.Input``.
    builder: name of a public function of :mod:`companion.tensorflow`. arguments: of its call.
    seed: of the initial weights; ``None`` draws one from Keras's generator.
    """

    def __init__(
        self, layers: list[Any], builder: str, arguments: dict[str, Any], seed: int | None
    ) -> None:
        super().__init__(layers, name=builder)
        self.builder = builder
        self.arguments = arguments
        if seed is None:
            seed = int(keras.random.randint((), 0, 2**31 - 1))
        weights.initialize(self, seed)

    def get_config(self) -> dict[str, Any]:
        return {"builder": self.builder, "arguments": dict(self.arguments)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        builders = importlib.import_module("companion.tensorflow")
        return getattr(builders, config["builder"])(**config["arguments"])


@keras.saving.register_keras_serializable("companion")
class ResNet(keras.Sequential):
    """Stem, stages of residual blocks, and a classifier (He et al. 2015, table 1, section 4.2).

    (N, H, W, in_channels) to logits (N, num_classes); any H and W that survive the strides.

    Parameters
    ----------
    architecture: the depth table, see :mod:`companion.architectures`.
    shortcut: option ``"A"``, ``"B"`` or ``"C"``.
    residual: ``False`` gives the plain control: same branches, same initial weights.
    in_channels, num_classes: of images and of labels.
    seed: of the initial weights. The same seed gives the same weights in both frameworks, with
        and without shortcuts. ``None`` draws one from Keras's generator.
    """

    def __init__(
        self,
        architecture: Architecture,
        shortcut: str = "B",
        residual: bool = True,
        in_channels: int = 3,
        num_classes: int = 1000,
        seed: int | None = None,
    ) -> None:
        _checks.option("shortcut", shortcut, ("A", "B", "C"))
        _checks.boolean("residual", residual)
        _checks.positive_int("in_channels", in_channels)
        _checks.positive_int("num_classes", num_classes)
        seed = _checks.seed(seed)
        channels = architecture.stem_channels
        stem = [
            Conv2d(
                in_channels,
                channels,
                architecture.stem_kernel,
                architecture.stem_stride,
                name="conv",
            )
        ]
        if not architecture.normalized:
            stem.append(keras.layers.ReLU(name="relu"))
        elif not architecture.pre_activation:
            stem += [BatchNorm2d(channels, name="norm"), keras.layers.ReLU(name="relu")]
        if architecture.stem_pool:
            stem.append(MaxPool2d(name="pool"))
        stages = []
        for s, stage in enumerate(architecture.stages):
            blocks = []
            for i in range(stage.blocks):
                blocks.append(
                    BLOCKS[architecture.block](
                        channels,
                        stage.out_channels,
                        stride=stage.stride if i == 0 else 1,
                        shortcut=shortcut,
                        residual=residual,
                        name=str(i),
                    )
                )
                channels = stage.out_channels
            stages.append(keras.Sequential(blocks, name=str(s)))
        head = []
        if architecture.pre_activation:
            head += [BatchNorm2d(channels, name="norm"), keras.layers.ReLU(name="relu")]
        head += [GlobalAveragePool(name="pool"), Dense(channels, num_classes, name="dense")]
        super().__init__(
            [
                keras.Input((None, None, in_channels)),
                keras.Sequential(stem, name="stem"),
                keras.Sequential(stages, name="stages"),
                keras.Sequential(head, name="head"),
            ],
            name=architecture.name,
        )
        self.arguments: dict[str, Any] = {
            "architecture": architecture,
            "shortcut": shortcut,
            "residual": residual,
            "in_channels": in_channels,
            "num_classes": num_classes,
        }
        if seed is None:
            seed = int(keras.random.randint((), 0, 2**31 - 1))
        weights.initialize(self, seed, "he" if architecture.normalized else "fixup")

    def get_config(self) -> dict[str, Any]:
        return {**self.arguments, "architecture": self.arguments["architecture"].as_dict()}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> ResNet:
        return cls(**{**config, "architecture": Architecture.from_dict(config["architecture"])})


def cifar_resnet(
    depth: int,
    width: int = 16,
    shortcut: str = "A",
    residual: bool = True,
    in_channels: int = 3,
    num_classes: int = 10,
    seed: int | None = None,
) -> ResNet:
    """Return the small-image network of He et al. 2015, section 4.2: ``depth`` = 6n+2.

    Parameters
    ----------
    depth: 8, 14, 20, 26, 32, ...
    width: channels of the first stage, default 16; then twice, then four times as many.
    shortcut: the paper's CIFAR networks use ``"A"``, the default.
    residual, in_channels, num_classes, seed: see :class:`ResNet`.

    Raises
    ------
    ValueError: a depth that is not 6n+2, or any argument out of its range.
    """
    table = architectures.cifar_resnet(depth, width)
    return ResNet(table, shortcut, residual, in_channels, num_classes, seed)


def mnist_resnet(
    shortcut: str = "B",
    residual: bool = True,
    in_channels: int = 1,
    num_classes: int = 10,
    seed: int | None = None,
) -> ResNet:
    """Return the book's small network for 28 x 28 digits: a 5x5 stem and three basic blocks.

    Raises
    ------
    ValueError: any argument out of its range, see :class:`ResNet`.
    """
    table = architectures.mnist_resnet()
    return ResNet(table, shortcut, residual, in_channels, num_classes, seed)


def residual_network(
    input_shape: Sequence[int], num_classes: int, residual: bool = True, seed: int | None = None
) -> ResNet:
    """Return the source article's network, corrected: a 7x7 stem and five blocks of 64 channels.

    Parameters
    ----------
    input_shape: (height, width, channels) of one image. (PyTorch: (channels, height, width).)
    num_classes: length of the logits; apply softmax for probabilities.
    residual, seed: see :class:`ResNet`.

    Raises
    ------
    ValueError: an input_shape that is not three positive integers, or num_classes below 1.
    """
    _, _, channels = _checks.image_shape("input_shape", input_shape, "(height, width, channels)")
    table = architectures.article_network()
    return ResNet(table, "B", residual, channels, num_classes, seed)


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
    block = "bottleneck_v1" if version == "v1" else None
    return ResNet(architectures.imagenet_resnet(depth, block), **options)


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
    shortcut: str = "A",
    residual: bool = True,
    in_channels: int = 3,
    num_classes: int = 10,
    seed: int | None = None,
) -> ResNet:
    """Return the small-image network with pre-activation (He et al. 2016, arXiv 1603.05027).

    Arguments and errors are those of :func:`cifar_resnet`.
    """
    table = architectures.cifar_preact_resnet(depth, width)
    return ResNet(table, shortcut, residual, in_channels, num_classes, seed)


def fixup_resnet(
    depth: int,
    width: int = 16,
    shortcut: str = "A",
    residual: bool = True,
    in_channels: int = 3,
    num_classes: int = 10,
    seed: int | None = None,
) -> ResNet:
    """Return the small-image network without norms, started by Fixup (arXiv 1901.09321).

    Arguments and errors are those of :func:`cifar_resnet`.
    """
    table = architectures.fixup_resnet(depth, width)
    return ResNet(table, shortcut, residual, in_channels, num_classes, seed)


def wide_resnet(
    depth: int,
    k: int,
    shortcut: str = "B",
    residual: bool = True,
    in_channels: int = 3,
    num_classes: int = 10,
    seed: int | None = None,
) -> ResNet:
    """Return WRN-depth-k for small images (Zagoruyko and Komodakis 2016, arXiv 1605.07146).

    Parameters
    ----------
    depth: 10, 16, 22, 28, ... (6n+4).
    k: widening factor; the stages have 16k, 32k, 64k channels.
    shortcut, residual, in_channels, num_classes, seed: see :class:`ResNet`.

    Raises
    ------
    ValueError: a depth that is not 6n+4, or any argument out of its range.
    """
    table = architectures.wide_resnet(depth, k)
    return ResNet(table, shortcut, residual, in_channels, num_classes, seed)

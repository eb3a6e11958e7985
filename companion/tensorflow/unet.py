"""U-Net with residual blocks: long skips across the levels, shortcuts inside them."""

from __future__ import annotations

from typing import Any

import keras
from keras import KerasTensor as Tensor

from companion import _checks
from companion.tensorflow._layer import Layer
from companion.tensorflow._saving import Sequential
from companion.tensorflow.blocks import BasicBlock
from companion.tensorflow.layers import BatchNorm2d, Conv2d
from companion.tensorflow.merges import Concatenate
from companion.tensorflow.residual import Residual
from companion.tensorflow.resnet import build_sequential


def residual_unet(
    in_channels: int = 1,
    num_classes: int = 2,
    levels: int = 2,
    channels: int = 16,
    blocks: int = 1,
    residual: bool = True,
    long_skips: bool = True,
    seed: int | None = None,
) -> keras.Sequential:
    """Return a U-Net of residual blocks: an image to logits per pixel, (N, H, W, num_classes).

    Ronneberger et al. 2015, arXiv 1505.04597. A long skip is itself a ``Residual``, around
    everything that happens at half the resolution, with concatenation as its merge.

    Parameters
    ----------
    in_channels, num_classes: of pixels.
    levels: how often the image is halved, default 2; 2^levels must divide H and W.
    channels: at full resolution, default 16, doubled at each level.
    blocks: residual blocks on each side of each level, default 1.
    residual: ``False`` takes the shortcuts inside the blocks away.
    long_skips: ``False`` takes those between the two sides away.
    seed: of the initial weights, the same in both frameworks; ``None`` draws one.

    Raises
    ------
    ValueError: any argument out of its range; at a call, sides that 2^levels does not divide.
    """
    seed = _checks.seed(seed)
    levels = _checks.positive_int("levels", levels)
    blocks = _checks.positive_int("blocks", blocks)
    _checks.boolean("long_skips", long_skips)

    def side(wide: int, narrow: int, name: str) -> keras.Sequential:
        widths = [wide] + [narrow] * (blocks - 1)
        stack = [
            BasicBlock(w, narrow, residual=residual, name=str(i)) for i, w in enumerate(widths)
        ]
        return Sequential(stack, name=name)

    def level(left: int, width: int) -> keras.layers.Layer:
        if left == 0:
            return side(width, width, "level")
        below = [
            BasicBlock(width, 2 * width, stride=2, residual=residual, name="down"),
            level(left - 1, 2 * width),
            keras.layers.UpSampling2D(2, name="up"),
            Conv2d(2 * width, width, name="conv"),
            BatchNorm2d(width, name="norm"),
            keras.layers.ReLU(name="relu"),
        ]
        across: Any = "identity" if long_skips else None
        return Sequential(
            [
                side(width, width, "left"),
                Residual(
                    Sequential(below, name="branch"),
                    across,
                    Concatenate(name="merge"),
                    name="across",
                ),
                side(2 * width if long_skips else width, width, "right"),
            ],
            name="level",
        )

    parts = [
        keras.Input((None, None, in_channels)),
        Divisible(2**levels, name="check"),
        Conv2d(in_channels, channels, name="stem"),
        BatchNorm2d(channels, name="norm"),
        keras.layers.ReLU(name="relu"),
        level(levels, channels),
        Conv2d(channels, num_classes, kernel_size=1, name="conv"),
    ]
    return build_sequential(parts, "residual_unet", seed)


@keras.saving.register_keras_serializable("companion")
class Divisible(Layer):
    """Hand the image on; raise a ValueError unless ``factor`` divides height and width."""

    def __init__(self, factor: int, **keras_options: Any) -> None:
        self.factor = _checks.positive_int("factor", factor)
        super().__init__(**keras_options)

    def call(self, x: Tensor) -> Tensor:
        _checks.rank("x", x.shape, 4, "(N, H, W, C)")
        _checks.divisible("x", x.shape[1:3], self.factor)
        return x

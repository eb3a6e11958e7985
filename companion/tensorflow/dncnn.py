"""DnCNN: one shortcut around a whole network that predicts noise."""

from __future__ import annotations

from typing import Any

import keras

from companion import _checks
from companion.tensorflow._saving import Sequential
from companion.tensorflow.layers import BatchNorm2d, Conv2d
from companion.tensorflow.merges import Subtract
from companion.tensorflow.residual import Residual
from companion.tensorflow.resnet import build_sequential


def dncnn(
    depth: int = 17,
    channels: int = 64,
    in_channels: int = 1,
    norm: bool = True,
    residual: bool = True,
    seed: int | None = None,
) -> keras.Sequential:
    """Return DnCNN: a noisy image to a clean one, (N, H, W, in_channels) both.

    Zhang et al. 2017, arXiv 1608.03981, section III: the branch predicts the noise and the merge
    subtracts it. (The paper's first and last layers have biases; none has here.)

    Parameters
    ----------
    depth: convolutions, at least 2, default 17. channels: of the hidden layers, default 64.
    in_channels: of the image, default 1.
    norm: whether batch norms follow the convolutions between, default True.
    residual: ``False`` gives the control that predicts the clean image directly.
    seed: of the initial weights, the same in both frameworks; ``None`` draws one.

    Raises
    ------
    ValueError: any argument out of its range.
    """
    depth = _checks.positive_int("depth", depth, minimum=2)
    _checks.boolean("norm", norm)
    seed = _checks.seed(seed)
    branch = [Conv2d(in_channels, channels, name="conv1"), keras.layers.ReLU(name="relu1")]
    for i in range(2, depth):
        branch.append(Conv2d(channels, channels, name=f"conv{i}"))
        if norm:
            branch.append(BatchNorm2d(channels, name=f"norm{i}"))
        branch.append(keras.layers.ReLU(name=f"relu{i}"))
    branch.append(Conv2d(channels, in_channels, name=f"conv{depth}"))
    shortcut: Any = "identity" if _checks.boolean("residual", residual) else None
    whole = Residual(
        Sequential(branch, name="branch"),
        shortcut,
        merge=Subtract(name="merge"),
        name="whole",
    )
    return build_sequential([keras.Input((None, None, in_channels)), whole], "dncnn", seed)

"""Shortcuts: how the block's input reaches its merge (He et al. 2015, section 3.3 and 4.1).

Option A pads new channels with zeros, B projects where the shape changes, C projects everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import keras
from keras import KerasTensor as Tensor
from keras import ops

from companion import _checks
from companion.tensorflow._layer import Composite, Layer
from companion.tensorflow._saving import SavedByArguments
from companion.tensorflow.layers import BatchNorm2d, Conv2d

#: An option, or a callable that makes a shortcut from (in_channels, out_channels, stride).
Shortcut: TypeAlias = str | Callable[[int, int, int], keras.layers.Layer]


@keras.saving.register_keras_serializable("companion")
class Identity(SavedByArguments, keras.layers.Identity):
    """The input itself: no parameters, no copy (He et al. 2015, eq. 1)."""

    def __init__(self, **keras_options: Any) -> None:
        super().__init__(**keras_options)


@keras.saving.register_keras_serializable("companion")
class ZeroPad(Layer):
    """Option A: keep every ``stride``-th pixel, append zero channels. No parameters.

    (N, H, W, in_channels) to (N, ceil(H / stride), ceil(W / stride), out_channels).

    Raises
    ------
    ValueError: fewer channels out than in, since zeros can only be added.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, **keras_options: Any
    ) -> None:
        self.in_channels = _checks.positive_int("in_channels", in_channels)
        # Zeros can widen the stream but not narrow it.
        self.out_channels = _checks.positive_int("out_channels", out_channels, in_channels)
        self.stride = _checks.positive_int("stride", stride)
        super().__init__(**keras_options)

    def call(self, x: Tensor) -> Tensor:
        _checks.rank("x", x.shape, 4, "(N, H, W, C)")
        _checks.channels("x", x.shape[-1], self.in_channels)
        x = x[:, :: self.stride, :: self.stride, :]
        return ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, self.out_channels - self.in_channels)))


@keras.saving.register_keras_serializable("companion")
class Projection(Composite):
    """Options B and C: a 1x1 convolution with the block's stride, batch-normalised (eq. 2).

    (N, H, W, in_channels) to (N, ceil(H / stride), ceil(W / stride), out_channels).
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, **keras_options: Any
    ) -> None:
        super().__init__(**keras_options)
        own = {"dtype": self.dtype_policy}
        self.conv = Conv2d(in_channels, out_channels, 1, stride, name="conv", **own)
        self.norm = BatchNorm2d(out_channels, name="norm", **own)
        self.known_shape = self.conv.known_shape

    def call(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


def shortcut(
    option: Shortcut, in_channels: int, out_channels: int, stride: int = 1, norm: bool = True
) -> keras.layers.Layer:
    """Return the shortcut that ``option`` prescribes for this change of shape.

    Parameters
    ----------
    option: ``"A"`` zero-padding, ``"B"`` projection where the shape changes, ``"C"`` projection
        everywhere. With A and B an unchanged shape gets the identity. Or a callable of one's own:
        its layer for ``(in_channels, out_channels, stride)`` is returned.
    norm: whether a batch norm follows the projection, default True; pre-activation has none.

    Raises
    ------
    ValueError: an unknown option, sizes below 1, option A with fewer channels out than in, or a
        callable that returns no layer.
    """
    check_shortcut(option)
    _checks.positive_int("in_channels", in_channels)
    _checks.positive_int("out_channels", out_channels)
    _checks.positive_int("stride", stride)
    if callable(option):
        made = option(in_channels, out_channels, stride)
        if not isinstance(made, keras.layers.Layer):
            raise ValueError(f"shortcut must make a layer, got {made!r} from {option!r}")
        return made
    if option != "C" and in_channels == out_channels and stride == 1:
        return Identity(name="shortcut")
    if option == "A":
        return ZeroPad(in_channels, out_channels, stride, name="shortcut")
    if norm:
        return Projection(in_channels, out_channels, stride, name="shortcut")
    return Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, name="shortcut")


def check_shortcut(option: Shortcut) -> None:
    """Raise a ValueError unless the option is ``"A"``, ``"B"``, ``"C"`` or a callable."""
    if not callable(option):
        _checks.option("shortcut", option, ("A", "B", "C"))


def is_projection(layer: keras.layers.Layer) -> bool:
    """Whether a shortcut computes something: it is neither the identity nor option A."""
    return not isinstance(layer, (keras.layers.Identity, ZeroPad))

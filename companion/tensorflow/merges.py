"""Merges: how shortcut and branch become one stream again.

Each is called as ``merge(shortcut, branch)``; shapes must be equal unless the merge says otherwise.
A merge that tells channels apart is told their axis: the last by default, as in images
(N, H, W, C), tokens (N, T, C) and vectors (N, C).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import KerasTensor as Tensor
from keras import ops

from companion import _checks
from companion.tensorflow._layer import PassesMask


@keras.saving.register_keras_serializable("companion")
class Add(PassesMask):
    """shortcut + branch (He et al. 2015, eq. 1), never broadcast.

    Raises
    ------
    ValueError: the two shapes differ.
    """

    def call(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        return shortcut + branch


@keras.saving.register_keras_serializable("companion")
class ScaledAdd(PassesMask):
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
    known_shape = ()  # its weights depend on no shape

    def __init__(self, initial: float = 0.0, **keras_options: Any) -> None:
        self.initial = _checks.finite_number("initial", initial)
        super().__init__(**keras_options)

    def build(self, shape: Any = None) -> None:
        start = keras.initializers.Constant(self.initial)
        self.scale = self.add_weight(shape=(1,), initializer=start, name="scale")

    def call(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        return shortcut + self.scale * branch


@keras.saving.register_keras_serializable("companion")
class LayerScale(PassesMask):
    """shortcut + diag(a) branch, a learned per channel (Touvron et al. 2021, arXiv 2103.17239).

    Parameters
    ----------
    channels: of the stream.
    initial: value of every a before training, default 1e-4. At 1 it is plain addition.
    axis: of the channels, default -1.

    Raises
    ------
    ValueError: arguments out of range, shapes that differ, or another number of channels.
    """

    own_parameters = ("scale",)
    known_shape = ()  # its weights depend on no shape

    def __init__(
        self, channels: int, initial: float = 1e-4, axis: int = -1, **keras_options: Any
    ) -> None:
        self.channels = _checks.positive_int("channels", channels)
        self.initial = _checks.finite_number("initial", initial)
        self.axis = _checks.axis(axis)
        super().__init__(**keras_options)

    def build(self, shape: Any = None) -> None:
        start = keras.initializers.Constant(self.initial)
        self.scale = self.add_weight(shape=(self.channels,), initializer=start, name="scale")

    def call(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        _checks.channels_on_axis("branch", branch.shape, self.axis, self.channels)
        sizes = [1] * len(branch.shape)
        sizes[self.axis] = self.channels
        return shortcut + ops.reshape(self.scale, sizes) * branch


@keras.saving.register_keras_serializable("companion")
class Highway(PassesMask):
    """(1 - T) * shortcut + T * branch, T = sigmoid(W shortcut + b).

    Srivastava et al. 2015, arXiv 1505.00387, eq. 3. The gate looks at the shortcut, which is the
    block's input where the shortcut is the identity; on images it is a 1x1 convolution.

    Parameters
    ----------
    channels: of the stream.
    bias: initial b, default -2: blocks start by carrying most of their input. W starts at zero,
        so T is sigmoid(b) everywhere; there is no setting in which the gate is plain addition.
    axis: of the channels, default -1.

    Raises
    ------
    ValueError: arguments out of range, shapes that differ, or another number of channels.
    """

    own_parameters = ("weight", "bias")
    known_shape = ()

    def __init__(
        self, channels: int, bias: float = -2.0, axis: int = -1, **keras_options: Any
    ) -> None:
        self.channels = _checks.positive_int("channels", channels)
        self.initial = _checks.finite_number("bias", bias)
        self.axis = _checks.axis(axis)
        super().__init__(**keras_options)

    def build(self, shape: Any = None) -> None:
        sizes, start = (self.channels,), keras.initializers.Constant(self.initial)
        # (in, out)
        self.weight = self.add_weight(shape=2 * sizes, initializer="zeros", name="weight")
        self.bias = self.add_weight(shape=sizes, initializer=start, name="bias")

    def call(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        _checks.channels_on_axis("branch", branch.shape, self.axis, self.channels)
        vectors = ops.moveaxis(shortcut, self.axis, -1)
        gate = ops.sigmoid(ops.matmul(vectors, self.weight) + self.bias)
        gate = ops.moveaxis(gate, -1, self.axis)
        return (1 - gate) * shortcut + gate * branch


@keras.saving.register_keras_serializable("companion")
class StochasticDepth(PassesMask):
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

    def __init__(self, survival: float, **keras_options: Any) -> None:
        self.survival = _checks.probability("survival", survival)
        super().__init__(**keras_options)
        self.generator = keras.random.SeedGenerator()

    def call(self, shortcut: Tensor, branch: Tensor, training: bool | None = None) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        if not training:
            return shortcut + self.survival * branch
        each = (ops.shape(branch)[0],) + (1,) * (len(branch.shape) - 1)
        kept = keras.random.uniform(each, seed=self.generator) < self.survival
        return shortcut + ops.cast(kept, branch.dtype) * branch


@keras.saving.register_keras_serializable("companion")
class Concatenate(PassesMask):
    """Shortcut and branch side by side along the channels (Huang et al. 2017, arXiv 1608.06993).

    All other axes must agree: (N, H, W, C) and (N, H, W, G) to (N, H, W, C + G).

    Parameters
    ----------
    axis: of the channels, default -1.

    Raises
    ------
    ValueError: an axis that is 0 or no integer, or shapes that differ on another axis.
    """

    def __init__(self, axis: int = -1, **keras_options: Any) -> None:
        self.axis = _checks.axis(axis)
        super().__init__(**keras_options)

    def call(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes(
            "shortcut and branch", shortcut.shape, branch.shape, except_axis=self.axis
        )
        return ops.concatenate([shortcut, branch], axis=self.axis)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return previous_mask if self.axis == -1 else None


@keras.saving.register_keras_serializable("companion")
class Subtract(PassesMask):
    """shortcut - branch: the branch predicts what to take away, as noise (DnCNN).

    Zhang et al. 2017, arXiv 1608.03981, section III.

    Raises
    ------
    ValueError: the two shapes differ.
    """

    def call(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        return shortcut - branch


def make_merge(
    merge: Callable[[int], keras.layers.Layer] | None, channels: int
) -> keras.layers.Layer | None:
    """Return ``merge(channels)``; ``None`` stays ``None``, which is addition.

    Raises
    ------
    ValueError: a merge that is neither ``None`` nor callable, or that returns no layer.
    """
    if merge is None:
        return None
    ready = isinstance(merge, keras.layers.Layer) or not callable(merge)
    made = merge if ready else merge(channels)
    if ready or not isinstance(made, keras.layers.Layer):
        raise ValueError(f"merge must be None or make a layer from channels, got {merge!r}")
    return made

"""Merges: how shortcut and branch become one stream again.

Each is called as ``merge(shortcut, branch)``; shapes must be equal unless the merge says otherwise.
Channels are the last axis, of images (N, H, W, C) as of tokens and vectors.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import KerasTensor as Tensor
from keras import ops

from companion import _checks


@keras.saving.register_keras_serializable("companion")
class Add(keras.layers.Layer):
    """shortcut + branch (He et al. 2015, eq. 1), never broadcast.

    Raises
    ------
    ValueError: the two shapes differ.
    """

    def call(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        return shortcut + branch


@keras.saving.register_keras_serializable("companion")
class ScaledAdd(keras.layers.Layer):
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

    def __init__(self, initial: float = 0.0, **keras_options: Any) -> None:
        self.initial = _checks.finite_number("initial", initial)
        super().__init__(**keras_options)
        self.scale = self.add_weight(
            shape=(1,), initializer=keras.initializers.Constant(self.initial), name="scale"
        )
        self.built = True

    def call(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        return shortcut + self.scale * branch

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "initial": self.initial}


@keras.saving.register_keras_serializable("companion")
class LayerScale(keras.layers.Layer):
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

    def __init__(self, channels: int, initial: float = 1e-4, **keras_options: Any) -> None:
        self.channels = _checks.positive_int("channels", channels)
        self.initial = _checks.finite_number("initial", initial)
        super().__init__(**keras_options)
        self.scale = self.add_weight(
            shape=(channels,), initializer=keras.initializers.Constant(self.initial), name="scale"
        )
        self.built = True

    def call(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        _checks.channels("branch", branch.shape[-1], self.channels)
        return shortcut + self.scale * branch

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels, "initial": self.initial}


@keras.saving.register_keras_serializable("companion")
class Highway(keras.layers.Layer):
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

    def __init__(self, channels: int, bias: float = -2.0, **keras_options: Any) -> None:
        self.channels = _checks.positive_int("channels", channels)
        self.initial = _checks.finite_number("bias", bias)
        super().__init__(**keras_options)
        self.weight = self.add_weight(
            shape=(channels, channels), initializer="zeros", name="weight"
        )  # (in, out)
        self.bias = self.add_weight(
            shape=(channels,), initializer=keras.initializers.Constant(self.initial), name="bias"
        )
        self.built = True

    def call(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        _checks.channels("branch", branch.shape[-1], self.channels)
        gate = ops.sigmoid(ops.matmul(shortcut, self.weight) + self.bias)
        return (1 - gate) * shortcut + gate * branch

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels, "bias": self.initial}


@keras.saving.register_keras_serializable("companion")
class StochasticDepth(keras.layers.Layer):
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
        self.built = True

    def call(self, shortcut: Tensor, branch: Tensor, training: bool | None = None) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        if not training:
            return shortcut + self.survival * branch
        each = (ops.shape(branch)[0],) + (1,) * (len(branch.shape) - 1)
        kept = keras.random.uniform(each, seed=self.generator) < self.survival
        return shortcut + ops.cast(kept, branch.dtype) * branch

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "survival": self.survival}


@keras.saving.register_keras_serializable("companion")
class Concatenate(keras.layers.Layer):
    """Shortcut and branch side by side along the channels (Huang et al. 2017, arXiv 1608.06993).

    All axes but the channels must agree: (N, H, W, C) and (N, H, W, G) to (N, H, W, C + G).

    Raises
    ------
    ValueError: another axis differs.
    """

    def call(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape, except_axis=-1)
        return ops.concatenate([shortcut, branch], axis=-1)


@keras.saving.register_keras_serializable("companion")
class Subtract(keras.layers.Layer):
    """shortcut - branch: the branch predicts what to take away, as noise (DnCNN).

    Zhang et al. 2017, arXiv 1608.03981, section III.

    Raises
    ------
    ValueError: the two shapes differ.
    """

    def call(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        return shortcut - branch

"""The one place where a stream splits and joins."""

from __future__ import annotations

from typing import Any, Literal

import keras
from keras import KerasTensor as Tensor

from companion.tensorflow.merges import Add
from companion.tensorflow.shortcuts import Identity


@keras.saving.register_keras_serializable("companion")
class Residual(keras.layers.Layer):
    """y = activation(merge(shortcut(x), branch(x)))  (He et al. 2015, eq. 1 and 2).

    TensorFlow's tensors cannot be changed in place, so no branch can spoil its shortcut here; the
    PyTorch twin has to check.

    Parameters
    ----------
    branch: what the block computes, F(x).
    shortcut: what carries x past the branch, default ``"identity"``. ``None`` is the plain control:
        no shortcut, no merge, y = activation(branch(x)).
    merge: called as ``merge(shortcut, branch)``; ``None`` means addition.
    activation: after the merge; ``None`` means none.

    Examples
    --------
    >>> import keras
    >>> double = Residual(branch=keras.layers.Identity())
    >>> double(keras.ops.ones(2)).numpy().tolist()
    [2.0, 2.0]
    """

    def __init__(
        self,
        branch: keras.layers.Layer,
        shortcut: keras.layers.Layer | Literal["identity"] | None = "identity",
        merge: keras.layers.Layer | None = None,
        activation: keras.layers.Layer | None = None,
        **keras_options: Any,
    ) -> None:
        super().__init__(**keras_options)
        self.branch = branch
        self.shortcut = Identity(name="shortcut") if shortcut == "identity" else shortcut
        self.merge = Add(name="merge") if merge is None else merge
        self.activation = Identity(name="activation") if activation is None else activation

    def build(self, shape: tuple) -> None:
        # Parts that know their channels are built already; a user's own branch may not be.
        for part in (self.branch, self.shortcut):
            if part is not None and not part.built:
                part.build(shape)
        self.built = True

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        branch = self.branch(x, training=training)
        if self.shortcut is None:
            return self.activation(branch)
        return self.activation(self.merge(self.shortcut(x, training=training), branch))

    def get_config(self) -> dict[str, Any]:
        parts = {
            name: None
            if (part := getattr(self, name)) is None
            else keras.saving.serialize_keras_object(part)
            for name in ("branch", "shortcut", "merge", "activation")
        }
        return {**super().get_config(), **parts}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Residual:
        for name in ("branch", "shortcut", "merge", "activation"):
            if isinstance(config.get(name), dict):
                config[name] = keras.saving.deserialize_keras_object(config[name])
        return cls(**config)

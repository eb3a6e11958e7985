"""The one place where a stream splits and joins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import keras
from keras import KerasTensor as Tensor

from companion.tensorflow._layer import FurtherInputs, as_layer, first_output
from companion.tensorflow.merges import Add
from companion.tensorflow.shortcuts import Identity

#: A Keras layer, or a plain function of tensors.
Part: TypeAlias = keras.layers.Layer | Callable[..., Any]


@keras.saving.register_keras_serializable("companion")
class Residual(FurtherInputs):
    """y = activation(merge(shortcut(u), branch(u))) with u = preactivation(x).

    He et al. 2015, arXiv 1512.03385, eq. 1 and 2; He et al. 2016, arXiv 1603.05027, eq. 1 and 2.
    Each part is a Keras layer or a plain function. TensorFlow's tensors cannot be changed in place,
    so no branch can spoil its shortcut here; the PyTorch twin has to check.

    Parameters
    ----------
    branch: what the block computes, F(u). Further inputs of a call go to the branch alone, as an
        attention's key, value and mask. Where it returns a tuple, as ``MultiHeadAttention`` and
        ``LSTM`` can, the first entry is merged and the others are dropped.
    shortcut: what carries u past the branch, default ``"identity"``. ``None`` is the plain control:
        no shortcut, no merge (``merge`` is dropped), y = activation(branch(u)).
    merge: called as ``merge(shortcut, branch)``; ``None`` means addition.
    activation: after the merge; ``None`` means none.
    preactivation: before the split, shared by shortcut and branch; ``None`` means none, u = x.

    Raises
    ------
    ValueError: a part that is neither a layer nor a function.

    Examples
    --------
    >>> import keras
    >>> double = Residual(branch=keras.layers.Identity())
    >>> double(keras.ops.ones(2)).numpy().tolist()
    [2.0, 2.0]
    """

    def __init__(
        self,
        branch: Part,
        shortcut: Part | Literal["identity"] | None = "identity",
        merge: Part | None = None,
        activation: Part | None = None,
        preactivation: Part | None = None,
        **keras_options: Any,
    ) -> None:
        super().__init__(**keras_options)
        own = {"dtype": self.dtype_policy}
        if preactivation is None:
            preactivation = Identity(name="preactivation", **own)
        if shortcut == "identity":
            shortcut = Identity(name="shortcut", **own)
        if shortcut is None:
            merge = None
        elif merge is None:
            merge = Add(name="merge", **own)
        if activation is None:
            activation = Identity(name="activation", **own)
        self.preactivation = as_layer("preactivation", preactivation)
        self.branch = as_layer("branch", branch)
        self.shortcut: Any = None if shortcut is None else as_layer("shortcut", shortcut)
        self.merge: Any = None if merge is None else as_layer("merge", merge)
        self.activation = as_layer("activation", activation)

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """The parts, for ``summary(expand_nested=True)``; identities but the shortcut left out."""
        parts = self._flatten_layers(include_self=False, recursive=False)
        return [p for p in parts if p is self.shortcut or not isinstance(p, Identity)]

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        carried = self.shortcut is not None and self.shortcut.supports_masking
        return previous_mask if carried else None  # or as the branch says

    def forward(self, x: Tensor, *inputs: Any, **named: Any) -> Tensor:
        return self.join(x, lambda u: first_output(self.branch(u, *inputs, **named)))

    def join(self, x: Tensor, branch: Callable[[Tensor], Tensor]) -> Tensor:
        """Return y; ``branch`` is F, with the further inputs of the call and one output."""
        u = self.preactivation(x)
        y = branch(u)
        if self.shortcut is None or self.merge is None:
            return self.activation(y)
        return self.activation(self.merge(self.shortcut(u), y))

"""What the companion's layers have beside Keras's own: shapes, further inputs, one dtype."""

from __future__ import annotations

import contextlib
from typing import Any

import keras

from companion.tensorflow._saving import SavedByArguments


class Layer(SavedByArguments, keras.layers.Layer):
    """A layer whose output shape is that which its ``call`` returns, and so never another.

    A run of ``call`` on symbolic tensors says which, and builds the layers inside.
    """

    #: Shape of an input as far as the arguments tell it, where that is enough to build the layer
    #: before any call, as the moving of weights does; None where it is not.
    known_shape: tuple | None = None

    #: Not Layer's, which would ask compute_output_shape and skip the checks in ``call``.
    compute_output_spec = keras.Operation.compute_output_spec

    def build(self, shape: Any = None) -> None:
        inside = self._flatten_layers(include_self=False, recursive=False)
        for inner in inside:
            known = getattr(inner, "known_shape", None)
            if not inner.built and known is not None:
                inner.build(known)
        if not all(inner.built for inner in inside):
            self.compute_output_spec(self._symbolic(shape))

    def compute_output_shape(self, *shapes: tuple) -> Any:
        if not self.built:
            self.build(shapes[0])
        outputs = self.compute_output_spec(*map(self._symbolic, shapes))
        return keras.tree.map_structure(lambda output: output.shape, outputs)

    def _symbolic(self, shape: tuple) -> keras.KerasTensor:
        return keras.KerasTensor(shape, dtype=self.compute_dtype)


class PassesMask(Layer):
    """A layer that hands the mask of its first input on: it keeps the steps apart."""

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return previous_mask


class Composite(Layer):
    """A layer whose ``call`` only calls layers: these are asked one by one for what they return.

    TensorFlow has to run nothing for it, which halves the time that a network takes to be built.
    """

    def compute_output_spec(self, *inputs: Any, **named: Any) -> Any:
        return self.call(*inputs, **named)


class FurtherInputs(Composite):
    """One input x, and further inputs that :meth:`forward` hands on, by place or by name.

    Keras wants tensors among the named ones apart from all else: those are the ``settings``.
    ``training`` need not be handed on: Keras tells it to the layers inside.
    """

    def __call__(
        self,
        x: Any,
        *inputs: Any,
        training: bool | None = None,
        settings: dict[str, Any] | None = None,
        **named: Any,
    ) -> Any:
        plain = {k: v for k, v in named.items() if isinstance(v, (bool, int, float, str))}
        named = {k: v for k, v in named.items() if k not in plain and v is not None}
        settings = {**(settings or {}), **plain} or None  # a saved call has them apart already
        return super().__call__(x, *inputs, training=training, settings=settings, **named)

    def call(
        self,
        x: Any,
        *inputs: Any,
        training: bool | None = None,
        settings: dict[str, Any] | None = None,
        **named: Any,
    ) -> Any:
        return self.forward(x, *inputs, **named, **(settings or {}))

    def forward(self, x: Any, *inputs: Any, **named: Any) -> Any:
        """Return the output."""
        raise NotImplementedError

    def build(self, shape: Any = None) -> None:
        with contextlib.suppress(TypeError):  # further inputs are needed: the first call does it
            super().build(shape)


def first_output(output: Any) -> Any:
    """Return the first of several outputs, or the only one."""
    return output[0] if isinstance(output, (tuple, list)) else output


@keras.saving.register_keras_serializable("companion")
class Function(Layer):
    """A plain function as a layer."""

    def __init__(self, function: Any, **keras_options: Any) -> None:
        super().__init__(**keras_options)
        self.function = function

    def call(self, *inputs: Any, **options: Any) -> Any:
        return self.function(*inputs, **options)


def as_layer(name: str, part: Any) -> Any:
    """Return a layer as it is, and a plain function as a layer.

    Raises
    ------
    ValueError: anything else.
    """
    if isinstance(part, keras.layers.Layer):
        return part
    if not callable(part):
        raise ValueError(f"{name} must be a Keras layer or a function, got {part!r}")
    return Function(part, name=name)


def share_dtype(layer: keras.layers.Layer, options: dict[str, Any]) -> None:
    """Let a ``dtype`` among a layer's options hold for the layers that it has made inside."""
    if options.get("dtype") is not None:
        for inner in layer._flatten_layers(include_self=False):
            inner.dtype_policy = layer.dtype_policy

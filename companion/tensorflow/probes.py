"""Measuring instruments: what flows through a network, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import KerasTensor as Tensor

from companion.tensorflow.residual import Residual
from companion.weights.layer_weights import keras_children


def residual_blocks(model: keras.layers.Layer) -> dict[str, Residual]:
    """Return the outermost residual connections of a model by name, in order."""
    found: dict[str, Residual] = {}

    def visit(layer: keras.layers.Layer, name: str) -> None:
        if isinstance(layer, Residual):
            found[name] = layer
            return
        for child_name, child in keras_children(layer):
            visit(child, f"{name}.{child_name}" if name else child_name)

    visit(model, "")
    return found


def gradient_norms(model: keras.layers.Layer, loss: Callable[[], Tensor]) -> dict[str, float]:
    """Return the Euclidean norm of the loss's gradient for each weight, in order of the layers.

    Parameters
    ----------
    model: whose weights (variables of two axes or more: convolutions, dense) are measured.
    loss: called without arguments, returns a scalar computed with the model.
    """
    with tf.GradientTape() as tape:
        value = loss()
    variables = [v for v in model.trainable_variables if len(v.shape) > 1]
    gradients = tape.gradient(value, [v.value for v in variables])
    return {
        v.path: 0.0 if g is None else float(tf.norm(g))
        for v, g in zip(variables, gradients, strict=True)
    }


def activation_variances(
    model: keras.layers.Layer, x: Any, training: bool = False
) -> dict[str, float]:
    """Return the variance of each block's output, over batch, pixels and channels together.

    The blocks are the outermost residual connections.

    Parameters
    ----------
    model: run once, eagerly. x: a batch of its input. training: whether batch statistics are used.
    """
    variances: dict[str, float] = {}

    def look(name: str, output: Tensor) -> None:
        variances[name] = float(np.var(np.asarray(output, dtype=np.float64)))

    watch(model, residual_blocks(model), x, training, look)
    return variances


def watch(
    model: keras.layers.Layer,
    layers: dict[str, keras.layers.Layer],
    x: Any,
    training: bool,
    look: Callable[[str, Tensor], None],
) -> None:
    """Run the model once and show each layer's output."""
    for name, layer in layers.items():

        def call(*args: Any, name: str = name, inner: Any = layer.call, **options: Any) -> Tensor:
            output = inner(*args, **options)
            look(name, output)
            return output

        object.__setattr__(layer, "call", call)
    try:
        model(tf.convert_to_tensor(x), training=training)
    finally:
        for layer in layers.values():
            object.__delattr__(layer, "call")


def block_jacobian(block: Callable[[Tensor], Tensor], x: Any) -> np.ndarray:
    """Return the derivative of all outputs with respect to all inputs: (outputs, inputs).

    For a residual block with identity shortcut and no activation it is I + dF/dx.

    Parameters
    ----------
    block: differentiable. x: a batch of one example, since outputs x inputs numbers are returned.

    Raises
    ------
    ValueError: more than one example.
    """
    x = tf.convert_to_tensor(x)
    if len(x) != 1:
        raise ValueError(f"x must hold one example, got {len(x)}")
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = block(x)
    return tape.jacobian(y, x).numpy().reshape(-1, int(tf.size(x)))

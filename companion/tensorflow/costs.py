"""Measuring what a network costs: parameters, arithmetic, time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import KerasTensor as Tensor

from companion.measures import LayerCost, Timing, time_in_turns
from companion.tensorflow.probes import watch
from companion.tensorflow.residual import Residual
from companion.weights.layer_weights import keras_children

_PRODUCTS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, keras.layers.Dense)
_UNKNOWN = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.EinsumDense,
)


def layer_costs(model: keras.layers.Layer, x: Any) -> list[LayerCost]:
    """Return parameters and multiply-adds of each layer, and the additions of each merge.

    Parameters
    ----------
    model: run once, eagerly, in inference mode. Multiply-adds are those of convolutions, dense
        layers and LSTMs. A layer in two places has a row for each, and its parameters in the first.
    x: a batch of its input; costs are for one example.

    Raises
    ------
    ValueError: a layer whose multiply-adds are not known: transposed convolutions, EinsumDense.
    """
    costs: list[LayerCost] = []
    layers: dict[str, keras.layers.Layer] = {}
    counted: set[int] = set()

    def visit(layer: keras.layers.Layer, name: str) -> None:
        inside = {id(v) for _, child in keras_children(layer) for v in child.weights}
        own = [v for v in layer.trainable_weights if id(v) not in inside]
        if own or name.endswith("merge") or isinstance(layer, keras.layers.LSTM):
            layers[name] = layer
            return
        for child_name, child in keras_children(layer):
            visit(child, f"{name}.{child_name}" if name else child_name)

    def look(name: str, output: Tensor) -> None:
        layer = layers[name]
        parameters = int(sum(np.prod(v.shape) for v in layer.trainable_weights))
        parameters = 0 if id(layer) in counted else parameters
        counted.add(id(layer))
        outputs = int(np.prod(output.shape[1:]))
        products = 0
        if isinstance(layer, (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)):
            products = outputs * int(np.prod(layer.kernel.shape[:-2]))
        elif isinstance(layer, _PRODUCTS):
            products = outputs * int(np.prod(layer.kernel.shape[:-1]))
        elif isinstance(layer, keras.layers.LSTM):
            kernels = [v for v in layer.trainable_weights if len(v.shape) > 1]
            products = output.shape[1] * int(sum(np.prod(v.shape) for v in kernels))
        merged = name.endswith("merge")
        kind = type(layer).__name__
        costs.append(LayerCost(name, kind, parameters, products, outputs if merged else 0))

    model(tf.convert_to_tensor(x), training=False)  # builds what is not built yet
    visit(model, "")
    for name, layer in layers.items():
        if isinstance(layer, _UNKNOWN):
            raise ValueError(f"model must have layers whose multiply-adds are known, got {name}")
    watch(model, layers, x, False, look)
    return costs


def block_time(block: Residual, x: Any, repetitions: int = 15, training: bool = False) -> Timing:
    """Return CPU seconds of a block with its shortcut and without, turn by turn.

    Without: the same branch and activation, no shortcut, no merge. Both are compiled with
    ``tf.function``. With ``training`` a step is a forward and a backward pass.

    Raises
    ------
    ValueError: fewer than one repetition.
    """
    parts = {"activation": block.activation, "preactivation": block.preactivation}
    plain = Residual(block.branch, None, **parts)
    x = tf.convert_to_tensor(x)

    def compiled(layer: Residual) -> Callable[[], None]:
        @tf.function
        def step() -> Any:
            if not training:
                return layer(x, training=False)
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.reduce_sum(layer(x, training=True))
            return tape.gradient(y, [x, *(v.value for v in layer.branch.trainable_variables)])

        return lambda: _finish(step())

    return time_in_turns(compiled(block), compiled(plain), repetitions)


def _finish(result: Any) -> None:
    """Read one number, so that the computation is over."""
    float(tf.reshape(tf.nest.flatten(result)[0], [-1])[0])

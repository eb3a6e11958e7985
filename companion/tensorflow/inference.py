"""A network made ready to be used and not to be trained: the same outputs in less time."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from companion import _checks


def optimize_for_inference(model: keras.Model) -> Frozen:
    """Return a compiled copy of a network that answers faster, for inference only.

    The network becomes one TensorFlow graph with its weights as constants, which lets TensorFlow
    multiply a batch norm into the convolution before it. Outputs agree to 1e-5 of the largest.

    It pays against calls of the model: Keras walks through all its layers in Python at each call,
    which for one small image takes most of the time. :func:`predict` compiles the model too, so
    against it only a few percent are left. The book's page on costs has the numbers.

    Parameters
    ----------
    model: stays as it is; what it learns later does not reach the copy.

    Returns
    -------
    :class:`Frozen`, for :func:`predict`, :func:`evaluate` and for calls.

    Raises
    ------
    ValueError: a model that is not a Keras one, that is not built, or that has several inputs or
        outputs.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"model must be a keras.Model, got {type(model).__name__}")
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) != 1:
        raise ValueError(f"model must be built, with one input, got {len(inputs)} inputs")
    if len(model.outputs) != 1:
        raise ValueError(f"model must have one output, got {len(model.outputs)}")
    (x,) = inputs
    trainable = [variable.numpy() for variable in model.trainable_variables]
    others = [variable.numpy() for variable in model.non_trainable_variables]

    @tf.function(input_signature=[tf.TensorSpec(x.shape, x.dtype)])
    def call(x: Any) -> Any:
        # Arrays become constants of the graph, where variables would stay variables.
        state = [tf.constant(a) for a in trainable], [tf.constant(a) for a in others]
        return model.stateless_call(*state, x, training=False)[0]

    return Frozen(call.get_concrete_function(), tuple(x.shape), x.dtype)


class Frozen:
    """A network as one compiled function: called on a batch (N, ..., C), it returns a tensor.

    Attributes
    ----------
    input_shape: of a batch, ``None`` where any size will do.

    Raises
    ------
    ValueError: at a call, an input of another rank or another number of channels.
    """

    def __init__(self, function: Any, input_shape: tuple, dtype: str) -> None:
        self._function, self.input_shape, self._dtype = function, input_shape, dtype

    def __call__(self, x: Any, training: bool = False) -> Any:
        _checks.option("training", training, (False,))
        x = tf.convert_to_tensor(x, self._dtype)
        _checks.rank("x", x.shape, len(self.input_shape), f"like {self.input_shape}")
        if self.input_shape[-1] is not None:
            _checks.channels("x", x.shape[-1], self.input_shape[-1])
        return self._function(x)

    def predict_on_batch(self, x: Any) -> np.ndarray:
        """Return the outputs as an array."""
        return self(x).numpy()

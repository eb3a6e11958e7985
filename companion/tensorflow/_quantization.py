"""Networks in int8, by LiteRT's quantizer and interpreter."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf


def quantized(graph: Any, images: np.ndarray) -> Callable[[Any], Any]:
    """Return a function in int8 of float32 images: static scales, those of activations from images.

    Parameters
    ----------
    graph: a concrete function of batches of such images, its weights as constants.
    """
    with warnings.catch_warnings():  # that LiteRT is to be a package of its own
        warnings.simplefilter("ignore")
        converter = tf.lite.TFLiteConverter.from_concrete_functions([graph])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in images)
        content = converter.convert()
        interpreter = tf.lite.Interpreter(
            model_content=content,
            num_threads=tf.config.threading.get_intra_op_parallelism_threads() or None,
        )
    (given,), (returned,) = interpreter.get_input_details(), interpreter.get_output_details()

    ready: list[tuple] = []

    def call(x: Any) -> Any:
        if ready != [shape := tuple(x.shape)]:  # memory is laid out for one size of batch
            ready[:] = [shape]
            interpreter.resize_tensor_input(given["index"], x.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], np.asarray(x))
        interpreter.invoke()
        return tf.convert_to_tensor(interpreter.get_tensor(returned["index"]))

    return call

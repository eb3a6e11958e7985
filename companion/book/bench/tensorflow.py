"""The programs in TensorFlow that :mod:`companion.book.bench` times."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from companion.book.bench.timing import Comparison, Measurement, Program
from companion.tensorflow.inference import optimize_for_inference
from companion.tensorflow.networks import cifar_resnet
from companion.tensorflow.prediction import predict


def measurements() -> dict[str, Measurement]:
    return {case.id: case.run for case in comparisons()}


def comparisons() -> list[Comparison]:
    """Return what is compared in TensorFlow."""
    one = "cifar20, one image: {} against a call of the model"
    many = "cifar20, 32 images, predict: optimize_for_inference against the model as it is"
    return [
        Comparison("tensorflow/predict/cifar20/1", one.format("predict"), _predict, 0.1, 21),
        Comparison("tensorflow/optimized/cifar20/1", one.format("optimised"), _optimized, 0.1, 21),
        Comparison("tensorflow/optimized/cifar20/32", many, _optimized_batch, None, 21),
    ]


def _predict() -> tuple[Program, Program]:
    model, x = cifar_resnet(20, seed=0), _images(1)
    tensor = tf.constant(x)
    return lambda: predict(model, x), lambda: model(tensor, training=False).numpy()


def _optimized() -> tuple[Program, Program]:
    model, tensor = cifar_resnet(20, seed=0), tf.constant(_images(1))
    fast = optimize_for_inference(model)
    return lambda: fast(tensor).numpy(), lambda: model(tensor, training=False).numpy()


def _optimized_batch() -> tuple[Program, Program]:
    model, x = cifar_resnet(20, seed=0), _images(32)
    fast = optimize_for_inference(model)
    return lambda: predict(fast, x), lambda: predict(model, x)  # type: ignore[arg-type]


def _images(batch: int) -> np.ndarray:
    """Return the same numbers at each call, (batch, 32, 32, 3)."""
    return np.random.default_rng(0).random((batch, 32, 32, 3), np.float32)

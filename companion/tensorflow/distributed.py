"""The same training on several replicas: each takes its share of every batch.

    strategy = tf.distribute.MirroredStrategy()  # all GPUs of this machine
    with strategy.scope():
        model = companion.tensorflow.resnet50()
    companion.tensorflow.fit(model, data, batch_size=256)

Equal to one replica but for rounding: losses, which are means over the labels of the whole batch,
and the weights after every step, since batch norms see the whole batch. On several replicas Keras
takes the statistics from sums of squares, which lose digits where a channel's mean is far larger
than its deviation. Not equal: a layer that draws numbers, as stochastic depth does, draws the same
ones on each replica.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from companion.recipe import Recipe, check_batch_size


def replicas(model: keras.Model) -> int:
    """Return how many copies of the model train together: 1 without a strategy."""
    count: int = model.distribute_strategy.num_replicas_in_sync
    return count


def check(model: keras.Model, recipe: Recipe, optimizer: Any = None) -> None:
    """Raise ``ValueError`` unless the replicas are there and can share the batch equally."""
    strategy = model.distribute_strategy
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        # Keras 3.15 fails over it in a way that tells nobody what is wrong.
        raise ValueError(
            "the strategy must be one of a single process, such as MirroredStrategy, got "
            "MultiWorkerMirroredStrategy, on which Keras 3 does not train from arrays"
        )
    count = replicas(model)
    check_batch_size(recipe, count, "replicas")
    created = strategy.extended.variable_created_in_scope
    if count > 1 and not all(created(v.value) for v in model.variables):
        raise ValueError("model must be built under strategy.scope(), got one from outside")
    if count > 1 and optimizer and not all(created(v.value) for v in optimizer.variables):
        raise ValueError("optimizer must be built under strategy.scope(), got one from outside")


@contextmanager
def scope(model: keras.Model) -> Iterator[None]:
    """Let batch norms of the model see the whole batch, and new variables be on each replica."""
    if replicas(model) == 1:
        yield
        return
    norms = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    before = [norm.synchronized for norm in norms]
    for norm in norms:
        norm.synchronized = True
    try:
        with model.distribute_strategy.scope():
            yield
    finally:
        for norm, synchronized in zip(norms, before, strict=True):
            norm.synchronized = synchronized


def mean(value: Any) -> Any:
    """Return the mean over the replicas of a number that each of them has; no gradient passes."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return tf.stop_gradient(context.all_reduce(tf.distribute.ReduceOp.MEAN, value))

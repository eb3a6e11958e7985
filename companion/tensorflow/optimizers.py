"""The recipe's two optimizers: Keras's own, at the recipe's learning rate."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from companion.recipe import Recipe


def make_optimizer(model: keras.Model, recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    """Return the optimizer that the recipe names, for epochs of so many steps."""
    total = recipe.epochs * steps
    schedule = Cycle([recipe.rate(step, total) for step in range(total)])
    decay = recipe.weight_decay or None
    if recipe.optimizer == "adam":
        optimizer = Adam(schedule, epsilon=1e-8, weight_decay=decay)
    else:
        optimizer = keras.optimizers.SGD(
            schedule, momentum=recipe.momentum, nesterov=True, weight_decay=decay
        )
    optimizer.exclude_from_weight_decay(
        var_list=[v for v in model.trainable_variables if len(v.shape) < 2]
    )
    return optimizer


@keras.saving.register_keras_serializable("companion")
class Adam(keras.optimizers.Adam):
    """Keras's Adam, with an embedding's gradient as one tensor (Kingma and Ba 2015, algorithm 1).

    TensorFlow returns a row of it for every token of the batch. Keras squares each and adds the
    squares, where the second moment is the square of their sum.
    """

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        sparse = tf.IndexedSlices
        whole = [tf.convert_to_tensor(g) if isinstance(g, sparse) else g for g in grads]
        super().apply(whole, trainable_variables)


@keras.saving.register_keras_serializable("companion")
class Cycle(keras.optimizers.schedules.LearningRateSchedule):
    """The recipe's learning rate, as a table that the compiled step reads.

    After its last step, where ``model.fit`` may go on, the rate stays as it was there.
    """

    def __init__(self, rates: list[float]) -> None:
        self.rates = rates

    def __call__(self, step: Any) -> Any:
        last = len(self.rates) - 1
        table = ops.convert_to_tensor(self.rates, "float32")
        return ops.take(table, ops.minimum(ops.cast(step, "int32"), last))

    def get_config(self) -> dict[str, Any]:
        return {"rates": self.rates}

"""The recipe's two optimizers: Keras's own, at the recipe's learning rate, or your own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from companion import _checks
from companion.recipe import Recipe, check_held
from companion.weights.layer_weights import named_parameters


class ByVariable:
    """Before Keras's optimizer: a rate and a decay for each variable.

    Both come by the variable's place among those that are trained. Keras would decay all of them at
    one rate, and forgets on loading which ones it spares.

    Parameters
    ----------
    learning_rate: as Keras takes it. factors: on it, one for each variable, default 1.
    decays: of each variable, per step and unit of its learning rate, default none.
    """

    def __init__(
        self,
        learning_rate: Any,
        factors: list[float] | None = None,
        decays: list[float] | None = None,
        **keras_options: Any,
    ) -> None:
        super().__init__(learning_rate, **keras_options)  # type: ignore[call-arg]
        self.factors, self.decays = factors, decays

    def update_step(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
        place = self._get_variable_index(variable)
        learning_rate = ops.cast(learning_rate, variable.dtype)
        if self.factors:
            learning_rate = learning_rate * self.factors[place]
        if self.decays and self.decays[place]:
            self.assign_sub(variable, variable * self.decays[place] * learning_rate)
        super().update_step(gradient, variable, learning_rate)  # type: ignore[misc]

    def get_config(self) -> dict[str, Any]:
        lists = {"factors": self.factors, "decays": self.decays}
        own = {name: values and list(values) for name, values in lists.items()}
        return {**super().get_config(), **own}  # type: ignore[misc]


@keras.saving.register_keras_serializable("companion")
class Nesterov(ByVariable, keras.optimizers.SGD):
    """Keras's SGD with Nesterov momentum, whose velocity holds the learning rate."""


@keras.saving.register_keras_serializable("companion")
class Adam(ByVariable, keras.optimizers.Adam):
    """Keras's Adam, with an embedding's gradient as one tensor (Kingma and Ba 2015, algorithm 1).

    TensorFlow returns a row of it for every token of the batch. Keras squares each and adds the
    squares, where the second moment is the square of their sum.
    """

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        sparse = tf.IndexedSlices
        whole = [tf.convert_to_tensor(g) if isinstance(g, sparse) else g for g in grads]
        super().apply(whole, trainable_variables)


@keras.saving.register_keras_serializable("companion")
class Cycle(LearningRateSchedule):
    """The recipe's learning rate, as a table that the compiled step reads.

    After its last step, where ``model.fit`` may go on, the rate stays as it was there.
    """

    def __init__(self, rates: list[float]) -> None:
        self.rates = rates

    def __call__(self, step: Any) -> Any:
        last = len(self.rates) - 1
        table = ops.convert_to_tensor(np.asarray(self.rates, keras.config.floatx()))
        return ops.take(table, ops.minimum(ops.cast(step, "int32"), last))

    def get_config(self) -> dict[str, Any]:
        return {"rates": self.rates}


class OwnOptimizer:
    """An optimizer of the caller's, in whose every step the recipe's rate multiplies its own.

    Between steps it has the learning rate that the caller gave it. One that has a schedule or a
    function instead keeps it.
    """

    def __init__(self, own: keras.optimizers.Optimizer) -> None:
        self.own = own
        self.peak: float | None = None  #: Its own rate, while a step has another one.

    def begin_step(self, rate: float) -> None:
        if isinstance(self.own.learning_rate, keras.Variable):
            self.peak = float(self.own.learning_rate.numpy())
            self.own.learning_rate.assign(self.peak * rate)

    def end_step(self) -> None:
        if self.peak is not None:
            self.own.learning_rate.assign(self.peak)
            self.peak = None

    def rate(self, rate: float) -> float:
        """Return the learning rate of the step behind it, given the recipe's."""
        if isinstance(self.own.learning_rate, keras.Variable):
            return float(self.own.learning_rate.numpy()) * rate
        schedule = getattr(self.own, "_learning_rate", None)  # whose value is that of the next step
        if isinstance(schedule, LearningRateSchedule):
            return float(schedule(self.own.iterations - 1))
        return float(self.own.learning_rate)


def choose_optimizer(
    model: keras.Model, settings: Mapping[str, Any]
) -> tuple[Recipe, keras.optimizers.Optimizer | None]:
    """Return the recipe, and the optimizer where the settings hold one of the caller's own.

    Raises
    ------
    ValueError: settings out of their range, settings that the optimizer has itself, or one that was
        built for variables other than those of the model that are trained.
    """
    own = settings.get("optimizer", "sgd")
    if not isinstance(own, keras.optimizers.Optimizer):
        recipe = Recipe(**settings)
        _checks.option("optimizer", own, ("sgd", "adam"))
        return recipe, None
    if own.built:
        held = {id(v) for v in getattr(own, "_trainable_variables", ())}
        check_held(held, {id(v): v.path for v in model.variables}, model.trainable_variables)
    config = {key: value for key, value in own.get_config().items() if key != "name"}
    described = ", ".join(f"{key}={value}" for key, value in config.items())
    return Recipe.with_own_optimizer(f"{type(own).__name__}({described})", settings), own


def make_optimizer(
    model: keras.Model, recipe: Recipe, steps: int, own: keras.optimizers.Optimizer | None = None
) -> keras.optimizers.Optimizer:
    """Return the optimizer that the recipe names for epochs of so many steps, or the caller's."""
    if own is not None:
        return own
    total = recipe.epochs * steps
    schedule = Cycle([recipe.rate(step, total) for step in range(total)])
    variables = model.trainable_variables
    factors = None
    if recipe.learning_rate_factors:
        factors = recipe.factors_of(variables, named_parameters(model))
    each = {
        "factors": factors,
        "decays": [recipe.weight_decay if len(v.shape) > 1 else 0.0 for v in variables],
    }
    if recipe.optimizer == "adam":
        return Adam(schedule, epsilon=1e-8, **each)
    return Nesterov(schedule, momentum=recipe.momentum, nesterov=True, **each)

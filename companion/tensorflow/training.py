"""Training on Keras's own ``fit``, with the recipe that both frameworks share."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from tqdm.auto import tqdm

from companion import _checks
from companion.recipe import (
    Checkpoint,
    History,
    Recipe,
    batches,
    check_classes,
    check_examples,
    check_labels,
    check_training,
    divergence_error,
    to_model_dtype,
)
from companion.tensorflow import distributed


def use_threads(threads: int = 1) -> None:
    """Compute with this many threads. Runs repeat bit for bit only at one fixed number.

    Call it before anything else of TensorFlow runs.

    Raises
    ------
    ValueError: fewer than one.
    RuntimeError: TensorFlow has started with another number already.
    """
    threads = _checks.positive_int("threads", threads)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def fit(
    model: keras.Model,
    data: Any,
    *,
    progress: bool = True,
    resume: Checkpoint | None = None,
    after_epoch: Callable[[Checkpoint], None] | None = None,
    **settings: Any,
) -> History:
    """Train ``model`` on the training part of ``data``.

    A model that was built under the scope of a ``tf.distribute`` strategy is trained on its
    replicas: each takes its share of every batch, and the losses and weights are those of one but
    for rounding: the mean is over all labels that count, a batch norm sees the whole batch. See
    ``companion.tensorflow.distributed``.

    Parameters
    ----------
    model: maps a batch to logits, or to numbers where the loss is a squared error. It is trained
        in place.
    data: has ``x_train``, ``y_train`` and ``num_classes``, as :func:`companion.data.mnist` returns
        it: images (N, H, W, C), sequences (N, T, C), vectors (N, C) or tokens (N, T), and a label
        for each example, step or pixel. Where the loss is a squared error, ``y_train`` holds what
        the model is to return, channels last.
    progress: whether to show a bar on stderr, default True.
    resume: where an interrupted run with the same settings stands. It goes on from there and ends
        as it would have without the interruption, bit for bit at the same number of threads.
        Default None: a run from the start.
    after_epoch: is called with the :class:`companion.recipe.Checkpoint` of the run after each epoch.
    settings: fields of :class:`companion.recipe.Recipe`: epochs, batch_size, learning_rate,
        weight_decay, label_smoothing, shift, seed, optimizer, loss. ``batch_size`` is that of all
        replicas together.

    Returns
    -------
    History with one entry per epoch, those before ``resume`` included.

    Raises
    ------
    ValueError: settings, examples or labels out of their range, a batch that the replicas cannot
        share equally, or a state of another run, model or framework; nothing has been trained then.
    FloatingPointError: the loss became NaN or infinite.
    """
    recipe = Recipe(**settings)
    steps = check_training(data, recipe)
    distributed.check(model, recipe)
    _check_axes("x_train", model, data.x_train)
    shape = getattr(model, "output_shape", None)
    if recipe.loss == "cross_entropy" and isinstance(shape, tuple):
        check_classes(shape[-1], data.num_classes)
    with distributed.working(model):
        return _fit(model, data, recipe, steps, progress, resume, after_epoch)


def _fit(
    model: keras.Model,
    data: Any,
    recipe: Recipe,
    steps: int,
    progress: bool,
    resume: Checkpoint | None,
    after_epoch: Callable[[Checkpoint], None] | None,
) -> History:
    classified = recipe.loss == "cross_entropy"
    model.compile(
        optimizer=_optimizer(model, recipe, steps),
        loss=_CrossEntropy(recipe.label_smoothing) if classified else "mean_squared_error",
        metrics=[_met] if classified else [],
    )
    history = History() if resume is None else resume.history
    if resume is not None:
        model.optimizer.build(model.trainable_variables)
        kept = _state_tensors(model)
        resume.check(recipe, kept)
        for name, variable in kept.items():
            variable.assign(resume.arrays[name])
    watch = _Watch(recipe, steps, history, progress)
    try:
        for epoch in range(len(history.loss), recipe.epochs):
            # A whole epoch as arrays: Keras's path for generators doubles the time of a small step.
            parts = zip(*batches(data.x_train, data.y_train, recipe, epoch), strict=True)
            x, y = map(np.concatenate, parts)
            model.fit(
                x,
                y,
                batch_size=recipe.batch_size,
                initial_epoch=epoch,
                epochs=epoch + 1,
                shuffle=False,
                verbose=0,
                callbacks=[watch],
            )
            if after_epoch is not None:
                arrays = {name: np.array(v.numpy()) for name, v in _state_tensors(model).items()}
                after_epoch(Checkpoint(recipe, watch.history, arrays))
    finally:
        watch.bar.close()
    return watch.history


def _state_tensors(model: keras.Model) -> dict[str, keras.Variable]:
    """Return all that a step changes, by place: Keras's names depend on what was built before.

    Where stochastic depth draws, its generator is among the model's variables.
    """
    parts = {"model": model.variables, "optimizer": model.optimizer.variables}
    return {f"{part}.{i}": v for part, found in parts.items() for i, v in enumerate(found)}


@keras.saving.register_keras_serializable("companion")
class _Cycle(keras.optimizers.schedules.LearningRateSchedule):
    """The recipe's learning rate, as a table that the compiled step reads."""

    def __init__(self, rates: list[float]) -> None:
        self.rates = rates

    def __call__(self, step: Any) -> Any:
        return ops.take(ops.convert_to_tensor(self.rates, "float32"), ops.cast(step, "int32"))

    def get_config(self) -> dict[str, Any]:
        return {"rates": self.rates}


def _optimizer(model: keras.Model, recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    total = recipe.epochs * steps
    # Keras asks for one rate past the last step when it saves, so the table ends on zero.
    rates = [recipe.rate(step, total) for step in range(total)] + [0.0]
    decay = recipe.weight_decay or None
    if recipe.optimizer == "adam":
        optimizer = keras.optimizers.Adam(_Cycle(rates), epsilon=1e-8, weight_decay=decay)
    else:
        optimizer = keras.optimizers.SGD(
            _Cycle(rates), momentum=recipe.momentum, nesterov=True, weight_decay=decay
        )
    optimizer.exclude_from_weight_decay(
        var_list=[v for v in model.trainable_variables if len(v.shape) < 2]
    )
    return optimizer


@keras.saving.register_keras_serializable("companion")
class _CrossEntropy(keras.losses.Loss):
    """Mean cross-entropy of logits against the integer labels that count, smoothed."""

    def __init__(self, label_smoothing: float = 0.0, **keras_options: Any) -> None:
        super().__init__(**keras_options)
        self.label_smoothing = label_smoothing

    def call(self, labels: Any, logits: Any) -> Any:
        classes = logits.shape[-1]
        labels = _labels(labels, logits)
        target = ops.one_hot(ops.maximum(labels, 0), classes)
        target = target * (1 - self.label_smoothing) + self.label_smoothing / classes
        each = keras.losses.categorical_crossentropy(target, logits, from_logits=True)
        counts = ops.cast(labels >= 0, each.dtype)
        # Keras takes the mean over all of them.
        return each * counts / _fraction(counts)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable("companion")
def _met(labels: Any, logits: Any) -> Any:
    """The fraction of the labels that count which the largest logit meets."""
    labels = _labels(labels, logits)
    met = ops.cast(ops.cast(ops.argmax(logits, axis=-1), "int32") == labels, "float32")
    counts = ops.cast(labels >= 0, "float32")
    return met * counts / _fraction(counts)


def _fraction(counts: Any) -> Any:
    """The mean over all replicas, above 0: a batch without labels has the loss 0 and not 0 / 0."""
    return ops.maximum(distributed.mean(ops.mean(counts)), 1e-30)


def _labels(labels: Any, logits: Any) -> Any:
    """Labels without the last axis of length 1 that Keras adds to vectors."""
    return ops.cast(ops.reshape(labels, ops.shape(logits)[:-1]), "int32")


class _Watch(keras.callbacks.Callback):
    """Progress bar, history, and the stop on NaN."""

    def __init__(self, recipe: Recipe, steps: int, history: History, progress: bool) -> None:
        super().__init__()
        self.recipe, self.steps, self.history = recipe, steps, history
        self.epoch = len(history.loss)
        total, done, disable = recipe.epochs * steps, self.epoch * steps, None if progress else True
        self.bar = tqdm(total=total, initial=done, unit="step", disable=disable)

    def rate(self, step: int) -> float:
        return self.recipe.rate(self.epoch * self.steps + step, self.recipe.epochs * self.steps)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch, self.start = epoch, time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        # Keras reports the mean over the epoch so far: one bad step shows at once.
        if not math.isfinite(logs["loss"]):
            raise divergence_error(float(logs["loss"]), self.epoch, batch, self.rate(batch))
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        seconds = time.perf_counter() - self.start
        rate = self.rate(self.steps - 1)
        self.history = self.history.append(logs["loss"], logs.get("_met", 0.0), seconds, rate)
        self.bar.set_postfix(loss=f"{logs['loss']:.3f}")


def predict(model: keras.Model, x: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Return what the model makes of x in inference mode: logits, mostly.

    Parameters
    ----------
    x: images (N, H, W, C), sequences (N, T, C), vectors (N, C) or tokens (N, T).
    batch_size: examples at a time, default 256.

    Returns
    -------
    (N, ...), channels or classes last.

    Raises
    ------
    ValueError: x that is not a finite, non-empty batch, or a batch_size below 1.
    """
    check_examples("test", x)
    batch_size = _checks.positive_int("batch_size", batch_size)
    _check_axes("x", model, x)
    x = to_model_dtype(np.asarray(x))
    parts = []
    for batch in (x[i : i + batch_size] for i in range(0, len(x), batch_size)):
        answers = np.asarray(model.predict_on_batch(batch))
        parts.append(answers[: len(batch)])  # each replica of a strategy is asked for all of them
    return np.concatenate(parts)


def evaluate(
    model: keras.Model, x: np.ndarray, y: np.ndarray, batch_size: int = 256
) -> tuple[float, float]:
    """Return mean cross-entropy in nats and accuracy in [0, 1], in inference mode.

    Parameters
    ----------
    x: as for :func:`predict`. y: integer labels for each example, step or pixel; -1 does not count.

    Raises
    ------
    ValueError: examples or labels of the wrong form.
    """
    logits = predict(model, x, batch_size)
    check_labels("test", x, y, logits.shape[-1])
    counts = np.asarray(y) >= 0
    labels, logits = np.asarray(y)[counts], logits[counts]
    loss = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    return float(ops.mean(loss)), float((logits.argmax(-1) == labels).mean())


def _check_axes(name: str, model: keras.Model, x: np.ndarray) -> None:
    """Raise where Keras would add or drop an axis without a word."""
    expected = getattr(model, "input_shape", None)
    if isinstance(expected, tuple):
        _checks.rank(name, np.shape(x), len(expected), f"like {expected}")

"""Training on Keras's own ``fit``, with the recipe that both frameworks share."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from tqdm.auto import tqdm

from companion import _checks
from companion.checkpoint import Checkpoint, History
from companion.recipe import (
    Recipe,
    batches,
    check_classes,
    check_precision,
    check_training,
    divergence_error,
)
from companion.tensorflow import distributed
from companion.tensorflow.optimizers import OwnOptimizer, choose_optimizer, make_optimizer
from companion.tensorflow.prediction import (
    check_axes,
    computes_in_bfloat16,
    numpy_dtype,
    weight_dtype,
)


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
    **settings: Any,
) -> History:
    """Train ``model`` on the training part of ``data``.

    A model that was built under the scope of a ``tf.distribute`` strategy is trained on its
    replicas, each on its part of every batch: see ``companion.tensorflow.distributed``.

    Parameters
    ----------
    model: maps a batch to logits, or to numbers where the loss is a squared error. It is trained
        in place, in its own precision. Layers with ``trainable=False`` stay as they are: a batch
        norm then keeps its statistics.
    data: has ``x_train``, ``y_train`` and ``num_classes``, as :func:`companion.data.mnist` returns
        it: images (N, H, W, C), sequences (N, T, C), vectors (N, C) or tokens (N, T), and a label
        for each example, step or pixel, -1 for one to ignore. Where the loss is a squared error,
        ``y_train`` holds what the model is to return, channels last. It stays as it is.
    progress: whether to show a bar on stderr, default True.
    resume: of an interrupted run with the same settings, from :func:`train`. It goes on from there
        and ends as it would have without the interruption, bit for bit at the same number of
        threads. It may go on on another device, whose rounding and random numbers are its own.
        Default None: a run from the start.
    settings: fields of :class:`companion.recipe.Recipe`: epochs, batch_size, learning_rate,
        weight_decay, label_smoothing, shift, seed, optimizer, loss, precision,
        learning_rate_factors. ``batch_size`` is that of all replicas together. ``precision`` may be
        ``"bfloat16"`` for a model that was built under
        ``keras.config.set_dtype_policy("mixed_bfloat16")``, since a layer keeps the policy it was
        built under; such a model always computes so. ``optimizer`` may be a
        ``keras.optimizers.Optimizer`` instead of a name. It decays weights as it was told; in every
        step the cycle multiplies its learning rate, its peak, which it has again afterwards. One
        with a schedule of its own keeps that. To resume, give one with the same settings.

    Returns
    -------
    History with one entry per epoch, those before ``resume`` included.

    Raises
    ------
    ValueError: settings, examples or labels out of their range, an optimizer built for variables
        that are not those that are trained, or given a rate beside its own, a batch that the
        replicas cannot share equally, or a checkpoint of another run, model or framework; nothing
        has been trained then.
    FloatingPointError: the loss became NaN or infinite.
    """
    history = History() if resume is None else resume.history
    for checkpoint in train(model, data, progress=progress, resume=resume, **settings):
        history = checkpoint.history
    return history


def train(
    model: keras.Model,
    data: Any,
    *,
    progress: bool = True,
    resume: Checkpoint | None = None,
    **settings: Any,
) -> Iterator[Checkpoint]:
    """Train as :func:`fit` does; yield a :class:`companion.checkpoint.Checkpoint` after each epoch.

    Arguments and errors are those of :func:`fit`; the work, checks included, begins with the first
    ``next``. Between epochs the model may be looked at: its weights are those of the checkpoint.
    """
    recipe, own = choose_optimizer(model, settings)
    x, y = _checked(model, data, recipe, own)
    steps = len(x) // recipe.batch_size
    with distributed.scope(model):
        _compile(model, recipe, steps, own)
        if resume is not None:
            _restore(model, resume, recipe)
    history = History() if resume is None else resume.history
    watch = _Watch(recipe, steps, history, progress, None if own is None else OwnOptimizer(own))
    with watch:
        for epoch in range(len(watch.history.loss), recipe.epochs):
            # A whole epoch as arrays: Keras's path for generators doubles the time of a small step.
            inputs, targets = map(np.concatenate, zip(*batches(x, y, recipe, epoch), strict=True))
            with distributed.scope(model):
                model.fit(
                    inputs,
                    targets,
                    batch_size=recipe.batch_size,
                    initial_epoch=epoch,
                    epochs=epoch + 1,
                    shuffle=False,
                    verbose=0,
                    callbacks=[watch],
                )
            arrays = {name: np.array(v.numpy()) for name, v in _state_tensors(model).items()}
            yield Checkpoint(recipe, watch.history, arrays)


def _checked(
    model: keras.Model, data: Any, recipe: Recipe, own: keras.optimizers.Optimizer | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the training part, ready for the model; raise unless all that is given fits."""
    check_precision(recipe, numpy_dtype(model))
    if recipe.precision == "bfloat16" and not computes_in_bfloat16(model):
        raise ValueError(
            "precision must be 'float32' unless the model was built under "
            "keras.config.set_dtype_policy('mixed_bfloat16'), got 'bfloat16'"
        )
    x, y = check_training(data, recipe, numpy_dtype(model))
    distributed.check(model, recipe, own)
    check_axes("x_train", model, x)
    shape = getattr(model, "output_shape", None)
    if recipe.loss == "cross_entropy" and isinstance(shape, tuple):
        check_classes(shape[-1], data.num_classes)
    return x, y


def _compile(
    model: keras.Model, recipe: Recipe, steps: int, own: keras.optimizers.Optimizer | None
) -> None:
    dtype = weight_dtype(model)
    if recipe.loss == "cross_entropy":
        loss, metrics = CrossEntropy(recipe.label_smoothing, dtype=dtype), [accuracy]
    else:
        loss, metrics = keras.losses.MeanSquaredError(dtype=dtype), []
    model.compile(make_optimizer(model, recipe, steps, own), loss, metrics=metrics)


def _restore(model: keras.Model, resume: Checkpoint, recipe: Recipe) -> None:
    """Put model and optimizer where the checkpoint has them; raise unless it fits."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    variables = _state_tensors(model)
    resume.check(recipe, variables)
    for name, variable in variables.items():
        variable.assign(resume.arrays[name])


def _state_tensors(model: keras.Model) -> dict[str, keras.Variable]:
    """Return all that a step changes, by place: Keras's names depend on what was built before.

    Where stochastic depth draws, its generator is among the model's variables.
    """
    parts = {"model": model.variables, "optimizer": model.optimizer.variables}
    return {f"{part}.{i}": v for part, found in parts.items() for i, v in enumerate(found)}


@keras.saving.register_keras_serializable("companion")
class CrossEntropy(keras.losses.Loss):
    """Mean cross-entropy of logits against integer labels that are not ignored (-1), smoothed."""

    def __init__(self, label_smoothing: float = 0.0, **keras_options: Any) -> None:
        super().__init__(**keras_options)
        self.label_smoothing = label_smoothing

    def call(self, labels: Any, logits: Any) -> Any:
        classes = logits.shape[-1]
        labels = _labels(labels, logits)
        target = ops.one_hot(ops.maximum(labels, 0), classes, dtype=logits.dtype)
        target = target * (1 - self.label_smoothing) + self.label_smoothing / classes
        losses = keras.losses.categorical_crossentropy(target, logits, from_logits=True)
        return _over_labels(losses, labels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable("companion")
def accuracy(labels: Any, logits: Any) -> Any:
    """Accuracy over labels that are not ignored (-1)."""
    labels = _labels(labels, logits)
    correct = ops.cast(ops.argmax(logits, axis=-1), "int32") == labels
    return _over_labels(ops.cast(correct, "float32"), labels)


def _over_labels(values: Any, labels: Any) -> Any:
    """Return values whose mean, which Keras takes, is the mean over labels that are not ignored."""
    labeled = ops.cast(labels >= 0, values.dtype)
    # Over all replicas, and above 0: a batch without labels has the loss 0 and not 0 / 0.
    fraction = ops.maximum(distributed.mean(ops.mean(labeled)), 1e-30)
    return values * labeled / fraction


def _labels(labels: Any, logits: Any) -> Any:
    """Return labels without the last axis of length 1 that Keras adds to vectors."""
    return ops.cast(ops.reshape(labels, ops.shape(logits)[:-1]), "int32")


class _Watch(keras.callbacks.Callback):
    """Progress bar, history, the rate of an optimizer of the caller's, and the stop on NaN."""

    def __init__(
        self,
        recipe: Recipe,
        steps: int,
        history: History,
        progress: bool,
        own: OwnOptimizer | None,
    ) -> None:
        super().__init__()
        self.recipe, self.steps, self.history, self.own = recipe, steps, history, own
        self.epoch = len(history.loss)
        total, done, disable = recipe.epochs * steps, self.epoch * steps, None if progress else True
        self.bar = tqdm(total=total, initial=done, unit="step", disable=disable)

    def __enter__(self) -> None:
        self.bar.__enter__()

    def __exit__(self, *error: Any) -> None:
        if self.own is not None:
            self.own.end_step()  # of a step that was interrupted
        self.bar.__exit__(*error)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step of this epoch, which is behind it."""
        rate = self.recipe.rate(self.epoch * self.steps + step, self.recipe.epochs * self.steps)
        return rate if self.own is None else self.own.rate(rate)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch, self.start = epoch, time.perf_counter()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.own is not None:
            step, steps = self.epoch * self.steps + batch, self.recipe.epochs * self.steps
            self.own.begin_step(self.recipe.rate(step, steps))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.own is not None:
            self.own.end_step()
        # Keras reports the mean over the epoch so far: one bad step shows at once.
        if not math.isfinite(logs["loss"]):
            raise divergence_error(float(logs["loss"]), self.epoch, batch, self.rate(batch))
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        seconds = time.perf_counter() - self.start
        rate = self.rate(self.steps - 1)
        self.history = self.history.append(logs["loss"], logs.get("accuracy", 0.0), seconds, rate)
        self.bar.set_postfix(loss=f"{logs['loss']:.3f}")

"""One training recipe for both frameworks: the same batches, schedule and record.

Everything random is drawn here, with NumPy, from the seed. PyTorch and TensorFlow therefore see
the same images in the same order, shifted by the same pixels, at the same learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from companion import _checks

#: How the recipe calls an optimizer of the caller's own, before the words that describe it.
OWN = "own: "


@dataclass(frozen=True)
class Recipe:
    """The settings of one training run, checked on construction.

    SGD with Nesterov momentum 0.9, or Adam, and one learning-rate cycle (Smith and Topin,
    arXiv 1708.07120): up from a tenth of the peak over the first quarter, then down by a cosine
    to zero. Weight decay is decoupled (Loshchilov and Hutter, arXiv 1711.05101) and spares
    biases and batch norms.

    Parameters
    ----------
    epochs: passes over the training set, default 10.
    batch_size: examples per step, default 64; an incomplete last batch is dropped.
    learning_rate: peak of the cycle, default 0.1.
    weight_decay: fraction of a weight lost per step and unit learning rate, default 0.005.
    label_smoothing: probability moved from the label to all classes, in [0, 1), default 0.
    shift: largest random shift of an image in pixels, per axis, default 0.
    seed: of the order of the examples and of the shifts, default 0.
    optimizer: ``"sgd"`` (default) or ``"adam"`` (Kingma and Ba, arXiv 1412.6980, with its defaults
        0.9, 0.999, 1e-8). ``fit`` and ``train`` also take an optimizer of the framework's own, see
        there; the recipe keeps what describes it.
    loss: ``"cross_entropy"`` (default), the mean over integer labels that are not ignored (-1), or
        ``"squared_error"``, the mean over all numbers.
    precision: of forward pass and loss. ``"float32"`` (default) is the model's own, whichever that
        is. With ``"bfloat16"`` matrices are multiplied in 16 bits, while weights, moments and sums
        stay in the model's precision (mixed precision, Micikevicius et al., arXiv 1710.03740).
    learning_rate_factors: discriminative fine-tuning, also called layer-wise learning rates (Howard
        and Ruder 2018, arXiv 1801.06146, section 3.2): ``{"stem": 0.1, "stages": 0.3}`` multiplies
        the rate, and with it the decay, of all parameters whose names in
        :func:`companion.weights.named_arrays` begin so, as ``"stem.conv.weight"`` does. Of several
        prefixes the longest counts. Default none.
    """

    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 0.1
    weight_decay: float = 0.005
    label_smoothing: float = 0.0
    shift: int = 0
    seed: int = 0
    optimizer: str = "sgd"
    loss: str = "cross_entropy"
    precision: str = "float32"
    learning_rate_factors: Mapping[str, float] = field(default_factory=dict, hash=False)

    momentum: float = field(default=0.9, init=False)

    def __post_init__(self) -> None:
        _checks.positive_int("epochs", self.epochs)
        _checks.positive_int("batch_size", self.batch_size)
        if _checks.number("learning_rate", self.learning_rate) == 0:
            raise ValueError("learning_rate must be above 0, got 0")
        _checks.number("weight_decay", self.weight_decay)
        if _checks.number("label_smoothing", self.label_smoothing, 0, 1) == 1:
            raise ValueError("label_smoothing must be below 1, got 1: no label would be left")
        _checks.positive_int("shift", self.shift, minimum=0)
        _checks.positive_int("seed", self.seed, minimum=0)
        if not (isinstance(self.optimizer, str) and self.optimizer.startswith(OWN)):
            _checks.option("optimizer", self.optimizer, ("sgd", "adam"))
        _checks.option("loss", self.loss, ("cross_entropy", "squared_error"))
        _checks.option("precision", self.precision, ("float32", "bfloat16"))
        factors = _checks.factors("learning_rate_factors", self.learning_rate_factors)
        object.__setattr__(self, "learning_rate_factors", factors)  # a copy of the caller's

    @classmethod
    def with_own_optimizer(cls, description: str, settings: Mapping[str, Any]) -> Recipe:
        """Return the recipe of a run with an optimizer of the caller's, whose rates are its own.

        The cycle's peak is then 1, by which the optimizer's own learning rates are multiplied.

        Parameters
        ----------
        description: tells it from other optimizers: its kind and its settings.
        settings: as for the recipe, the optimizer among them.

        Raises
        ------
        ValueError: settings that the optimizer has itself.
        """
        for name in ("learning_rate", "weight_decay", "learning_rate_factors"):
            if name in settings:
                raise ValueError(
                    f"{name} must be left to an optimizer of your own, got {settings[name]!r}"
                )
        own = {"optimizer": OWN + description, "learning_rate": 1.0, "weight_decay": 0.0}
        return cls(**{**settings, **own})

    def factors(self, names: Iterable[str]) -> list[float]:
        """Return what the learning rate of each parameter is multiplied by, given their names.

        Raises
        ------
        ValueError: a prefix of ``learning_rate_factors`` with which no name begins.
        """
        names, given = list(names), self.learning_rate_factors
        for prefix in given:
            if not any(_begins(name, prefix) for name in names):
                parts = ", ".join(dict.fromkeys(name.partition(".")[0] for name in names))
                raise ValueError(
                    f"learning_rate_factors must be of parameters that the model has ({parts}, and "
                    f"what is in them), got {prefix!r}"
                )
        longest = [max((p for p in given if _begins(n, p)), key=len, default=None) for n in names]
        return [1.0 if prefix is None else given[prefix] for prefix in longest]

    def factors_of(
        self, parameters: Iterable[Any], named: Sequence[tuple[str, Any]]
    ) -> list[float]:
        """Return the factor of each parameter; one with two names has the first's."""
        factors = self.factors(name for name, _ in named)
        found = {id(p): f for (_, p), f in zip(reversed(named), reversed(factors), strict=True)}
        return [found[id(p)] for p in parameters]

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of ``step`` (from 0) out of ``steps``."""
        warm = max(1, round(0.25 * steps))
        if step < warm:
            return self.learning_rate * (0.1 + 0.9 * step / warm)
        progress = (step - warm) / max(1, steps - warm)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))

    def as_dict(self) -> dict[str, Any]:
        """Return the parameters by name, ready for JSON and for ``Recipe(**...)``."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        return {**values, "learning_rate_factors": dict(self.learning_rate_factors)}


def _begins(name: str, prefix: str) -> bool:
    return f"{name}.".startswith(f"{prefix}.")


def check_training(
    data: Any, recipe: Recipe, dtype: str = "float32"
) -> tuple[np.ndarray, np.ndarray]:
    """Return the training part as arrays that the model takes; raise unless it fits the recipe.

    The caller's arrays stay as they are; those of the right type already are not copied.

    Parameters
    ----------
    data: has ``x_train`` and ``y_train``, and ``num_classes`` where the loss is a cross-entropy.
    dtype: of floats, default ``"float32"``; integers become int64.

    Returns
    -------
    x and y, with at least one whole batch.
    """
    x = check_examples("train", data.x_train, dtype=dtype)
    if recipe.loss == "cross_entropy":
        y = check_labels("train", x, data.y_train, data.num_classes)
    else:
        _checks.same_length("y_train", data.y_train, len(x))
        y = check_examples("train", data.y_train, name="y", dtype=dtype).astype(dtype, copy=False)
    if recipe.shift and x.ndim != 4:
        raise ValueError(f"shift must be 0 unless x_train holds images, got {recipe.shift}")
    side = min(x.shape[1:3]) if recipe.shift else 1
    if recipe.shift >= side:
        raise ValueError(
            f"shift must be below the {side} pixels of an image's side, got {recipe.shift}"
        )
    if recipe.batch_size > len(x):
        raise ValueError(
            f"batch_size must be at most the {len(x)} training examples, got {recipe.batch_size}"
        )
    return x, y


def check_held(held: set[int], known: Mapping[int, str], trained: Iterable[Any]) -> None:
    """Raise unless an optimizer holds all that is trained, and nothing but the model's.

    Parameters
    ----------
    held: ``id`` of each parameter of the optimizer. known: the names of the model's by ``id``.
    """
    if held - known.keys():
        raise ValueError(
            f"optimizer must hold parameters of the model alone, got {len(held - known.keys())} "
            "that are not"
        )
    for p in trained:
        if id(p) not in held:
            raise ValueError(
                "optimizer must hold every parameter of the model that is trained, got one without "
                f"{known[id(p)]!r}"
            )


def check_precision(recipe: Recipe, dtype: str) -> None:
    """Raise where weights are so exact that 16 bits beside them would be of no use."""
    if recipe.precision == "bfloat16" and dtype == "float64":
        raise ValueError(
            "precision must be 'float32', which is the model's own, for a model in float64, "
            f"got {recipe.precision!r}"
        )


def check_batch_size(recipe: Recipe, parts: int, of: str = "processes") -> None:
    """Raise unless the batch can be divided into so many equal parts."""
    if recipe.batch_size % parts:
        raise ValueError(
            f"batch_size must be a multiple of the {parts} {of} that share each batch, "
            f"got {recipe.batch_size}"
        )


def check_examples(part: str, x: Any, name: str = "x", dtype: str = "float32") -> np.ndarray:
    """Return a finite, non-empty batch (N, C), (N, T), (N, T, C) or (N, H, W, C) as an array.

    Floats have the dtype, integers are int64. Where it is so already, it is the caller's own array.
    """
    x = np.asarray(x)
    if not 2 <= x.ndim <= 4:
        raise ValueError(
            f"{name}_{part} must have 2 to 4 dimensions (N, ..., C), got shape {x.shape}"
        )
    _checks.finite_batch(f"{name}_{part}", x.shape, bool(np.isfinite(x).all()))
    return to_model_dtype(x, dtype)


def check_labels(part: str, x: np.ndarray, y: Any, classes: int) -> np.ndarray:
    """Return integer labels below ``classes``, one for each example, step or pixel, as int64.

    -1 stands for a label that is ignored; there must be another one.
    """
    y = np.asarray(y)
    if y.shape not in {(len(x),), x.shape, x.shape[:-1]} or not np.issubdtype(y.dtype, np.integer):
        raise ValueError(
            f"y_{part} must hold one integer label for each of the {len(x)} examples, or for each "
            f"of their steps or pixels, got shape {y.shape} of {y.dtype}"
        )
    low, high = int(np.min(y)), int(np.max(y))
    if low < -1 or high >= classes or high < 0:
        raise ValueError(f"y_{part} must be from 0 to {classes - 1} or -1, got {low} to {high}")
    return to_model_dtype(y)


def check_classes(logits: int | None, classes: int) -> None:
    """Raise unless a model has a logit for every class; ``None`` stands for an unknown number."""
    if logits is not None and logits < classes:
        raise ValueError(
            f"model must have a logit for each of the {classes} classes of the data, got {logits}"
        )


def shifted(x: np.ndarray, shift: int, rng: np.random.Generator) -> np.ndarray:
    """Return the images (N, H, W, C), each moved by up to ``shift`` pixels, zeros moving in."""
    if shift == 0:
        return x
    n, height, width, _ = x.shape
    padded = np.pad(x, ((0, 0), (shift, shift), (shift, shift), (0, 0)))
    top, left = rng.integers(0, 2 * shift + 1, size=(2, n))
    rows = top[:, None] + np.arange(height)
    columns = left[:, None] + np.arange(width)
    return padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


def batches(
    x: np.ndarray, y: np.ndarray, recipe: Recipe, epoch: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the shuffled, shifted batches of one epoch; they are copies."""
    rng = np.random.default_rng([recipe.seed, epoch])
    order = rng.permutation(len(x))
    for start in range(0, len(x) - recipe.batch_size + 1, recipe.batch_size):
        chosen = order[start : start + recipe.batch_size]
        yield shifted(x[chosen], recipe.shift, rng), y[chosen]


def to_model_dtype(values: np.ndarray, dtype: str = "float32") -> np.ndarray:
    """Return floats in the dtype and integers as int64, which both frameworks take."""
    kind = np.int64 if np.issubdtype(values.dtype, np.integer) else np.dtype(dtype)
    return values.astype(kind, copy=False)


def divergence_error(loss: float, epoch: int, step: int, rate: float) -> FloatingPointError:
    """Return the error that ends a training run whose loss is no longer a number."""
    return FloatingPointError(
        f"the loss became {loss} in epoch {epoch + 1}, step {step + 1}, at learning rate "
        f"{rate:.3g}: lower learning_rate, or check the input for extreme values"
    )

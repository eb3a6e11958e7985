"""One training recipe for both frameworks: the same batches, schedule and record.

Everything random is drawn here, with NumPy, from the seed. PyTorch and TensorFlow therefore see
the same images in the same order, shifted by the same pixels, at the same learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import numpy as np

from companion import _checks


@dataclass(frozen=True)
class Recipe:
    """The settings of one training run, checked on construction.

    SGD with Nesterov momentum 0.9 and one learning-rate cycle (Smith and Topin,
    arXiv 1708.07120): up from a tenth of the peak over the first quarter, then down by a cosine
    to zero. Weight decay is decoupled (Loshchilov and Hutter, arXiv 1711.05101) and spares
    biases and batch norms.

    Parameters
    ----------
    epochs: passes over the training set, default 10.
    batch_size: images per step, default 64; an incomplete last batch is dropped.
    learning_rate: peak of the cycle, default 0.1.
    weight_decay: fraction of a weight lost per step and unit learning rate, default 0.005.
    label_smoothing: probability moved from the label to all classes, in [0, 1), default 0.
    shift: largest random shift of an image in pixels, per axis, default 0.
    seed: of the order of the images and of the shifts, default 0.
    """

    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 0.1
    weight_decay: float = 0.005
    label_smoothing: float = 0.0
    shift: int = 0
    seed: int = 0

    momentum: float = field(default=0.9, init=False)

    def __post_init__(self) -> None:
        _checks.positive_int("epochs", self.epochs)
        _checks.positive_int("batch_size", self.batch_size)
        if _checks.number("learning_rate", self.learning_rate) == 0:
            raise ValueError("learning_rate must be above 0, got 0")
        _checks.number("weight_decay", self.weight_decay)
        _checks.number("label_smoothing", self.label_smoothing, 0, 1)
        _checks.positive_int("shift", self.shift, minimum=0)
        _checks.positive_int("seed", self.seed, minimum=0)

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of ``step`` (from 0) out of ``steps``."""
        warm = max(1, round(0.25 * steps))
        if step < warm:
            return self.learning_rate * (0.1 + 0.9 * step / warm)
        progress = (step - warm) / max(1, steps - warm)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class History:
    """What a training run left behind, one entry per epoch.

    Attributes
    ----------
    loss: mean training loss over the epoch, in nats, label smoothing included.
    accuracy: fraction of training images classified rightly as they were seen, in [0, 1].
    seconds: wall-clock time of the epoch.
    learning_rate: at the epoch's last step.
    """

    loss: tuple[float, ...] = ()
    accuracy: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()
    learning_rate: tuple[float, ...] = ()

    def then(self, loss: float, accuracy: float, seconds: float, learning_rate: float) -> History:
        """Return the history with one more epoch."""
        return History(
            (*self.loss, float(loss)),
            (*self.accuracy, float(accuracy)),
            (*self.seconds, float(seconds)),
            (*self.learning_rate, float(learning_rate)),
        )

    def as_dict(self) -> dict[str, tuple[float, ...]]:
        """Return the four columns as a dictionary, ready for JSON."""
        return asdict(self)


def check_examples(name: str, x: np.ndarray, y: np.ndarray | None = None) -> None:
    """Raise unless x is a finite batch (N, H, W, C) and y its N integer labels."""
    _checks.images(f"x_{name}", np.shape(x), finite=bool(np.isfinite(np.asarray(x)).all()))
    if y is not None and (
        np.ndim(y) != 1 or len(y) != len(x) or not np.issubdtype(np.asarray(y).dtype, np.integer)
    ):
        raise ValueError(
            f"y_{name} must hold one integer label for each of the {len(x)} images, "
            f"got shape {np.shape(y)} of {np.asarray(y).dtype}"
        )


def check_labels(name: str, y: np.ndarray, classes: int) -> None:
    """Raise unless every label is one of ``classes``."""
    low, high = int(np.min(y)), int(np.max(y))
    if low < 0 or high >= classes:
        raise ValueError(f"y_{name} must be from 0 to {classes - 1}, got {low} to {high}")


def steps_per_epoch(recipe: Recipe, examples: int) -> int:
    """Return the number of whole batches; raise where there is none."""
    if recipe.batch_size > examples:
        raise ValueError(
            f"batch_size must be at most the {examples} training images, got {recipe.batch_size}"
        )
    return examples // recipe.batch_size


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
    """Yield the shuffled, shifted batches of one epoch: x (B, H, W, C) float32, y (B,) int64."""
    rng = np.random.default_rng([recipe.seed, epoch])
    order = rng.permutation(len(x))
    for step in range(steps_per_epoch(recipe, len(x))):
        chosen = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
        images = shifted(x[chosen], recipe.shift, rng)
        yield images.astype(np.float32, copy=False), y[chosen].astype(np.int64, copy=False)


def diverged(loss: float, epoch: int, step: int, rate: float) -> FloatingPointError:
    """Return the error that ends a training run whose loss is no longer a number."""
    return FloatingPointError(
        f"the loss became {loss} in epoch {epoch + 1}, step {step + 1}, at learning rate "
        f"{rate:.3g}: lower learning_rate, or check the input for extreme values"
    )

"""Training in plain PyTorch, with the recipe that both frameworks share."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from companion import _checks
from companion.data import Dataset
from companion.recipe import (
    History,
    Recipe,
    batches,
    check_examples,
    check_labels,
    diverged,
    steps_per_epoch,
)


def use_threads(threads: int = 1) -> None:
    """Compute with this many threads. Runs repeat bit for bit only at one fixed number.

    Raises
    ------
    ValueError: fewer than one.
    """
    torch.set_num_threads(_checks.positive_int("threads", threads))


def fit(model: nn.Module, data: Dataset, *, progress: bool = True, **settings: Any) -> History:
    """Train ``model`` on the training part of ``data``.

    Parameters
    ----------
    model: maps images (N, C, H, W) to logits (N, num_classes). It is trained in place.
    data: images and labels, channels last; see :func:`companion.data.mnist`.
    progress: whether to show a bar on stderr, default True.
    settings: fields of :class:`companion.recipe.Recipe`: epochs, batch_size, learning_rate,
        weight_decay, label_smoothing, shift, seed.

    Returns
    -------
    History with one entry per epoch.

    Raises
    ------
    ValueError: settings, images or labels out of their range; nothing has been trained then.
    FloatingPointError: the loss became NaN or infinite.
    """
    recipe = Recipe(**settings)
    check_examples("train", data.x_train, data.y_train)
    check_labels("train", data.y_train, data.num_classes)
    steps = steps_per_epoch(recipe, len(data.x_train))
    optimiser = _Nesterov(model, recipe)
    history = History()
    bar = tqdm(total=recipe.epochs * steps, unit="step", disable=None if progress else True)
    with bar:
        for epoch in range(recipe.epochs):
            start, total, right = time.perf_counter(), 0.0, 0
            model.train()
            for step, (x, y) in enumerate(batches(data.x_train, data.y_train, recipe, epoch)):
                rate = recipe.rate(epoch * steps + step, recipe.epochs * steps)
                images, labels = _to_tensor(x), torch.from_numpy(y)
                logits = model(images)
                loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
                value = loss.item()
                if not math.isfinite(value):
                    raise diverged(value, epoch, step, rate)
                loss.backward()
                optimiser.step(rate)
                total += value
                right += int((logits.argmax(1) == labels).sum())
                bar.update()
            history = history.then(
                total / steps,
                right / (steps * recipe.batch_size),
                time.perf_counter() - start,
                rate,
            )
            bar.set_postfix(loss=f"{history.loss[-1]:.3f}")
    model.eval()
    return history


class _Nesterov:
    """SGD with Nesterov momentum in Keras's form, where the velocity holds the learning rate.

    torch.optim.SGD multiplies by the rate last, which differs once the rate changes, and decays
    weights through the velocity. Ten lines here make the two frameworks take the same steps.
    """

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        self.parameters: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
        self.decayed = [p for p in self.parameters if p.ndim > 1]
        self.velocity = [torch.zeros_like(p) for p in self.parameters]
        self.momentum, self.decay = recipe.momentum, recipe.weight_decay

    @torch.no_grad()
    def step(self, rate: float) -> None:
        steps = [
            torch.zeros_like(p) if p.grad is None else p.grad.mul(-rate) for p in self.parameters
        ]
        torch._foreach_mul_(self.decayed, 1 - rate * self.decay)
        torch._foreach_mul_(self.velocity, self.momentum)  # v = mu v - rate g
        torch._foreach_add_(self.velocity, steps)
        torch._foreach_add_(self.parameters, steps)  # w = w + mu v - rate g
        torch._foreach_add_(self.parameters, self.velocity, alpha=self.momentum)
        for p in self.parameters:
            p.grad = None


def predict(model: nn.Module, x: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Return the logits (N, num_classes) of images x (N, H, W, C), in inference mode.

    Raises
    ------
    ValueError: x that is not a finite, non-empty batch of images, or a batch_size below 1.
    """
    check_examples("test", x)
    batch_size = _checks.positive_int("batch_size", batch_size)
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            parts = [
                model(_to_tensor(x[i : i + batch_size])).numpy()
                for i in range(0, len(x), batch_size)
            ]
    finally:
        model.train(was_training)
    return np.concatenate(parts)


def evaluate(
    model: nn.Module, x: np.ndarray, y: np.ndarray, batch_size: int = 256
) -> tuple[float, float]:
    """Return mean cross-entropy in nats and accuracy in [0, 1], in inference mode.

    Parameters
    ----------
    x: images (N, H, W, C). y: integer labels (N,).

    Raises
    ------
    ValueError: images or labels of the wrong form.
    """
    check_examples("test", x, y)
    logits = torch.from_numpy(predict(model, x, batch_size))
    check_labels("test", y, logits.shape[1])
    labels = torch.from_numpy(np.asarray(y, dtype=np.int64))
    loss = F.cross_entropy(logits, labels).item()
    return loss, float((logits.argmax(1) == labels).float().mean())


def _to_tensor(x: np.ndarray) -> Tensor:
    """(N, H, W, C) array to (N, C, H, W) tensor, in the memory order that convolutions like."""
    return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)).permute(0, 3, 1, 2)

"""Training in plain PyTorch, with the recipe that both frameworks share."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
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
from companion.torch.distributed import Team, team
from companion.torch.layers import in_inference_mode


def use_threads(threads: int = 1) -> None:
    """Compute with this many threads. Runs repeat bit for bit only at one fixed number.

    Raises
    ------
    ValueError: fewer than one.
    """
    torch.set_num_threads(_checks.positive_int("threads", threads))


def fit(
    model: nn.Module,
    data: Any,
    *,
    progress: bool = True,
    resume: Checkpoint | None = None,
    after_epoch: Callable[[Checkpoint], None] | None = None,
    **settings: Any,
) -> History:
    """Train ``model`` on the training part of ``data``.

    In several processes that have joined one group of ``torch.distributed``, each takes its share
    of every batch, and the losses and weights are those of one process but for rounding: the mean
    is over all labels that count, a batch norm sees the whole batch. Weights and ``resume`` are
    those of process 0, which alone shows a bar and calls ``after_epoch``; in the end all have the
    same weights and history. ``torchrun --nproc_per_node=2 -m companion train`` is such a run.

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
        processes together.

    Returns
    -------
    History with one entry per epoch, those before ``resume`` included.

    Raises
    ------
    ValueError: settings, examples or labels out of their range, a batch that the processes cannot
        share equally, or a state of another run, model or framework; nothing has been trained then.
    FloatingPointError: the loss became NaN or infinite.
    """
    recipe = Recipe(**settings)
    steps = check_training(data, recipe)
    processes = team()
    processes.check(recipe)
    processes.agree(recipe, data, model.state_dict())
    if recipe.loss == "cross_entropy":
        _check_classes(model, data)
    resume = processes.from_first(resume)
    optimizer = (_Nesterov if recipe.optimizer == "sgd" else _Adam)(model, recipe)
    measured = _cross_entropy if recipe.loss == "cross_entropy" else _squared_error
    history = History() if resume is None else resume.history
    done = len(history.loss)
    if resume is not None:
        resume.check(recipe, _state_tensors(model, optimizer))
        _restore(model, optimizer, resume.arrays)
        optimizer.step_count = done * steps
    generator = torch.get_rng_state()
    processes.start_alike([*model.state_dict().values(), generator])
    torch.set_rng_state(generator)
    first = processes.rank == 0
    disable = None if progress and first else True
    bar = tqdm(total=recipe.epochs * steps, initial=done * steps, unit="step", disable=disable)
    with bar:
        for epoch in range(done, recipe.epochs):
            start, total, right = time.perf_counter(), 0.0, 0.0
            model.train()
            for step, (x, y) in enumerate(batches(data.x_train, data.y_train, recipe, epoch)):
                rate = recipe.rate(epoch * steps + step, recipe.epochs * steps)
                with processes.working(model, recipe.batch_size):
                    output = model(_to_tensor(processes.share(x)))
                    loss, accuracy = measured(output, y, recipe.label_smoothing, processes)
                    value, accuracy = processes.total(loss.item(), accuracy)
                    if not math.isfinite(value):
                        raise divergence_error(value, epoch, step, rate)
                    loss.backward()
                processes.total_gradients(optimizer.parameters)
                optimizer.step(rate)
                total += value
                right += accuracy
                bar.update()
            history = history.append(
                total / steps,
                right / steps,
                time.perf_counter() - start,
                rate,
            )
            bar.set_postfix(loss=f"{history.loss[-1]:.3f}")
            if after_epoch is not None and first:
                arrays = {
                    name: t.numpy().copy() for name, t in _state_tensors(model, optimizer).items()
                }
                after_epoch(Checkpoint(recipe, history, arrays))
    model.eval()
    return history


def _check_classes(model: nn.Module, data: Any) -> None:
    """Raise unless the model has a logit for every class; it is run on one example."""
    with in_inference_mode(model), torch.no_grad():
        shape = model(_to_tensor(data.x_train[:1])).shape
    check_classes(shape[1 if len(shape) == 4 else -1], data.num_classes)


def _state_tensors(model: nn.Module, optimizer: _Optimizer) -> dict[str, Tensor]:
    """Return all that a step changes, by name; but for the generator's state, not copied."""
    moments = {
        f"optimizer.{kind}.{i}": tensor
        for kind, tensors in optimizer.moments().items()
        for i, tensor in enumerate(tensors)
    }
    weights = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    return {**weights, **moments, "generator": torch.get_rng_state()}  # stochastic depth draws


@torch.no_grad()
def _restore(model: nn.Module, optimizer: _Optimizer, arrays: Mapping[str, np.ndarray]) -> None:
    for name, tensor in _state_tensors(model, optimizer).items():
        tensor.copy_(torch.from_numpy(arrays[name]))
    torch.set_rng_state(torch.from_numpy(arrays["generator"]))


def _cross_entropy(
    logits: Tensor, y: np.ndarray, smoothing: float, processes: Team
) -> tuple[Tensor, float]:
    """The mean over all labels that count, and the fraction of them that is met.

    ``y`` is of the whole batch, ``logits`` of this process's share. What each process returns is
    its part of the sum that makes the mean.
    """
    if not (y >= 0).any():  # the mean over nothing would not be a number
        return logits.sum() * 0, 0.0
    labels = torch.from_numpy(processes.share(y))
    classes = 1 if logits.ndim == 4 else -1  # images have them second, sequences last
    logits = logits.movedim(classes, 1)
    met = (logits.argmax(1) == labels)[labels >= 0].float()
    options: dict[str, Any] = {"ignore_index": -1, "label_smoothing": smoothing}
    if processes.size == 1:
        return F.cross_entropy(logits, labels, **options), float(met.mean())
    counting = torch.tensor(int((y >= 0).sum()))  # a share may have none
    loss = F.cross_entropy(logits, labels, reduction="sum", **options) / counting
    return loss, float(met.sum() / counting)


def _squared_error(
    output: Tensor, y: np.ndarray, smoothing: float, processes: Team
) -> tuple[Tensor, float]:
    error = F.mse_loss(output, _to_tensor(processes.share(y)))
    return (error if processes.size == 1 else error / processes.size), 0.0


class _Optimizer:
    """What both share: which weights move, and which decay."""

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        self.parameters: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
        self.decayed = [p for p in self.parameters if p.ndim > 1]
        self.velocity = [torch.zeros_like(p) for p in self.parameters]
        self.momentum, self.decay = recipe.momentum, recipe.weight_decay
        self.step_count = 0
        for p in self.parameters:
            p.grad = None  # of other work, or of a step that was interrupted

    def moments(self) -> dict[str, list[Tensor]]:
        """Return what is remembered of earlier gradients."""
        return {"velocity": self.velocity}

    @torch.no_grad()
    def step(self, rate: float) -> None:
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        torch._foreach_mul_(self.decayed, 1 - rate * self.decay)
        self.step_count += 1
        self.move(gradients, rate)
        for p in self.parameters:
            p.grad = None

    def move(self, gradients: list[Tensor], rate: float) -> None:
        raise NotImplementedError


class _Nesterov(_Optimizer):
    """SGD with Nesterov momentum in Keras's form, where the velocity holds the learning rate.

    torch.optim.SGD multiplies by the rate last, which differs once the rate changes, and decays
    weights through the velocity. A few lines here make the two frameworks take the same steps.
    """

    def move(self, gradients: list[Tensor], rate: float) -> None:
        steps = torch._foreach_mul(gradients, -rate)
        torch._foreach_mul_(self.velocity, self.momentum)  # v = mu v - rate g
        torch._foreach_add_(self.velocity, steps)
        torch._foreach_add_(self.parameters, steps)  # w = w + mu v - rate g
        torch._foreach_add_(self.parameters, self.velocity, alpha=self.momentum)


class _Adam(_Optimizer):
    """Adam in Keras's form (arXiv 1412.6980, end of section 2): the rate holds both corrections.

    Importing torch.optim would cost two seconds that a page does not have.
    """

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        super().__init__(model, recipe)
        self.squares = [torch.zeros_like(p) for p in self.parameters]

    def moments(self) -> dict[str, list[Tensor]]:
        return {**super().moments(), "squares": self.squares}

    def move(self, gradients: list[Tensor], rate: float) -> None:
        rate *= math.sqrt(1 - 0.999**self.step_count) / (1 - 0.9**self.step_count)
        torch._foreach_lerp_(self.velocity, gradients, 1 - 0.9)  # m = 0.9 m + 0.1 g
        torch._foreach_lerp_(self.squares, torch._foreach_mul(gradients, gradients), 1 - 0.999)
        scale = torch._foreach_sqrt(self.squares)
        torch._foreach_add_(scale, 1e-8)
        torch._foreach_addcdiv_(self.parameters, self.velocity, scale, -rate)


def predict(model: nn.Module, x: np.ndarray, batch_size: int = 256) -> np.ndarray:
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
    with in_inference_mode(model), torch.inference_mode():
        parts = [model(_to_tensor(x[i : i + batch_size])) for i in range(0, len(x), batch_size)]
    whole = torch.cat(parts)
    return (whole.permute(0, 2, 3, 1) if whole.ndim == 4 else whole).numpy()


def evaluate(
    model: nn.Module, x: np.ndarray, y: np.ndarray, batch_size: int = 256
) -> tuple[float, float]:
    """Return mean cross-entropy in nats and accuracy in [0, 1], in inference mode.

    Parameters
    ----------
    x: as for :func:`predict`. y: integer labels for each example, step or pixel; -1 does not count.

    Raises
    ------
    ValueError: examples or labels of the wrong form.
    """
    logits = torch.from_numpy(predict(model, x, batch_size)).movedim(-1, 1)
    check_labels("test", x, y, logits.shape[1])
    labels = torch.from_numpy(np.asarray(y, dtype=np.int64))
    loss = F.cross_entropy(logits, labels, ignore_index=-1).item()
    return loss, float((logits.argmax(1) == labels)[labels >= 0].float().mean())


def _to_tensor(x: np.ndarray) -> Tensor:
    """An array as a tensor; images (N, H, W, C) become (N, C, H, W) in the order of their bytes.

    Convolutions like that order of memory.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(to_model_dtype(np.asarray(x))))
    return tensor.permute(0, 3, 1, 2) if tensor.ndim == 4 else tensor

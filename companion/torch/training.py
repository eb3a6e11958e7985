"""Training in plain PyTorch, with the recipe that both frameworks share."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from companion import _checks
from companion.checkpoint import Checkpoint, History
from companion.recipe import (
    Recipe,
    batches,
    check_batch_size,
    check_classes,
    check_precision,
    check_training,
    divergence_error,
)
from companion.torch._devices import (
    first_float,
    own_generators,
    random_states,
    set_random_states,
)
from companion.torch.distributed import World, checksum, current_world, data_parallel
from companion.torch.layers import in_training_mode
from companion.torch.optimizers import Optimizer, OwnOptimizer, choose_optimizer, make_optimizer
from companion.torch.prediction import (
    accuracy,
    as_array,
    channels_second,
    in_32_bits,
    numpy_dtype,
    predict,
    to_array,
    to_tensor,
)


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
    **settings: Any,
) -> History:
    """Train ``model`` on the training part of ``data``.

    It is trained on its own device and in its own precision: ``model.double()`` is all for float64.
    That may be float64, float32 or bfloat16; losses are computed in 32 bits at least.
    In several processes that have joined one group of ``torch.distributed``, each trains its shard
    of every batch: see ``companion.torch.distributed``.

    Parameters
    ----------
    model: maps a batch to logits, or to numbers where the loss is a squared error. It is trained
        in place. Parameters that want no gradient stay as they are. So do modules in evaluation
        mode, in which a batch norm keeps its statistics; where all modules are, all are trained.
        Afterwards each is in the mode in which it was given.
    data: has ``x_train``, ``y_train`` and ``num_classes``, as :func:`companion.data.mnist` returns
        it, arrays or tensors: images (N, H, W, C), sequences (N, T, C), vectors (N, C) or tokens
        (N, T), and a label for each example, step or pixel, -1 for one to ignore. Where the loss is
        a squared error, ``y_train`` holds what the model is to return, channels last. It stays as
        it is.
    progress: whether to show a bar on stderr, default True; of several processes rank 0 shows it.
    resume: of an interrupted run with the same settings, from :func:`train`. It goes on from there
        and ends as it would have without the interruption, bit for bit at the same number of
        threads and processes. It may go on on another device, whose rounding and random numbers
        are its own. Default None: a run from the start. Rank 0's is everybody's.
    settings: fields of :class:`companion.recipe.Recipe`: epochs, batch_size, learning_rate,
        weight_decay, label_smoothing, shift, seed, optimizer, loss, precision,
        learning_rate_factors. ``batch_size`` is that of all processes together. ``optimizer`` may
        be a ``torch.optim.Optimizer`` over the model's parameters instead of a name. It decays
        weights and groups parameters as it was told; in every step the cycle multiplies the
        learning rate of each group, its peak, which the group has again afterwards. To resume,
        give one with the same settings.

    Returns
    -------
    History with one entry per epoch, those before ``resume`` included.

    Raises
    ------
    ValueError: settings, examples or labels out of their range, a model in float16, an optimizer
        whose parameters are not those that are trained, or given a rate beside its own, a batch
        that the processes cannot share equally, inputs that differ between processes, or a
        checkpoint of another run, model or framework; nothing has been trained then.
    FloatingPointError: the loss became NaN or infinite.
    """
    history = History() if resume is None else resume.history
    for checkpoint in train(model, data, progress=progress, resume=resume, **settings):
        history = checkpoint.history
    return history


def train(
    model: nn.Module,
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
    world, (recipe, own) = current_world(), choose_optimizer(model, settings)
    x, y = _checked(model, data, recipe, world)
    resume = world.broadcast_object(resume)
    optimizer = make_optimizer(model, recipe, own)
    history = History() if resume is None else resume.history
    steps = len(x) // recipe.batch_size
    if resume is not None:
        _restore(model, optimizer, resume, recipe, steps)
    network = model if world.size == 1 else data_parallel(model)
    bar = tqdm(
        total=recipe.epochs * steps,
        initial=len(history.loss) * steps,
        unit="step",
        disable=None if progress and world.rank == 0 else True,
    )
    with bar:
        for epoch in range(len(history.loss), recipe.epochs):
            start, total_loss, total_accuracy = time.perf_counter(), 0.0, 0.0
            if world.size > 1:  # each process draws its own numbers, the same in every run
                rng = np.random.default_rng([recipe.seed, epoch, world.rank])
                torch.manual_seed(int(rng.integers(2**63)))
            with in_training_mode(network):
                for step, (inputs, targets) in enumerate(batches(x, y, recipe, epoch)):
                    rate = recipe.rate(epoch * steps + step, recipe.epochs * steps)
                    share = _share(targets, recipe, world)
                    with _precision(recipe, model):
                        output = network(to_tensor(world.shard(inputs), model))
                        loss, accuracy = _loss_and_accuracy(output, world.shard(targets), recipe)
                    value, accuracy = world.all_reduce(share * loss.item(), share * accuracy)
                    if not math.isfinite(value):
                        raise divergence_error(value, epoch, step, rate * optimizer.peak)
                    (loss * (share * world.size)).backward()  # the processes' mean is the loss
                    optimizer.step(rate)
                    total_loss += value
                    total_accuracy += accuracy
                    bar.update()
            seconds, rate = time.perf_counter() - start, rate * optimizer.peak
            history = history.append(total_loss / steps, total_accuracy / steps, seconds, rate)
            bar.set_postfix(loss=f"{history.loss[-1]:.3f}")
            yield Checkpoint(recipe, history, _arrays(model, optimizer))


def _checked(
    model: nn.Module, data: Any, recipe: Recipe, world: World
) -> tuple[np.ndarray, np.ndarray]:
    """Return the training part, ready for the model; raise unless all that is given fits."""
    if any(p.dtype == torch.float16 for p in model.parameters() if p.requires_grad):
        raise ValueError(
            "model must be trained in float64, float32 or bfloat16, got parameters in float16, in "
            "which gradients vanish or overflow"
        )
    check_precision(recipe, numpy_dtype(model))
    given = {n: getattr(data, n) for n in ("x_train", "y_train", "num_classes") if hasattr(data, n)}
    arrays = {n: as_array(v) if isinstance(v, Tensor) else v for n, v in given.items()}
    x, y = check_training(SimpleNamespace(**arrays), recipe, numpy_dtype(model))
    if world.size > 1:
        parts = {**model.state_dict(), **dict(model.named_parameters())}
        world.check_same_inputs(
            {
                "settings": recipe.as_dict(),
                "training data": checksum(x, y),
                "model": {n: (str(t.dtype), t.requires_grad, *t.shape) for n, t in parts.items()},
            }
        )
    check_batch_size(recipe, world.size)
    if recipe.loss == "cross_entropy":
        logits = predict(model, x[:1])
        check_classes(logits.shape[-1], data.num_classes)
    return x, y


def _precision(recipe: Recipe, model: nn.Module) -> AbstractContextManager[Any]:
    """Return what lets the operations within compute in the recipe's precision."""
    if recipe.precision == "float32":
        return nullcontext()  # and not a disabled autocast: the caller may have one
    return torch.autocast(first_float(model).device.type, torch.bfloat16)


def _share(targets: np.ndarray, recipe: Recipe, world: World) -> float:
    """Return how much of the whole batch's mean is over this process's shard: 1 where alone."""
    if recipe.loss == "squared_error":
        return 1 / world.size
    return int((world.shard(targets) >= 0).sum()) / max(1, int((targets >= 0).sum()))


def _loss_and_accuracy(output: Tensor, targets: np.ndarray, recipe: Recipe) -> tuple[Tensor, float]:
    """Return the mean loss and the accuracy, over labels that are not ignored (-1)."""
    output = in_32_bits(output)
    if recipe.loss == "squared_error":
        return F.mse_loss(output, channels_second(torch.from_numpy(targets).to(output))), 0.0
    if not (targets >= 0).any():  # the mean over nothing would not be a number
        return output.sum() * 0, 0.0
    labels = torch.from_numpy(targets).to(output.device)
    logits = output.movedim(1 if output.ndim == 4 else -1, 1)  # images have classes there already
    loss = F.cross_entropy(logits, labels, ignore_index=-1, label_smoothing=recipe.label_smoothing)
    return loss, accuracy(logits, labels)


def _state_tensors(model: nn.Module, optimizer: Optimizer | OwnOptimizer) -> dict[str, Tensor]:
    """Return all that a step changes, by name, but for the random generators."""
    model_state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    return model_state | {f"optimizer.{name}": t for name, t in optimizer.state().items()}


def _arrays(model: nn.Module, optimizer: Optimizer | OwnOptimizer) -> dict[str, np.ndarray]:
    """Return copies of all that a step changes, and of the states of the random generators."""
    devices = own_generators(first_float(model).device)
    names = ["generator", *(f"generator.{device.type}" for device in devices)]
    generators = dict(zip(names, random_states(devices), strict=True))
    tensors = _state_tensors(model, optimizer) | generators
    return {name: to_array(tensor).copy() for name, tensor in tensors.items()}


@torch.no_grad()
def _restore(
    model: nn.Module,
    optimizer: Optimizer | OwnOptimizer,
    resume: Checkpoint,
    recipe: Recipe,
    steps: int,
) -> None:
    """Put model, optimizer and generators where the checkpoint has them; raise unless it fits."""
    # Generators of another device are of no use here. An optimizer of the caller's, which has no
    # state before its first step, cannot be asked what it will have.
    but = ("generator.", *(["optimizer."] if isinstance(optimizer, OwnOptimizer) else []))
    resume.check(recipe, _arrays(model, optimizer), but)
    tensors = {name: torch.from_numpy(array) for name, array in resume.arrays.items()}
    for name, tensor in model.state_dict().items():
        tensor.copy_(tensors[f"model.{name}"])
    of_optimizer = {n: t for n, t in tensors.items() if n.startswith("optimizer.")}
    optimizer.restore(
        {n.removeprefix("optimizer."): t for n, t in of_optimizer.items()}, resume.epoch * steps
    )
    devices = own_generators(first_float(model).device)
    devices = [device for device in devices if f"generator.{device.type}" in tensors]
    states = [tensors[n] for n in ("generator", *(f"generator.{d.type}" for d in devices))]
    set_random_states(devices, states)

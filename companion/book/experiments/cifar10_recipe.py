"""The recipe of He et al. 2015, section 4.2, in either framework, with checkpoints on the way.

It is not that of :mod:`companion.recipe`, which has one cycle of the learning rate, Nesterov's
momentum and decoupled weight decay. Both frameworks get the same batches.
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from companion import _checks, _files
from companion.book.experiments.cifar10_images import Images
from companion.recipe import shifted


@dataclass(frozen=True)
class PaperRecipe:
    """SGD with momentum on shifted and mirrored images, and two divisions of the rate by ten.

    Parameters
    ----------
    steps: default the paper's 64,000. The rate falls after a half and after three quarters.
    warm_up: steps at a tenth of the rate, default none. The paper takes about 400 for 110 layers.
    batch_size, learning_rate, momentum, weight_decay, shift: the paper's. Weight decay is part of
        the gradient, of all parameters. A shift by up to 4 pixels, zeros moving in, is the paper's
        crop of an image padded by 4.
    """

    steps: int = 64_000
    warm_up: int = 0
    batch_size: int = 128
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    shift: int = 4

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, from 0 on."""
        if step < self.warm_up:
            return self.learning_rate / 10
        falls = (2 * step >= self.steps) + (4 * step >= 3 * self.steps)
        return self.learning_rate / 10**falls

    def batch(self, images: Images, seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the images and labels of a step; they depend on nothing before it."""
        epoch, place = divmod(step, len(images.x_train) // self.batch_size)
        order = np.random.default_rng([seed, epoch]).permutation(len(images.x_train))
        chosen = order[place * self.batch_size : (place + 1) * self.batch_size]
        rng = np.random.default_rng([seed, epoch, place])
        x = shifted(images.x_train[chosen], self.shift, rng)
        mirrored = rng.random(len(x)) < 0.5
        x[mirrored] = x[mirrored, :, ::-1]
        return x, images.y_train[chosen]


class TorchLearner:
    """A network in PyTorch, on a device, with its optimizer."""

    def __init__(self, model: Any, recipe: PaperRecipe, device: str) -> None:
        import torch

        self.model = model.to(device)
        settings = {"momentum": recipe.momentum, "weight_decay": recipe.weight_decay}
        self.optimizer = torch.optim.SGD(model.parameters(), recipe.learning_rate, **settings)
        for p in model.parameters():  # else there is nothing to restore before the first step
            self.optimizer.state[p]["momentum_buffer"] = torch.zeros_like(p)

    def step(self, x: np.ndarray, y: np.ndarray, rate: float) -> Any:
        """Take a step; return the loss, still on the device."""
        import torch
        from torch.nn.functional import cross_entropy

        from companion.torch.prediction import to_tensor

        self.model.train()
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad()
        logits = self.model(to_tensor(x, self.model))
        loss = cross_entropy(logits, torch.from_numpy(y).to(logits.device))
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def _tensors(self) -> dict[str, Any]:
        found = {f"model.{name}": t for name, t in self.model.state_dict().items()}
        for i, p in enumerate(self.model.parameters()):
            found[f"velocity.{i}"] = self.optimizer.state[p]["momentum_buffer"]
        return found

    def arrays(self) -> dict[str, np.ndarray]:
        """Return copies of all that a step changes."""
        return {name: t.detach().cpu().numpy().copy() for name, t in self._tensors().items()}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take up where :meth:`arrays` was called."""
        import torch

        with torch.no_grad():
            for name, tensor in self._tensors().items():
                tensor.copy_(torch.from_numpy(arrays[name]))


class TensorFlowLearner:
    """A network in Keras, with the same steps as :class:`TorchLearner`."""

    def __init__(self, model: Any, recipe: PaperRecipe, device: str) -> None:
        import tensorflow as tf

        self.model = model
        weights = model.trainable_variables
        self.velocity = [tf.Variable(tf.zeros(w.shape)) for w in weights]

        @tf.function
        def step(x: Any, y: Any, rate: Any) -> Any:
            with tf.GradientTape() as tape:
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, model(x, training=True))
                loss = tf.reduce_mean(losses)
            gradients = tape.gradient(loss, weights)
            for w, v, g in zip(weights, self.velocity, gradients, strict=True):
                v.assign(recipe.momentum * v + g + recipe.weight_decay * w)
                w.assign_sub(rate * v)
            return loss

        self._step = step

    def step(self, x: np.ndarray, y: np.ndarray, rate: float) -> Any:
        """Take a step; return the loss, still on the device."""
        import tensorflow as tf

        return self._step(tf.constant(x), tf.constant(y), tf.constant(rate, tf.float32))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return copies of all that a step changes."""
        variables = [*self.model.variables, *self.velocity]
        return {f"variable.{i}": np.array(v.numpy()) for i, v in enumerate(variables)}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take up where :meth:`arrays` was called."""
        for i, variable in enumerate([*self.model.variables, *self.velocity]):
            variable.assign(arrays[f"variable.{i}"])


LEARNERS: dict[str, Callable[..., Any]] = {"torch": TorchLearner, "tensorflow": TensorFlowLearner}


@contextmanager
def placed(framework: str, device: str, threads: int) -> Iterator[None]:
    """Let networks of the framework compute on the device within the block.

    Raises
    ------
    ValueError: a device that the framework does not know, or that is not here.
    """
    if framework == "torch":
        torch = importlib.import_module("torch")
        name, _, index = device.partition(":")
        _checks.option("device", name, ("cpu", "cuda", "mps"))
        cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
        mps = torch.backends.mps.is_available()
        there = {"cpu": True, "cuda": cards > 0, "mps": mps}[name]
        if index:
            there = name == "cuda" and index.isdigit() and int(index) < cards
    else:
        tf = importlib.import_module("tensorflow")
        _checks.option("device", device, ("cpu", "cuda"))
        there = device == "cpu" or bool(tf.config.list_physical_devices("GPU"))
    if not there:
        raise ValueError(f"device must be one that {framework} finds here, got {device!r}")
    importlib.import_module(f"companion.{framework}").use_threads(threads)
    if framework == "torch":
        yield
        return
    with tf.device("/CPU:0" if device == "cpu" else "/GPU:0"):
        yield


def train(
    learner: Any, recipe: PaperRecipe, images: Images, seed: int, stored: Path, every: int
) -> dict[str, Any]:
    """Train, from the checkpoint where there is one; return mean losses and seconds.

    Parameters
    ----------
    stored: of the checkpoint, which stays when the run is over. every: steps between two of them.

    Returns
    -------
    ``losses``: mean training loss of each stretch between checkpoints. ``seconds``: wall time.

    Raises
    ------
    ValueError: a checkpoint of another run.
    FloatingPointError: the loss is no number any more.
    """
    about: dict[str, Any] = {"step": 0, "losses": [], "seconds": 0.0}
    run = {**asdict(recipe), "seed": seed, "every": every, "images": len(images.x_train)}
    if stored.is_file():
        arrays = _files.read_arrays(stored)
        about = json.loads(str(arrays.pop("about")))
        if about.pop("run") != run:
            raise ValueError(f"resume must have the settings of the run in {stored}, got {run}")
        learner.restore(arrays)
    while about["step"] < recipe.steps:
        start, end = time.perf_counter(), min(about["step"] + every, recipe.steps)
        losses = [
            learner.step(*recipe.batch(images, seed, step), recipe.rate(step))
            for step in range(about["step"], end)
        ]
        loss = float(np.mean([float(value) for value in losses]))
        if not np.isfinite(loss):
            raise FloatingPointError(f"the loss became {loss} before step {end}")
        about["losses"].append(round(loss, 5))
        about["seconds"] += time.perf_counter() - start
        about["step"] = end
        text = np.array(json.dumps({**about, "run": run}))
        _files.write_arrays(stored, {"about": text, **learner.arrays()})
    return {"losses": about["losses"], "seconds": round(about["seconds"], 1)}

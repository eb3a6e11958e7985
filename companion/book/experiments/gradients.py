"""How level the gradients of batch-normalised networks are, before and during training, by depth.

The networks, data, rates and batches of depth.py: digits of 14 x 14 pixels, four epochs of one
cycle, three seeds. At the start, after 1, 4 and 16 steps and after each epoch, on one fixed batch
in training mode: the gradient at the first layer over that at the last, by three measures, and the
length of the first convolution's weight. At 32 layers the runs are repeated with every
convolution's weight brought back to its first length after each step, which changes no output,
since a batch norm follows. About six minutes on one core.

    python -m companion.book.experiments.gradients
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import companion.torch as ct
from companion.book import results
from companion.book.experiments import common
from companion.data import Dataset, mnist

SEEDS = (0, 1, 2)
DEPTHS = (8, 20, 32, 44, 56)
EPOCHS = 4
LOOKS = (0, 1, 4, 16, 62, 124, 186, 248)


def convolutions(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights of all convolutions, first to last; a batch norm follows each."""
    return [p for p in model.parameters() if p.ndim == 4]


def measured(model: ct.ResNet, x: Tensor, y: Tensor) -> dict[str, float]:
    """Return first over last of gradients: of weights, times weights' length, of streams."""
    kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
    streams: list[Tensor] = []
    ends = (model.stem, model.stages[-1][-1])
    handles = [m.register_forward_hook(lambda m, i, out: streams.append(out)) for m in ends]
    loss = F.cross_entropy(model.train()(x), y)
    for handle in handles:
        handle.remove()
    first, *_, last = convolutions(model)
    a, b, s, t = (float(g.norm()) for g in torch.autograd.grad(loss, [first, last, *streams]))
    with torch.no_grad():
        for name, buffer in model.named_buffers():  # looking changes no running statistics
            buffer.copy_(kept[name])
        lengths = float(first.norm()), float(last.norm())
    return {
        "first_over_last": a / b,
        "scaled_first_over_last": a * lengths[0] / (b * lengths[1]),
        "stream_first_over_last": s / t,
        "first_length": lengths[0],
    }


def run(
    depth: int,
    residual: bool,
    rate: float,
    keep_lengths: bool,
    seed: int,
    data: Dataset,
    batch: tuple[Tensor, Tensor],
) -> dict[str, Any]:
    model = ct.cifar_resnet(depth, width=8, residual=residual, in_channels=1, seed=seed)
    lengths = [float(w.detach().norm()) for w in convolutions(model)]
    found: list[dict[str, float]] = []
    taken, looking = 0, False

    def look() -> None:
        nonlocal looking
        looking = True
        found.append(measured(model, *batch))
        looking = False

    def before_a_step(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal taken
        if looking or not torch.is_grad_enabled():
            return
        if keep_lengths:
            with torch.no_grad():
                for weight, length in zip(convolutions(model), lengths, strict=True):
                    weight *= length / weight.norm()
        if taken in LOOKS:
            look()
        taken += 1

    handle = model.register_forward_pre_hook(before_a_step)
    settings = {"batch_size": 64, "learning_rate": rate, "seed": seed}
    history = ct.fit(model, data, epochs=EPOCHS, progress=False, **settings)
    handle.remove()
    look()
    columns = {key: [float(f"{row[key]:.4g}") for row in found] for key in found[0]}
    accuracy = ct.evaluate(model, data.x_train, data.y_train)[1]
    return {
        "steps": list(LOOKS),
        **columns,
        "last_epoch_loss": round(history.loss[-1], 4),
        "train_accuracy": round(accuracy, 4),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    small = mnist().downsampled()
    x = torch.from_numpy(small.x_train[:128]).permute(0, 3, 1, 2)
    batch = x, torch.from_numpy(small.y_train[:128])
    runs = common.Runs("gradients", __file__)
    arms = [(depth, residual, False) for depth in DEPTHS for residual in (True, False)]
    for depth, residual, keep_lengths in (*arms, (32, False, True)):
        chosen = {"framework": "torch", "depth": depth, "residual": residual}
        rate = float(results.column("depth", "learning_rate", **chosen)[0])
        for seed in SEEDS:
            place = {"depth": depth, "residual": residual, "keep_lengths": keep_lengths}
            runs.row(
                lambda place=place, rate=rate, seed=seed: run(
                    **place, rate=rate, seed=seed, data=small, batch=batch
                ),
                **place,
                learning_rate=rate,
                seed=seed,
            )
    runs.store()

"""How level the gradients of batch-normalised networks are, before and during training, by depth.

The 5,000 MNIST images averaged to 7 x 7 pixels, four epochs of one cycle, three seeds. After each
epoch: the gradient of the first and the last convolution's weights on one fixed batch, in training
mode. About five minutes on one core.

    python -m companion.book.experiments.gradients
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

import companion.torch as ct
from companion.book.experiments import common
from companion.data import mnist
from companion.torch import probes

SEEDS = (0, 1, 2)
DEPTHS = (8, 20, 32, 44, 56)
EPOCHS = 4


def level(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> dict[str, float]:
    """Gradients by convolution: first over last, and largest over smallest."""
    kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
    norms = probes.gradient_norms(model.train(), lambda: F.cross_entropy(model(x), y))
    for name, buffer in model.named_buffers():  # looking changes no running statistics
        buffer.copy_(kept[name])
    sizes = [size for name, size in norms.items() if "conv" in name]
    return {
        "first": float(f"{sizes[0]:.4g}"),
        "first_over_last": float(f"{sizes[0] / sizes[-1]:.4g}"),
        "largest_over_smallest": float(f"{max(sizes) / min(sizes):.4g}"),
    }


def run(depth: int, residual: bool, seed: int, data, x, y) -> list[dict]:
    model = ct.cifar_resnet(depth, width=8, residual=residual, in_channels=1, seed=seed)
    settings = {"epochs": EPOCHS, "batch_size": 64, "learning_rate": 0.1, "seed": seed}
    steps, found, looking = len(data.x_train) // 64, [], False
    taken = 0

    def look() -> None:
        nonlocal looking
        looking = True
        place = {"depth": depth, "residual": residual, "seed": seed, "epoch": len(found)}
        found.append({**place, **level(model, x, y)})
        print(found[-1], flush=True)
        looking = False

    def before_a_step(module: torch.nn.Module, inputs: tuple) -> None:
        nonlocal taken
        if not looking:
            if taken % steps == 0:  # the start of an epoch
                look()
            taken += 1

    handle = model.register_forward_pre_hook(before_a_step)
    ct.fit(model, data, progress=False, **settings)
    handle.remove()
    look()
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    tiny = mnist().downsampled(2)
    x = torch.from_numpy(tiny.x_train[:128]).permute(0, 3, 1, 2)
    y = torch.from_numpy(tiny.y_train[:128])
    rows: list[dict] = []
    for depth in DEPTHS:
        for residual in (True, False):
            for seed in SEEDS:
                rows += run(depth, residual, seed, tiny, x, y)
    common.store("gradients", "companion/book/experiments/gradients.py", rows)

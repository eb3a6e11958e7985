"""What freed memory costs that stays with the process: its size, and the time of a training step.

Each run is a process of its own that trains for some steps, with batches of one shape or of shapes
drawn anew for each step; three seeds. `grown` is the most memory that the process held, less what
it held before the first step; `left` what of it remains once nothing is in use any more. Linux
with glibc; about 5 minutes on one core.

    python -m companion.book.experiments.kept_memory
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from statistics import median

import numpy as np
import torch

from companion.allocator import keep_freed_memory
from companion.book.bench.torch import images, step
from companion.book.experiments import common
from companion.torch.networks import cifar_resnet, resnet18

SEEDS = (0, 1, 2)
#: name: how to build it, the largest batch, the largest side of an image, steps.
NETWORKS = {
    "cifar20": (lambda seed: cifar_resnet(20, seed=seed), 32, 32, 20),
    "cifar110": (lambda seed: cifar_resnet(110, seed=seed), 32, 32, 20),
    "resnet18": (lambda seed: resnet18(seed=seed), 16, 224, 8),
}


def resident() -> int:
    """Return the bytes of memory that the process holds now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def trained(name: str, shapes: str, kept: bool, seed: int) -> dict[str, float]:
    """Train in this process; return the bytes it grew by and has left, and a step's CPU seconds."""
    torch.set_num_threads(1)
    if kept and not keep_freed_memory():
        raise RuntimeError("the C library of this system cannot be told to keep freed memory")
    network, largest, widest, steps = NETWORKS[name]
    model = network(seed)
    parameters = list(model.parameters())
    step(model, parameters, images(2, widest // 2))()  # what is made once, at the first step
    before, seconds = resident(), []
    rng = np.random.default_rng(seed)
    for i in range(steps):
        batch, side = largest, widest
        if i and shapes == "drawn":  # the first is the largest in either case
            batch, side = rng.integers(2, largest + 1), rng.integers(widest // 2, widest + 1)
        call = step(model, parameters, images(int(batch), int(side)))
        with common.cpu_seconds() as spent:
            call()
        seconds += spent
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"grown": most - before, "left": resident() - before, "seconds": median(seconds[1:])}


def elsewhere(*arguments: object) -> dict[str, float]:
    """Return what `trained` does, of a process of its own."""
    command = [sys.executable, "-m", "experiments.kept_memory", json.dumps(arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(json.dumps(trained(*json.loads(sys.argv[1]))))
        sys.exit()
    rows: list[dict] = []
    for name in NETWORKS:
        for shapes in ("equal", "drawn"):
            for seed in SEEDS:
                for kept in (False, True):
                    found = elsewhere(name, shapes, kept, seed)
                    common.noted(rows, network=name, shapes=shapes, seed=seed, kept=kept, **found)
    common.store("kept_memory", "companion/book/experiments/kept_memory.py", rows)

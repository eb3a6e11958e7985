"""Where a strided 1x1 convolution kills its process: by framework, processor, size and channels.

For each kind of instructions that oneDNN may use, each layout, sides of 8 to 224 pixels and 1 to 16
incoming channels: a process of its own computes the output, another the gradient of the input, a
third that of the weights, and NumPy computes the same again in float64. A process is right if they
agree to 1e-4 of the largest number, wrong if they do not, and crashed if a signal ended it: memory
that is overwritten can also make it run on, so that one comes after 20 seconds of CPU time. A row
has the channels of all that are not right. About 6 minutes on one core; the processor must have
AVX-512, or the row "its own" repeats another.

    python -m companion.book.experiments.strided
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys

import numpy as np

from companion.book.experiments import common

#: What oneDNN is told to use at most; without a word it uses the best that the processor has.
INSTRUCTIONS = {"its own": None, "AVX2": "AVX2", "SSE4.1": "SSE41"}
LAYOUTS = ("TensorFlow", "PyTorch, channels last", "PyTorch, channels first")
PARTS = ("output", "gradient of the input", "gradient of the weights")
SIDES = (8, 16, 32, 64, 128, 224)
CHANNELS = (1, 2, 3, 7, 8, 12, 15, 16)
BATCH, LEAVING = 2, 16
AGREE, FAILED, SECONDS = 1e-4, 3, 20


def in_tensorflow(part: str, x: np.ndarray, w: np.ndarray, g: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    x, w, g = (tf.constant(array) for array in (x, w, g))
    asked = x if part == PARTS[1] else w  # and yet TensorFlow computes both gradients
    with tf.GradientTape() as tape:
        tape.watch(asked)
        y = tf.nn.conv2d(x, w[None, None], 2, "VALID")
        loss = tf.reduce_sum(y * g)
    if part == "output":
        return y.numpy()
    return tape.gradient(loss, asked).numpy()


def in_pytorch(part: str, x: np.ndarray, w: np.ndarray, g: np.ndarray, last: bool) -> np.ndarray:
    import torch

    order = torch.channels_last if last else torch.contiguous_format
    x, g = (torch.from_numpy(a).permute(0, 3, 1, 2).contiguous(memory_format=order) for a in (x, g))
    w = torch.from_numpy(w)
    x.requires_grad_(part == PARTS[1])
    w.requires_grad_(part == PARTS[2])
    y = torch.nn.functional.conv2d(x, w.T[:, :, None, None], None, 2)
    if part != "output":
        y.backward(g)
    found = {PARTS[0]: y.detach(), PARTS[1]: x.grad, PARTS[2]: w.grad}[part]
    return (found.permute(0, 2, 3, 1) if found.ndim == 4 else found).numpy()


def error(layout: str, part: str, side: int, channels: int) -> float:
    """Return the largest error of what is computed, over the largest of its numbers."""
    rng = np.random.default_rng([side, channels])
    half = -(-side // 2)
    shapes = (BATCH, side, side, channels), (channels, LEAVING), (BATCH, half, half, LEAVING)
    x, w, g = (rng.standard_normal(shape, np.float32) for shape in shapes)
    if layout == "TensorFlow":
        found = in_tensorflow(part, x, w, g)
    else:
        found = in_pytorch(part, x, w, g, last=layout.endswith("last"))
    x, w, g = (array.astype(np.float64) for array in (x, w, g))
    if part == "output":
        true = x[:, ::2, ::2] @ w
    elif part == "gradient of the input":
        true = np.zeros_like(x)
        true[:, ::2, ::2] = g @ w.T
    else:
        true = np.tensordot(x[:, ::2, ::2], g, ((0, 1, 2), (0, 1, 2)))
    return abs(found - true).max() / abs(true).max()


def outcome(*case: object) -> str:
    """Return what became of a process that computes a case.

    It is a copy of this one, which has the framework imported and has computed nothing.
    """
    process = os.fork()
    if process == 0:
        status = FAILED
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))  # a signal ends it
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the allocator's last words
            status = 0 if error(*case) < AGREE else 1
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if status == FAILED:
        raise RuntimeError(f"no number came of {case}")
    return "crashed" if status < 0 else "wrong" if status else "right"


def tell(layout: str) -> None:
    """Print the rows of a layout, with the instructions that the environment names."""
    importlib.import_module("tensorflow" if layout == "TensorFlow" else "torch")
    for part in PARTS:
        for side in SIDES:
            became = {channels: outcome(layout, part, side, channels) for channels in CHANNELS}
            row = {
                kind: [channels for channels, found in became.items() if found == kind]
                for kind in ("crashed", "wrong")
            }
            print(json.dumps({"layout": layout, "part": part, "side": side, **row}), flush=True)


def rows_of(name: str, layout: str) -> list[dict]:
    environment = dict(os.environ, TF_ENABLE_ONEDNN_OPTS="1", OMP_NUM_THREADS="1")
    environment.pop("ONEDNN_MAX_CPU_ISA", None)
    if INSTRUCTIONS[name]:
        environment["ONEDNN_MAX_CPU_ISA"] = INSTRUCTIONS[name]
    command = [sys.executable, "-m", "companion.book.experiments.strided", layout]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


if __name__ == "__main__":
    if len(sys.argv) == 2:
        tell(sys.argv[1])
        sys.exit()
    rows: list[dict] = []
    for name in INSTRUCTIONS:
        for layout in LAYOUTS:
            for row in rows_of(name, layout):
                common.noted(rows, instructions=name, **row)
    common.store(
        "strided",
        "companion/book/experiments/strided.py",
        rows,
        channels=CHANNELS,
        sides=SIDES,
    )

"""Where the gradient of a strided 1x1 convolution's weights is wrong: by framework and processor.

For each kind of instructions that oneDNN may use, each layout and 1 to 12 incoming channels: a
process of its own computes the gradient at several sizes, which NumPy computes again in float64. A
run is right if every one agrees to 1e-4 of the largest, wrong if one does not, and crashed if the
process was killed before it had told. About 5 minutes on one core; the processor must have AVX-512,
or the row "its own" repeats another.

    python -m companion.book.experiments.strided
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

from companion.book.experiments import common

#: What oneDNN is told to use at most; without a word it uses the best that the processor has.
INSTRUCTIONS = {"its own": None, "AVX2": "AVX2", "SSE4.1": "SSE41"}
LAYOUTS = ("TensorFlow", "PyTorch, channels last", "PyTorch, channels first")
CHANNELS = range(1, 13)
SIDES, BATCHES, SEEDS, LEAVING = (8, 9, 16, 32), (4, 32), (0, 1, 2), 16
AGREE = 1e-4


def in_tensorflow(x: np.ndarray, w: np.ndarray, g: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    x, w, g = (tf.constant(array) for array in (x, w, g))
    with tf.GradientTape() as tape:
        tape.watch(w)
        loss = tf.reduce_sum(tf.nn.conv2d(x, w[None, None], 2, "VALID") * g)
    return tape.gradient(loss, w).numpy()


def in_pytorch(x: np.ndarray, w: np.ndarray, g: np.ndarray, last: bool) -> np.ndarray:
    import torch

    order = torch.channels_last if last else torch.contiguous_format
    x, g = (torch.from_numpy(a).permute(0, 3, 1, 2).contiguous(memory_format=order) for a in (x, g))
    w = torch.from_numpy(w).requires_grad_()
    torch.nn.functional.conv2d(x, w.T[:, :, None, None], None, 2).backward(g)
    return w.grad.numpy()


def errors(layout: str, channels: int) -> None:
    """Print the largest error of each gradient, over the largest of its numbers."""
    for side in SIDES:
        for batch in BATCHES:
            for seed in SEEDS:
                rng = np.random.default_rng(seed)
                half = -(-side // 2)
                shapes = (
                    (batch, side, side, channels),
                    (channels, LEAVING),
                    (batch, half, half, LEAVING),
                )
                x, w, g = (rng.standard_normal(shape, np.float32) for shape in shapes)
                if layout == "TensorFlow":
                    found = in_tensorflow(x, w, g)
                else:
                    found = in_pytorch(x, w, g, last=layout.endswith("last"))
                read = x[:, ::2, ::2].astype(np.float64)
                true = np.einsum("nhwi,nhwo->io", read, g.astype(np.float64))
                print(abs(found - true).max() / abs(true).max(), flush=True)


def outcome(instructions: str | None, layout: str, channels: int) -> tuple[str, int]:
    """Return what became of a process that computes the gradients, and how many it told."""
    environment = dict(os.environ, TF_ENABLE_ONEDNN_OPTS="1")
    environment.pop("ONEDNN_MAX_CPU_ISA", None)
    if instructions:
        environment["ONEDNN_MAX_CPU_ISA"] = instructions
    command = [sys.executable, "-m", "experiments.strided", layout, str(channels)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode > 0:  # an error in Python; a signal is below 0
        raise RuntimeError(done.stderr)
    told = [float(line) for line in done.stdout.split()]
    if not all(error < AGREE for error in told):
        return "wrong", len(told)
    return "crashed" if done.returncode else "right", len(told)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        errors(sys.argv[1], int(sys.argv[2]))
        sys.exit()
    rows: list[dict] = []
    for name, value in INSTRUCTIONS.items():
        for layout in LAYOUTS:
            for channels in CHANNELS:
                became, told = outcome(value, layout, channels)
                common.noted(
                    rows,
                    instructions=name,
                    layout=layout,
                    channels=channels,
                    outcome=became,
                    gradients=told,
                )
    common.store("strided", "companion/book/experiments/strided.py", rows)

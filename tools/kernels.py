"""Train chapter 3's block as the page does, and write its kernels for the figure to draw on.

    python -m tools.kernels

Training rounds differently on another processor, so the numbers are those of the machine that
wrote the file last; they are kept, and the figure computes with them alone.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np

FILE = Path(__file__).resolve().parents[1] / "book" / "_static" / "live" / "digit" / "kernels.js"
HEAD = "/* Kernels and norms of the stem and the first block, and a digit: tools/kernels.py. */\n"


def trained() -> tuple[np.ndarray, np.ndarray, int]:
    """Return all weights in the network's order, a test digit (28, 28), its liveliest channel."""
    import torch

    import companion.torch
    from companion import data
    from companion.torch import probes

    companion.torch.use_threads(1)
    digits = data.mnist()
    model = companion.torch.mnist_resnet(seed=0)
    companion.torch.fit(model, digits, epochs=2, learning_rate=0.1, progress=False)
    model.eval()
    branch = next(iter(probes.residual_blocks(model).values())).branch
    layers = (
        (model.stem.conv, model.stem.norm),
        (branch.conv1, branch.norm1),
        (branch.conv2, branch.norm2),
    )
    arrays = [
        array
        for conv, norm in layers
        for array in (conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var)
    ]
    image = torch.from_numpy(digits.x_test[:1]).permute(0, 3, 1, 2)
    with torch.no_grad():
        channel = int(model.stem(image)[0].std((1, 2)).argmax()) + 1
    weights = np.concatenate([array.detach().numpy().ravel() for array in arrays])
    return weights.astype("<f4"), digits.x_test[0, :, :, 0], channel


def main() -> None:
    """Write the file of kernels."""
    weights, digit, channel = trained()
    pixels = np.round(255 * digit).astype(np.uint8)
    content = {
        "weights": base64.b64encode(weights.tobytes()).decode(),
        "digit": base64.b64encode(pixels.tobytes()).decode(),
        "channel": channel,
    }
    FILE.write_text(f"{HEAD}window.companionKernels = {json.dumps(content)};\n", "utf-8")


if __name__ == "__main__":
    main()

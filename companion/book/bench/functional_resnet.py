"""A ResNet written as functions, to compare the one built from ``Residual`` with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from companion.torch.networks import ResNet


def functional_resnet(model: ResNet, counts: tuple[int, ...]) -> Callable[[Tensor, bool], Tensor]:
    """Return the network as one loop over tensors: no modules, no ``Residual``, no checks.

    Written from the layer names and table 1 of He et al. 2015 alone. It shares the model's
    parameters.

    Parameters
    ----------
    model: basic blocks or bottlenecks ("v1.5"), shortcut option A or B.
    counts: blocks of each stage.

    Returns
    -------
    A function of images (N, C, H, W), and whether norms use the batch's statistics (default not).
    """
    values = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    parts = ("running_mean", "running_var", "weight", "bias")

    def layer(at: str, conv: str, norm: str, stride: int) -> tuple[Any, ...]:
        weight = values[f"{at}.{conv}.weight"]
        statistics = [values[f"{at}.{norm}.{part}"] for part in parts]
        return weight, stride, weight.shape[-1] // 2, statistics

    stem = layer("stem", "conv", "norm", 2 if len(counts) == 4 else 1)
    blocks = []
    for stage, count in enumerate(counts):
        for i in range(count):
            at, stride = f"stages.{stage}.{i}", 2 if stage and not i else 1
            depth = 3 if f"{at}.branch.conv3.weight" in values else 2
            strides = {2 if depth == 3 else 1: stride}  # of a bottleneck, the 3x3
            branch = [
                layer(f"{at}.branch", f"conv{j}", f"norm{j}", strides.get(j, 1))
                for j in range(1, depth + 1)
            ]
            projected = f"{at}.shortcut.conv.weight" in values
            projection = layer(f"{at}.shortcut", "conv", "norm", stride) if projected else None
            blocks.append((branch, projection, stride))
    weight, bias = values["head.dense.weight"], values["head.dense.bias"]

    def convolved(x: Tensor, part: tuple[Any, ...], training: bool) -> Tensor:
        weight, stride, padding, (mean, variance, scale, shift) = part
        y = F.conv2d(x, weight, None, stride, padding)
        return F.batch_norm(y, mean, variance, scale, shift, training, 0.1, 1e-5)

    def forward(x: Tensor, training: bool = False) -> Tensor:
        x = F.relu(convolved(x, stem, training))
        if len(counts) == 4:
            x = F.max_pool2d(x, 3, 2, 1)
        for branch, projection, stride in blocks:
            y = x
            for part in branch[:-1]:
                y = F.relu(convolved(y, part, training))
            y = convolved(y, branch[-1], training)
            if projection is not None:
                x = convolved(x, projection, training)
            elif stride > 1:
                x = F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
            x = F.relu(x + y)
        return F.linear(x.mean((2, 3)), weight, bias)

    return forward

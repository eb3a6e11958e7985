"""A ResNet written as functions, to compare the one built from ``Residual`` with."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from companion.torch.networks import ResNet

Function = Callable[[Tensor, bool], Tensor]


def functional_resnet(model: ResNet) -> Function:
    """Return the network as one loop over tensors: no modules, no ``Residual``, no checks.

    Written from the layer names and table 1 of He et al. 2015 alone. It shares the model's
    parameters.

    Parameters
    ----------
    model: basic blocks or bottlenecks ("v1.5"), shortcut option A or B.

    Returns
    -------
    A function of images (N, C, H, W), and whether norms use the batch's statistics (default not).
    """
    values = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    parts = ("running_mean", "running_var", "weight", "bias")

    def layer(at: str, number: int | str = "", stride: int = 1) -> Function:
        kernel = values[f"{at}.conv{number}.weight"]
        mean, variance, scale, shift = (values[f"{at}.norm{number}.{part}"] for part in parts)

        def call(x: Tensor, training: bool) -> Tensor:
            y = F.conv2d(x, kernel, None, stride, kernel.shape[-1] // 2)
            return F.batch_norm(y, mean, variance, scale, shift, training, 0.1, 1e-5)

        return call

    def block(at: str, stride: int) -> tuple[list[Function], Function | None, int]:
        depth = 3 if f"{at}.branch.conv3.weight" in values else 2
        strides = {depth - 1: stride}  # of a bottleneck the 3x3, else the first
        branch = [layer(f"{at}.branch", n, strides.get(n, 1)) for n in range(1, depth + 1)]
        projected = f"{at}.shortcut.conv.weight" in values
        return branch, layer(f"{at}.shortcut", stride=stride) if projected else None, stride

    counts = [len(stage) for stage in model.stages]  # type: ignore[arg-type]
    large = len(counts) == 4  # of ImageNet
    stem = layer("stem", stride=2 if large else 1)
    blocks = [
        block(f"stages.{stage}.{i}", 2 if stage and not i else 1)
        for stage, count in enumerate(counts)
        for i in range(count)
    ]
    weight, bias = values["head.dense.weight"], values["head.dense.bias"]

    def forward(x: Tensor, training: bool = False) -> Tensor:
        x = F.relu(stem(x, training))
        if large:
            x = F.max_pool2d(x, 3, 2, 1)
        for (*first, last), shortcut, stride in blocks:
            y = x
            for part in first:
                y = F.relu(part(y, training))
            y = last(y, training)
            if shortcut is not None:
                x = shortcut(x, training)
            elif stride > 1:
                x = F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
            x = F.relu(x + y)
        return F.linear(x.mean((2, 3)), weight, bias)

    return forward

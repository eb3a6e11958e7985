"""What a network says of arrays, and how often it is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion import _checks
from companion.recipe import check_examples, check_labels
from companion.torch._devices import first_float, to_device_of
from companion.torch.layers import in_inference_mode


def predict(model: nn.Module, x: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Return what the model makes of x in inference mode: logits, mostly.

    Parameters
    ----------
    x: an array or a tensor: images (N, H, W, C), sequences (N, T, C), vectors (N, C) or tokens
        (N, T). Floats of any precision and integers; it is computed with on the model's device and
        in its precision, and stays as it is, also where the model works in place.
    batch_size: examples at a time, default 256.

    Returns
    -------
    (N, ...), channels or classes last, in the model's precision; float32 where that is bfloat16.

    Raises
    ------
    ValueError: x that is not a finite, non-empty batch, or a batch_size below 1.
    """
    x = check_examples("test", as_array(x), dtype=numpy_dtype(model))
    size = _checks.positive_int("batch_size", batch_size)
    # Not torch.inference_mode: there PyTorch keeps no count of what is written in place, and
    # Residual could not refuse a branch that overwrites its input.
    with in_inference_mode(model), torch.no_grad():
        batches = (x[i : i + size].copy() for i in range(0, len(x), size))
        whole = torch.cat([model(to_tensor(batch, model)).cpu() for batch in batches])
    return to_array(whole.permute(0, 2, 3, 1) if whole.ndim == 4 else whole)


def evaluate(
    model: nn.Module, x: np.ndarray, y: np.ndarray, batch_size: int = 256
) -> tuple[float, float]:
    """Return mean cross-entropy in nats and accuracy in [0, 1], in inference mode.

    Parameters
    ----------
    x: as for :func:`predict`.
    y: integer labels for each example, step or pixel; those of -1 are ignored.

    Raises
    ------
    ValueError: examples or labels of the wrong form.
    """
    x, y = as_array(x), as_array(y)
    logits = in_32_bits(torch.from_numpy(predict(model, x, batch_size))).movedim(-1, 1)
    labels = torch.from_numpy(check_labels("test", x, y, logits.shape[1]))
    loss = F.cross_entropy(logits, labels, ignore_index=-1).item()
    return loss, accuracy(logits, labels)


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the share of right labels among those that are not ignored; classes on axis 1."""
    return float((logits.argmax(1) == labels)[labels >= 0].float().mean())


def numpy_dtype(model: nn.Module) -> str:
    """Return the precision of the arrays that the model takes."""
    return "float64" if first_float(model).dtype == torch.float64 else "float32"


def to_tensor(x: np.ndarray, model: nn.Module) -> Tensor:
    """Return an array as a tensor that the model takes."""
    like, tensor = first_float(model), torch.from_numpy(np.ascontiguousarray(x))
    return channels_second(tensor.to(like.device, like.dtype if x.dtype.kind == "f" else None))


def channels_second(x: Tensor) -> Tensor:
    """Return images (N, H, W, C) as (N, C, H, W), and anything else as it is."""
    # Their bytes stay in order, which convolutions like.
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x


def as_array(x: Any) -> np.ndarray:
    """Return an array or a tensor as an array."""
    return to_array(x) if isinstance(x, Tensor) else np.asarray(x)


def watched_copy(module: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return a leaf with x's values that asks for a gradient, if floats can, and a copy of it.

    Both are on the module's device. The copy is for the module, which may write over it. The leaf
    then holds what came in.
    """
    leaf = to_device_of(module, x.detach()).clone()
    if leaf.is_floating_point():
        leaf.requires_grad_()
    return leaf, leaf.clone()


def in_32_bits(x: Tensor) -> Tensor:
    """Return floats of 16 bits as those of 32, in which sums and norms are safe; others as is."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def to_array(tensor: Tensor) -> np.ndarray:
    """Return a tensor as an array; NumPy has no bfloat16, and float32 holds it exactly."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()

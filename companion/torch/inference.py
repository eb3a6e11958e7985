"""A network made ready to be used and not to be trained: the same outputs in less time."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from companion import _checks
from companion._onnx import Sessions
from companion._precision import (
    PRECISIONS,
    RUNTIMES,
    calibration_images,
    check_dtypes,
    has_instructions,
    slow_message,
)
from companion.torch._folding import fold
from companion.torch._quantization import quantized
from companion.torch.export import export_onnx
from companion.torch.prediction import as_array, first_float


def optimize_for_inference(
    model: nn.Module,
    precision: str = "float32",
    calibration: np.ndarray | None = None,
    runtime: str = "framework",
) -> nn.Module:
    """Return a copy of a network that answers faster, for inference only.

    A batch norm that directly follows a convolution is folded into its weights; weights and
    activations lie in memory with channels last; additions and ReLUs write over the convolution
    before them. In float32 outputs agree to 1e-5 of the largest. In bfloat16 the logits of five
    networks trained on digits differ by about 1 %, in int8 by about 5 %, and their accuracy by
    0.006 at most (``companion/book/experiments/precision.py``). The book's page on costs has the
    times.

    Parameters
    ----------
    model: stays as it is, and keeps its mode. Norms before a convolution, as in pre-activation,
        cannot be folded and stay in the copy. Layers with hooks or parametrizations are not
        touched; hooks elsewhere would see values that are overwritten later, and so would a
        ``forward`` that calls the parts of a ``Sequential`` one by one and keeps what they return.
    precision: ``"float32"`` (default): that of the model, float64 too. ``"bfloat16"``: of weights
        and activations. ``"int8"``: of weights, a scale for each output channel, and of
        activations, a scale for each tensor (Jacob et al. 2018, arXiv 1712.05877), of whose 256
        numbers PyTorch uses 128 on x86, so that no sum overflows on older processors; for image
        networks that ``torch.fx`` can trace, on the CPU; other merges than addition, and what is
        no convolution, sum, ReLU, pooling or dense layer, stay in float32. A processor without
        instructions for it computes it more slowly than float32: a warning says so.
    calibration: images (N, H, W, C) as the network will see them, from which int8 takes its scales;
        some hundred are enough. For int8 alone. Default None.
    runtime: ``"framework"`` (default), or ``"onnxruntime"``, which is faster in float32 and gives
        no gradients: the network is exported at the first call with each size of input, and runs
        on the CPU, with PyTorch's number of threads at that call.

    Returns
    -------
    A module in inference mode that wants no gradients, for :func:`predict`, :func:`evaluate` and
    for calls. It takes the model's inputs and returns floats of the model's precision, float32
    where that is bfloat16 or int8.

    Raises
    ------
    ValueError: a model that is not a PyTorch module, or that ``torch.compile`` or ``torch.jit``
        returned; one that is not in float32, for onnxruntime; an unknown precision or runtime, or
        two that do not go together; calibration that is missing, not wanted, or no batch of images
        that the model takes.
    ImportError: onnxruntime, onnx or onnxscript is missing (extra ``export``).
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if isinstance(model, torch.jit.ScriptModule) or hasattr(model, "_orig_mod"):
        raise ValueError("model must be neither compiled nor scripted, got one that is")
    _checks.option("precision", precision, PRECISIONS)
    _checks.option("runtime", runtime, RUNTIMES)
    images = calibration_images(
        precision, None if calibration is None else as_array(calibration), runtime
    )
    result = copy.deepcopy(model).eval().requires_grad_(False)
    if runtime == "onnxruntime":
        tensors = (*result.parameters(), *result.buffers())
        found = {str(t.dtype).removeprefix("torch.") for t in tensors if t.is_floating_point()}
        check_dtypes(found, ("float32",), "runtime is 'onnxruntime'")
        return _Onnx(result)
    on_cpu = first_float(model).device.type == "cpu"
    if precision != "float32" and on_cpu and not has_instructions(precision):
        warnings.warn(slow_message(precision), stacklevel=2)
    if images is not None:
        return quantized(result.float(), images)
    fold(result)
    result = result.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return result if precision == "float32" else _InBfloat16(result)


class _InBfloat16(nn.Module):
    """A network whose weights are in bfloat16: floats come in and go out in float32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.bfloat16().eval()
        self.training = False

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.network(x.bfloat16() if x.is_floating_point() else x)
        return y.float()


class _Onnx(nn.Module):
    """A network that onnxruntime runs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.training = False
        self._sessions = Sessions()

    def forward(self, x: Tensor) -> Tensor:
        array = x.detach().cpu().numpy()
        images = array.transpose(0, 2, 3, 1) if array.ndim == 4 else array  # as for predict
        threads = torch.get_num_threads()
        run = self._sessions.of(
            array, threads, lambda path: export_onnx(self.network, path, images, False)
        )
        return torch.from_numpy(run(array)).to(x.device)

    def extra_repr(self) -> str:
        return "onnxruntime"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_sessions": Sessions()}  # made again where it is used

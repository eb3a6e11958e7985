"""A network as an ONNX file, which programs without PyTorch can run."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from companion import _onnx
from companion.torch.layers import in_inference_mode


def export_onnx(
    model: nn.Module, path: str | os.PathLike[str], x: np.ndarray, channels_last: bool = True
) -> Path:
    """Write the network, in inference mode, as an ONNX file that takes batches of any size.

    Input ``x``, output ``y``. Both frameworks write files that are called alike: by default with
    what :func:`predict` takes and returns, images (N, H, W, C).

    Parameters
    ----------
    model: stays as it is.
    path: of the file, ending in ``.onnx``; replaced whole, or not at all.
    x: an example, as for :func:`predict`: images (N, H, W, C), sequences (N, T, C), vectors (N, C)
        or tokens (N, T). All its sizes but N are fixed in the file.
    channels_last: ``False`` makes the file take, and where they are images return, (N, C, H, W).

    Returns
    -------
    The path.

    Raises
    ------
    ValueError: a model that is not a PyTorch module or that ONNX cannot express, a path or an
        example that cannot be used.
    ImportError: onnx or onnxscript is missing (extra ``export``).
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    path, x = _onnx.check_request(path, x, channels_last)
    _onnx.require_packages("onnx", "onnxscript")
    example = torch.from_numpy(np.repeat(x[:1], 2, axis=0))  # a batch of one would be fixed
    if example.ndim == 4 and not channels_last:
        example = example.permute(0, 3, 1, 2).contiguous()
    told = logging.getLogger("torch.onnx")
    level = told.level
    told.setLevel(logging.ERROR)  # it lists the packages that it would support as well
    try:
        with in_inference_mode(model), torch.no_grad():
            ordered = _Ordered(model, channels_last).eval()
            ordered(example)  # a model that cannot be called says better why than the exporter
            _write(ordered, example, path)
    finally:
        told.setLevel(level)
    return path


def _write(model: nn.Module, example: Tensor, path: Path) -> None:
    with _onnx.atomic_path(path) as written, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        try:
            torch.onnx.export(
                model,
                (example,),
                written,
                input_names=["x"],
                output_names=["y"],
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error.__cause__ or error).strip().splitlines()[0]
            raise ValueError(f"model must be one that ONNX can express, got {reason}") from error
        _onnx.check_model(written)


class _Ordered(nn.Module):
    """The network, with its images in the order that the file is to have."""

    def __init__(self, model: nn.Module, channels_last: bool) -> None:
        super().__init__()
        self.model, self.channels_last = model, channels_last

    def forward(self, x: Tensor) -> Tensor:
        y = self.model(x.permute(0, 3, 1, 2) if x.ndim == 4 and self.channels_last else x)
        if not isinstance(y, Tensor):
            raise ValueError(f"model must return one tensor, got {type(y).__name__}")
        return y.permute(0, 2, 3, 1) if y.ndim == 4 and self.channels_last else y

"""A network as an ONNX file, which programs without PyTorch can run."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from companion import _onnx
from companion.torch._devices import first_float
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
    with _onnx.exported(path, x, channels_last, "onnxscript") as (example, written), _quiet():
        images = torch.from_numpy(np.repeat(example[:1], 2, axis=0))  # of one it would be fixed
        if first_float(model).device.type != "cpu":  # the file is the same from everywhere
            model = copy.deepcopy(model).cpu()
        with in_inference_mode(model), torch.no_grad():
            ordered = _Ordered(model, channels_last).eval()
            ordered(images)  # a model that cannot be called says better why than the exporter
            try:
                torch.onnx.export(
                    ordered,
                    (images,),
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
                raise ValueError(
                    f"model must be one that ONNX can express, got {reason}"
                ) from error
    return Path(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter from listing the packages that it would support as well."""
    told = logging.getLogger("torch.onnx")
    level = told.level
    told.setLevel(logging.ERROR)
    try:
        yield
    finally:
        told.setLevel(level)


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

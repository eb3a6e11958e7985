"""What both frameworks' exports share: a path that holds a whole file or none.

Most formats need no function of this package, since its networks are the frameworks' own:

- ``torch.export.export(model, (x,))`` and ``torch.compile(model)``,
- ``model.save("x.keras")`` and ``model.export(folder)`` for a SavedModel,
- ``model.export("x.tflite", format="litert")`` for LiteRT.

``export_onnx`` is there because the two frameworks would write two different files: with channels
first and last, and with the batch at the size of the example.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from companion import _checks
from companion.recipe import check_examples, to_model_dtype


def check_request(path: Any, x: np.ndarray, channels_last: bool) -> tuple[Path, np.ndarray]:
    """Return path and example; raise where no ONNX file could be made of them.

    Raises
    ------
    ValueError: a path that does not end in ".onnx" or lies in no folder; x that is not a finite,
        non-empty batch; a channels_last that is not a boolean.
    """
    check_examples("example", x)
    _checks.boolean("channels_last", channels_last)
    if not isinstance(path, (str, os.PathLike)) or Path(path).suffix != ".onnx":
        raise ValueError(f"path must end in '.onnx', got {str(path)!r}")
    if not Path(path).absolute().parent.is_dir():
        raise ValueError(f"path must lie in a folder that exists, got {str(path)!r}")
    return Path(path), to_model_dtype(np.asarray(x))


def require_packages(*packages: str) -> None:
    """Raise unless the packages that write ONNX can be imported.

    Raises
    ------
    ImportError: one is missing; the message names the extra that brings it.
    """
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ImportError(
                f"export_onnx needs {package}: install it with the extra, "
                "pip install 'companion[export]'"
            ) from error


def check_model(path: Path) -> None:
    """Raise unless the file keeps to ONNX; converters write what they do not know, and log it.

    Raises
    ------
    ValueError: it does not; the message names the operation.
    """
    onnx = importlib.import_module("onnx")
    try:
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError as error:
        raise ValueError(f"model must be one that ONNX can express, got: {error}") from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a path to write to; once the block ends well, what lies there is moved to ``path``."""
    with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".") as folder:
        written = Path(folder) / path.name
        yield written
        os.replace(written, path)

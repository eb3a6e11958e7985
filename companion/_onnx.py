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
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from companion import _checks
from companion.recipe import check_examples, to_model_dtype


@contextmanager
def exported(
    path: Any, x: np.ndarray, channels_last: bool, *packages: str
) -> Iterator[tuple[np.ndarray, Path]]:
    """Yield the example in the file's layout, and a path to write the network to.

    Once the block ends well and what was written keeps to ONNX, it is moved to ``path``.

    Parameters
    ----------
    packages: that write the file. The others are as in ``export_onnx``.

    Raises
    ------
    ValueError: a path that does not end in ".onnx" or lies in no folder; x that is not a finite,
        non-empty batch; a channels_last that is not a boolean; afterwards a file that breaks the
        rules of ONNX, since converters write what they do not know, and log it.
    ImportError: a package is missing; the message names the extra that brings it.
    """
    x = to_model_dtype(check_examples("example", x))
    _checks.boolean("channels_last", channels_last)
    if not isinstance(path, (str, os.PathLike)) or Path(path).suffix != ".onnx":
        raise ValueError(f"path must end in '.onnx', got {str(path)!r}")
    parent = Path(path).absolute().parent
    if not parent.is_dir():
        raise ValueError(f"path must lie in a folder that exists, got {str(path)!r}")
    onnx, *_ = map(_package, ("onnx", *packages))
    if x.ndim == 4 and not channels_last:
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    with tempfile.TemporaryDirectory(dir=parent, prefix=".") as folder:
        written = Path(folder) / Path(path).name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield x, written
        try:
            onnx.checker.check_model(str(written))
        except onnx.checker.ValidationError as error:
            raise ValueError(f"model must be one that ONNX can express, got: {error}") from error
        os.replace(written, path)


class Sessions:
    """A network in onnxruntime: a session for each size of input, made when it is first met."""

    def __init__(self) -> None:
        self._sessions: dict[Any, Any] = {}

    def of(
        self, x: np.ndarray, threads: int, export: Callable[[Path], Any]
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Return the network as a function of arrays like x, of any batch size.

        Parameters
        ----------
        threads: that it may use. 0: as many as there are cores.
        export: writes the network for such arrays to a path.
        """
        key = x.shape[1:], x.dtype.str, threads
        if key not in self._sessions:
            runtime = _package("onnxruntime")
            options = runtime.SessionOptions()
            options.intra_op_num_threads = threads
            options.log_severity_level = 3  # errors alone
            with tempfile.TemporaryDirectory() as folder:
                export(path := Path(folder) / "network.onnx")
                self._sessions[key] = runtime.InferenceSession(
                    path.read_bytes(), options, providers=["CPUExecutionProvider"]
                )
        session = self._sessions[key]
        return lambda array: session.run(None, {"x": array})[0]


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"ONNX needs {name}: install it with the extra, "
            "pip install 'residual-companion[export]'"
        ) from error

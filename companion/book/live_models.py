"""Trained weights for figures that compute in the page: eight bits, in a script of JavaScript.

Matrices are stored as int8 with one scale for each row (one output of a dense layer, one token of
an embedding), vectors as they are, in float32. A page has no other way to read a file that was
opened from disk than a classic script, so the bytes stand in one, as base64.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from companion import _checks, _files
from companion.book.results import FOLDER

#: Largest number that eight bits with a sign hold on both sides.
LARGEST = 127


def quantized(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return int8 numbers and a float32 scale for each row; their product is near the matrix.

    The largest number of a row becomes 127 or -127; a row of zeros has the scale 1. No number is
    off by more than half a scale.

    Parameters
    ----------
    matrix: (rows, columns), finite.

    Raises
    ------
    ValueError: another number of axes, NaN or infinity.
    """
    matrix = np.asarray(matrix, np.float32)
    _checks.rank("matrix", matrix.shape, 2, "(rows, columns)")
    if not np.isfinite(matrix).all():
        raise ValueError("matrix must be finite, got NaN or infinity")
    largest = np.abs(matrix).max(1, keepdims=True)
    scale = np.where(largest > 0, largest / np.float32(LARGEST), np.float32(1)).astype(np.float32)
    return np.rint(matrix / scale).clip(-LARGEST, LARGEST).astype(np.int8), scale[:, 0]


def rounded(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights that the page computes with, in float64: eight bits times the scales."""
    found = {}
    for name, array in weights.items():
        if array.ndim == 2:
            integers, scale = quantized(array)
            found[name] = integers.astype(np.float64) * scale[:, None].astype(np.float64)
        else:
            found[name] = array.astype(np.float32).astype(np.float64)
    return found


def packed(weights: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return names, shapes and kinds of the arrays, and all their bytes, little-endian, in order.

    A matrix is followed by its scales.
    """
    tensors, data = [], b""
    for name, array in weights.items():
        tensors.append([name, list(array.shape)])
        if array.ndim == 2:
            integers, scale = quantized(array)
            data += integers.tobytes() + scale.astype("<f4").tobytes()
        else:
            data += array.astype("<f4").tobytes()
    return {"tensors": tensors, "data": base64.b64encode(data).decode("ascii")}


def script(name: str, content: Mapping[str, Any]) -> str:
    """Return a script that puts the content where the figure of this name finds it."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    place = f"(window.companionWeights = window.companionWeights || {{}})[{json.dumps(name)}]"
    return f"{place} = {text};\n"


def path(name: str) -> Path:
    """Return where the trained weights of a figure are stored, in float32."""
    return FOLDER / f"{name}.npz"


def save(name: str, weights: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Store the weights of each arm, atomically."""
    arrays = {f"{arm}/{key}": array for arm, own in weights.items() for key, array in own.items()}
    _files.write_arrays(path(name), arrays)


def load(name: str) -> dict[str, dict[str, np.ndarray]]:
    """Return the stored weights of each arm.

    Raises
    ------
    ValueError: a damaged file.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for key, array in _files.read_arrays(path(name)).items():
        arm, _, inner = key.partition("/")
        found.setdefault(arm, {})[inner] = array
    return found

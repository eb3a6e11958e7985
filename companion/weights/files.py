"""Weights in a file, in the canonical layout: what one framework wrote the other reads.

The format is safetensors (https://github.com/huggingface/safetensors): names, shapes and values,
and no code that loading could run. The format tells a file that was cut short, but not one with
another value in it; a digest in the metadata does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from companion import __version__, _checks, _files
from companion.weights.layer_weights import layer_weights
from companion.weights.matching import NotLoaded, load_layers
from companion.weights.transfer import named_arrays

#: One entry in the metadata, as JSON: several would stand in another order each time.
_ENTRY, _VERSION, _DIGEST = "residual_companion", "version", "sha256"


def save(model: Any, path: str | Path, about: Mapping[str, str] | None = None) -> None:
    """Write all weights of a PyTorch, Keras or reference model to a safetensors file, atomically.

    Parameters
    ----------
    path: replaced if it is there. about: texts to keep beside them, as the network's name; the
        names "version" and "sha256" are taken.

    Raises
    ------
    ValueError: a model of no known framework, one not built yet, or a layer of unknown kind; about
        with a name that is taken, or with something else than texts.
    OSError: the file cannot be written; an older one stays.
    """
    _files.write(Path(path), encoded(named_arrays(model), about))


def load(model: Any, path: str | Path, partial: bool = False) -> list[NotLoaded]:
    """Set all weights of a model to those in a file.

    Parameters
    ----------
    partial: ``True`` sets the layers whose names and shapes fit, leaves the others as they were,
        and returns what was not loaded; see :func:`transfer`.

    Raises
    ------
    ValueError: the file is damaged or of another network or, if ``partial``, no layer fits; the
        model is as it was.
    FileNotFoundError: there is none.
    """
    partial = _checks.boolean("partial", partial)
    return assign(model, read(path)[0], str(path), partial)


def about(path: str | Path) -> dict[str, str]:
    """Return what was kept beside the weights in a file, and the version that wrote them.

    Raises
    ------
    ValueError: the file is damaged. FileNotFoundError: there is none.
    """
    return read(path)[1]


def read(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays of a file, by name, and what was kept beside them.

    Raises
    ------
    ValueError: the file is damaged. FileNotFoundError: there is none.
    """
    path = Path(path)
    content = path.read_bytes()
    with _files.reading(path):
        return _decoded(content)


def assign(
    model: Any, arrays: Mapping[str, np.ndarray], source: str, partial: bool = False
) -> list[NotLoaded]:
    """Set all weights of a model, exactly, or if ``partial`` those that fit.

    Raises
    ------
    ValueError, naming the source: names or shapes differ, or the model's dtype would round.
    """
    wrong = f"{source} is damaged or of another network: "
    return load_layers(layer_weights(model), arrays, partial, wrong)


def encoded(arrays: Mapping[str, np.ndarray], about: Mapping[str, str] | None = None) -> bytes:
    """Return the content of a safetensors file with these arrays.

    Raises
    ------
    ModuleNotFoundError: safetensors is missing; it comes with both frameworks' extras.
    ValueError: as :func:`save`.
    """
    for name, text in (about or {}).items():
        if name in (_VERSION, _DIGEST) or not (isinstance(name, str) and isinstance(text, str)):
            raise ValueError(
                f"about must hold texts under names other than {_VERSION!r} and {_DIGEST!r}, got "
                f"{text!r} under {name!r}"
            )
    from safetensors.numpy import save as serialized

    # NumPy has no bfloat16 of its own to read it with; float32 holds it exactly.
    short = {name for name, array in arrays.items() if array.dtype.name == "bfloat16"}
    straight = {
        name: np.ascontiguousarray(array, np.float32 if name in short else None)
        for name, array in arrays.items()
    }
    metadata = {_VERSION: __version__, **(about or {})}
    entry = {**metadata, _DIGEST: _digest(straight, metadata)}
    return serialized(straight, {_ENTRY: json.dumps(entry)})


def _decoded(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    from safetensors.numpy import load as parsed

    arrays = dict(parsed(content))
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    about = json.loads(header.get("__metadata__", {}).get(_ENTRY, "{}"))
    digest = about.pop(_DIGEST, None)  # other programs write none
    if digest is not None and digest != _digest(arrays, about):
        raise ValueError("its values are not those that were written")
    return arrays, about


def _digest(arrays: Mapping[str, np.ndarray], about: Mapping[str, str]) -> str:
    found = hashlib.sha256(repr(sorted(about.items())).encode())
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()

"""Residual connections in NumPy, PyTorch and TensorFlow: one equation, three times.

    y = activation(merge(shortcut(u), branch(u)))  with  u = preactivation(x)

``companion.reference`` is the proof, ``companion.torch`` and ``companion.tensorflow`` are for use.
Importing ``companion`` itself imports none of them, and no framework.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.2.0"

_MODULES = (
    "allocator",
    "architectures",
    "book",
    "data",
    "measures",
    "metrics",
    "recipe",
    "reference",
    "registry",
    "tensorflow",
    "torch",
    "translation",
    "weights",
)
_FUNCTIONS = ("create_model", "list_models")  # of companion.registry

__all__ = ["__version__", *_MODULES, *_FUNCTIONS]


def __getattr__(name: str) -> Any:
    # All of it loads on first use, so that a reader with one framework never needs the other.
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f"{__name__}.registry"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

"""Residual connections in NumPy, PyTorch and TensorFlow: one equation, three times.

    y = activation(merge(shortcut(x), branch(x)))

``companion.reference`` is the proof, ``companion.torch`` and ``companion.tensorflow`` are for use.
Importing ``companion`` itself imports none of them, and no framework.
"""

from __future__ import annotations

import importlib
from types import ModuleType

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
    "tensorflow",
    "torch",
    "translation",
    "weights",
)

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> ModuleType:
    # Sub-packages load on first use, so that a reader with one framework never needs the other.
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

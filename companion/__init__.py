"""Residual connections in PyTorch and TensorFlow: one equation, twice.

    y = activation(merge(shortcut(x), branch(x)))

Importing ``companion`` itself imports neither ``companion.torch`` nor ``companion.tensorflow``.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__version__ = "0.1.0"

_MODULES = (
    "architectures",
    "data",
    "recipe",
    "tensorflow",
    "torch",
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

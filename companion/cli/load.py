"""What the names in the settings stand for: data, a framework, a network, a block of one's own."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from companion.cli.settings import NETWORKS, SIZES
from companion.registry import create_model


def dataset(name: str) -> Any:
    """Load a data set by name, see :mod:`companion.data`."""
    return getattr(importlib.import_module("companion.data"), name)()


def framework(settings: Mapping[str, Any]) -> Any:
    """Return the sub-package of the settings' framework, which computes with their threads.

    Raises
    ------
    ImportError: the framework is not installed; the message names the extra.
    """
    name = settings["framework"]
    with _without_greetings() if name == "tensorflow" else contextlib.nullcontext():
        module = importlib.import_module(f"companion.{name}")
    module.use_threads(settings["threads"])
    return module


def network(
    settings: Mapping[str, Any], channels: int, classes: int, precision: str = "float32"
) -> tuple[Any, Any]:
    """Return the sub-package of the settings' framework, and their network, built with it.

    Parameters
    ----------
    precision: that it will be trained in, see :class:`companion.recipe.Recipe`. A layer in Keras
        has to know it when it is built.

    Raises
    ------
    ImportError: the framework is not installed; the message names the extra.
    ValueError: a size that the network does not come in, or a block that does not fit.
    """
    module = framework(settings)
    mixed = settings["framework"] == "tensorflow" and precision == "bfloat16"
    with _mixed_policy() if mixed else contextlib.nullcontext():
        return module, _built(settings, channels, classes)


def _built(settings: Mapping[str, Any], channels: int, classes: int) -> Any:
    framework, model, block = (settings[name] for name in ("framework", "model", "block"))
    options = {key: settings[SIZES[key]] for key in NETWORKS[model].options}
    options |= {"in_channels": channels, "num_classes": classes, "seed": settings["seed"]}
    if NETWORKS[model].control:
        options["residual"] = settings["residual"]
    if block is None:
        return create_model(model, framework, **options)
    try:
        return create_model(model, framework, block=_block(block, framework), **options)
    except TypeError as error:
        raise ValueError(
            f"block must be built as {block.partition(':')[2]}(in_channels, out_channels, "
            f"stride=1, shortcut='B', residual=True), got {type(error).__name__}: {error}"
        ) from error


@contextlib.contextmanager
def _mixed_policy() -> Iterator[None]:
    """Let Keras build layers that multiply in 16 bits what they keep in 32."""
    config = importlib.import_module("keras").config
    before = config.dtype_policy()
    config.set_dtype_policy("mixed_bfloat16")
    try:
        yield
    finally:
        config.set_dtype_policy(before)


@contextlib.contextmanager
def _without_greetings() -> Iterator[None]:
    """Drop what TensorFlow writes to stderr while it is imported, whatever its log level.

    It would bury the one line that counts. What it says of a crash is dropped too: set
    ``TF_CPP_MIN_LOG_LEVEL`` to less than 3 to read all.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3":
        yield
        return
    sys.stderr.flush()
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def _block(path: str, framework: str) -> Any:
    """Import a block, given as ``"module:Class"``, from the working directory or a package."""
    module, _, name = str(path).partition(":")
    if not (module and name):
        raise ValueError(f"block must be MODULE:CLASS, as mine:MyBlock, got {path!r}")
    if os.getcwd() not in sys.path:  # python -m has it, torchrun and pytest have not
        sys.path.insert(0, os.getcwd())
    try:
        block = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # the user's own module may raise anything
        raise ValueError(
            f"block must name a module that can be imported, got {module}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if block is None:
        raise ValueError(f"block must name a class of {module}, which has no {name}")
    if not callable(block):
        raise ValueError(f"block must be a class, got {path}, of type {type(block).__name__}")
    library, layer = {"torch": ("torch.nn", "Module"), "tensorflow": ("keras", "Layer")}[framework]
    base = getattr(importlib.import_module(library), layer)
    if isinstance(block, type) and not issubclass(block, base):
        raise ValueError(f"block must be a {library}.{layer} for {framework}, got {path}")
    return block

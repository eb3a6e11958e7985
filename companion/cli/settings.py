"""All that decides how a run comes out, as one flat table: options, and ``settings.json``.

Also what the names in that table stand for: frameworks, data sets, networks, and a block of the
user's own.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from companion import _checks
from companion.recipe import Recipe
from companion.registry import FRAMEWORKS, MODELS, create_model

#: Data sets of :mod:`companion.data` that are images with one label each.
DATA = ("mnist", "digits8")
#: The networks that classify images, under a signature that these commands know.
NETWORKS = {name: model for name, model in MODELS.items() if model.image}
#: What a network's function may call its width.
_WIDTHS = ("width", "k", "growth")

DEFAULTS: dict[str, Any] = {
    "framework": "torch",
    "model": "mnist_resnet",
    "depth": None,
    "width": None,
    "residual": True,
    "block": None,
    "data": "mnist",
    "threads": 1,
    **Recipe().as_dict(),
}


@dataclass(frozen=True)
class Design:
    """A network, with depth and width as its function takes them, None where it takes none.

    Parameters
    ----------
    block: ``"module:Class"``, the block it is built of; None is the network's own.

    Raises
    ------
    ValueError: an unknown model, or an option that it does not have.
    """

    model: str
    depth: int | None = None
    width: int | None = None
    residual: bool = True
    block: str | None = None

    def __post_init__(self) -> None:
        known = NETWORKS[_checks.option("model", self.model, tuple(NETWORKS))]
        for name, key in (("depth", "depth"), ("width", self._width)):
            given, default = getattr(self, name), known.options.get(key)
            if default is None and given is not None:
                raise ValueError(f"{name} must be left out: {self.model} has only one, got {given}")
            chosen = default if given is None else _checks.positive_int(name, given)
            object.__setattr__(self, name, chosen)
        if not _checks.boolean("residual", self.residual) and not known.control:
            raise ValueError(
                f"residual must be True for {self.model}, which is nothing without shortcuts"
            )
        if self.block is not None and not known.block:
            raise ValueError(f"block must be left out: {self.model} is built of its own")

    @property
    def _width(self) -> str:
        return next((key for key in _WIDTHS if key in NETWORKS[self.model].options), "width")

    def build(self, framework: Any, in_channels: int, num_classes: int, seed: int) -> Any:
        """Return the network, of ``companion.torch`` or ``companion.tensorflow``.

        Raises
        ------
        ValueError: a size that the network does not come in, or a block that does not fit.
        """
        name = framework.__name__.rpartition(".")[2]
        sizes = {"depth": self.depth, self._width: self.width}
        options = {key: size for key, size in sizes.items() if size is not None}
        if NETWORKS[self.model].control:
            options["residual"] = self.residual
        if self.block is not None:
            options["block"] = load_block(self.block, name)
        options |= {"in_channels": in_channels, "num_classes": num_classes, "seed": seed}
        try:
            return create_model(self.model, name, **options)
        except TypeError as error:
            if self.block is None:
                raise
            raise ValueError(
                f"block must be built as {self.block.partition(':')[2]}(in_channels, out_channels, "
                f"stride=1, shortcut='B', residual=True), got {type(error).__name__}: {error}"
            ) from error


@dataclass(frozen=True)
class Settings:
    """Which network learns what, how, and with which arithmetic."""

    framework: str
    data: str
    threads: int
    design: Design
    recipe: Recipe

    def as_dict(self) -> dict[str, Any]:
        """Return the flat table that :func:`settings` takes."""
        first = {"framework": self.framework, **asdict(self.design), "data": self.data}
        return {**first, "threads": self.threads, **self.recipe.as_dict()}


def settings(given: Mapping[str, Any]) -> Settings:
    """Return the settings, with defaults for what is not given.

    Raises
    ------
    ValueError: an unknown name, or a value out of its range.
    """
    unknown = sorted(set(given) - set(DEFAULTS))
    if unknown:
        raise ValueError(f"settings must be among {', '.join(DEFAULTS)}, got {unknown[0]!r}")
    table = {**DEFAULTS, **given}
    return Settings(
        framework=_checks.option("framework", table.pop("framework"), FRAMEWORKS),
        data=_checks.option("data", table.pop("data"), DATA),
        threads=_checks.positive_int("threads", table.pop("threads")),
        design=Design(**{name: table.pop(name) for name in Design.__dataclass_fields__}),
        recipe=Recipe(**table),
    )


def dataset(name: str) -> Any:
    """Load a data set by name, see :mod:`companion.data`."""
    return getattr(importlib.import_module("companion.data"), _checks.option("data", name, DATA))()


def framework(name: str, threads: int = 1) -> Any:
    """Import ``companion.torch`` or ``companion.tensorflow``, computing with so many threads.

    Raises
    ------
    ImportError: it is not installed; the message names the extra.
    """
    _checks.option("framework", name, FRAMEWORKS)
    with _without_greetings() if name == "tensorflow" else contextlib.nullcontext():
        module = importlib.import_module(f"companion.{name}")
    module.use_threads(threads)
    return module


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


def load_block(path: str, framework: str) -> Any:
    """Import a block, given as ``"module:Class"``, from the working directory or a package.

    Raises
    ------
    ValueError: no such module or class, or one that is no layer of the framework.
    """
    module_name, colon, name = path.partition(":") if isinstance(path, str) else ("", "", "")
    if not (module_name and colon and name):
        raise ValueError(f"block must be MODULE:CLASS, as mine:MyBlock, got {path!r}")
    if os.getcwd() not in sys.path:  # python -m has it, torchrun and pytest have not
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the user's own module may raise anything
        raise ValueError(
            f"block must name a module that can be imported, got {module_name}: "
            f"{type(error).__name__}: {error}"
        ) from error
    block = getattr(module, name, None)
    if block is None:
        raise ValueError(f"block must name a class of {module_name}, which has no {name}")
    if not callable(block):
        raise ValueError(f"block must be a class, got {path}, of type {type(block).__name__}")
    library, layer = {"torch": ("torch.nn", "Module"), "tensorflow": ("keras", "Layer")}[framework]
    base = getattr(importlib.import_module(library), layer)
    if isinstance(block, type) and not issubclass(block, base):
        raise ValueError(f"block must be a {library}.{layer} for {framework}, got {path}")
    return block

"""What a command line can name: frameworks, data sets, networks."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from companion import _checks

FRAMEWORKS = ("torch", "tensorflow")
#: Data sets of :mod:`companion.data` that are images with one label each.
DATA = ("mnist", "digits8")


@dataclass(frozen=True)
class Network:
    """What a network's function takes, beside ``in_channels``, ``num_classes`` and ``seed``.

    Attributes
    ----------
    about: a few words. depth, width: the defaults, None where its function takes none.
    width_is: what its function calls the width.
    control: whether it takes ``residual=False``.
    image: (H, W, C) it was published for. classes: likewise.
    """

    about: str
    depth: int | None = None
    width: int | None = None
    width_is: str = "width"
    control: bool = True
    image: tuple[int, int, int] = (32, 32, 3)
    classes: int = 10


def _imagenet(about: str) -> Network:
    return Network(about, image=(224, 224, 3), classes=1000)


#: Every network that classifies images, under the name of its function in both frameworks.
NETWORKS = {
    "mnist_resnet": Network("the book's small one", image=(28, 28, 1)),
    "cifar_resnet": Network("He et al. 2015 for small images", depth=8, width=16),
    "cifar_preact_resnet": Network("the same with pre-activation", depth=8, width=16),
    "fixup_resnet": Network("the same without norms", depth=8, width=16),
    "wide_resnet": Network("wide, pre-activation", depth=10, width=1, width_is="k"),
    "densenet_cifar": Network("DenseNet-BC", 10, 12, width_is="growth", control=False),
    "revnet_cifar": Network("reversible", depth=14, width=16, control=False),
    "resnet18": _imagenet("ImageNet, basic blocks"),
    "resnet34": _imagenet("ImageNet, basic blocks"),
    "resnet50": _imagenet("ImageNet, bottlenecks"),
    "resnet101": _imagenet("ImageNet, bottlenecks"),
    "resnet152": _imagenet("ImageNet, bottlenecks"),
    "resnet50_v2": _imagenet("pre-activation, as in Keras"),
    "wide_resnet50_2": _imagenet("twice the channels"),
    "resnext50_32x4d": _imagenet("32 groups"),
    "se_resnet50": _imagenet("squeeze and excitation"),
}


@dataclass(frozen=True)
class Design:
    """A network, with depth and width as its function takes them, None where it takes none."""

    model: str
    depth: int | None
    width: int | None
    residual: bool

    def build(self, framework: Any, in_channels: int, num_classes: int, seed: int) -> Any:
        """Return the network, of ``companion.torch`` or ``companion.tensorflow``.

        Raises
        ------
        ValueError: a depth or a width that the network does not come in.
        """
        network = NETWORKS[self.model]
        options: dict[str, Any] = {}
        if self.depth is not None:
            options["depth"] = self.depth
        if self.width is not None:
            options[network.width_is] = self.width
        if network.control:
            options["residual"] = self.residual
        function = getattr(framework, self.model)
        return function(in_channels=in_channels, num_classes=num_classes, seed=seed, **options)


def design(
    model: str, depth: int | None = None, width: int | None = None, residual: bool = True
) -> Design:
    """Return a network with its own defaults where none are given.

    Raises
    ------
    ValueError: an unknown model, or an option that it does not have.
    """
    network = NETWORKS[_checks.option("model", model, tuple(NETWORKS))]
    for name, given, default in (("depth", depth, network.depth), ("width", width, network.width)):
        if given is not None and default is None:
            raise ValueError(f"{name} must be left out: {model} has only one, got {given}")
    if not _checks.boolean("residual", residual) and not network.control:
        raise ValueError(f"residual must be True for {model}, which is nothing without shortcuts")
    depth = network.depth if depth is None else _checks.positive_int("depth", depth)
    width = network.width if width is None else _checks.positive_int("width", width)
    return Design(model, depth, width, residual)


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


def dataset(name: str) -> Any:
    """Load a data set by name, see :mod:`companion.data`."""
    return getattr(importlib.import_module("companion.data"), _checks.option("data", name, DATA))()

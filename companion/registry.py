"""Networks by name, in either framework.

    companion.list_models("cifar*")
    companion.create_model("cifar_resnet", "tensorflow", depth=20)

A name is that of the network's function in ``companion.torch`` and ``companion.tensorflow``.
Importing this module imports no framework.
"""

from __future__ import annotations

import fnmatch
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from companion import _checks

FRAMEWORKS = ("torch", "tensorflow")


@dataclass(frozen=True)
class Model:
    """What is known of a network before it is built.

    Attributes
    ----------
    image: (H, W, C) it was published for, where it classifies images. classes: likewise.
    options: its sizes where :func:`create_model` is given none; small ones where there is a choice.
    control: whether it takes ``residual=False``.
    block: whether it takes ``block=``, a class of the caller's own.
    """

    image: tuple[int, int, int] | None = None
    classes: int = 10
    options: Mapping[str, Any] = field(default_factory=dict)
    control: bool = True
    block: bool = True


def _cifar(own: bool = True, **sizes: int) -> Model:
    return Model((32, 32, 3), 10, sizes, control=own, block=own)


def _other(**sizes: int) -> Model:
    return Model(options=sizes, block=False)


_IMAGENET = Model((224, 224, 3), 1000)
#: Every network of both frameworks, classifiers of images first.
MODELS = {
    "mnist_resnet": Model((28, 28, 1)),
    "cifar_resnet": _cifar(depth=8, width=16),
    "cifar_preact_resnet": _cifar(depth=8, width=16),
    "fixup_resnet": _cifar(depth=8, width=16),
    "wide_resnet": _cifar(depth=10, k=1),
    "densenet_cifar": _cifar(own=False, depth=10, growth=12),
    "revnet_cifar": _cifar(own=False, depth=14, width=16),
    "resnet18": _IMAGENET,
    "resnet34": _IMAGENET,
    "resnet50": _IMAGENET,
    "resnet101": _IMAGENET,
    "resnet152": _IMAGENET,
    "resnet50_v2": Model((224, 224, 3), 1000, block=False),
    "wide_resnet50_2": _IMAGENET,
    "resnext50_32x4d": _IMAGENET,
    "se_resnet50": _IMAGENET,
    "residual_network": Model(),
    "residual_mlp": _other(blocks=4),
    "residual_lstm": _other(depth=2),
    "transformer": _other(depth=2),
    "speech_resnet": _other(),
    "residual_unet": _other(),
    "dncnn": _other(),
}


def list_models(pattern: str = "*") -> list[str]:
    """Return the names of all networks that match a pattern with wildcards, as ``"*resnet50*"``."""
    return [name for name in MODELS if fnmatch.fnmatchcase(name, pattern)]


def create_model(name: str, framework: str = "torch", **options: Any) -> Any:
    """Build a network by its name.

    Parameters
    ----------
    name: one of :func:`list_models`.
    framework: ``"torch"`` (default) or ``"tensorflow"``.
    options: of the network's function, as ``depth=20, num_classes=10, seed=0``. Sizes have a
        default, see ``MODELS[name].options``; what the data decide has to be given where the
        function has no default: ``vocabulary`` of ``transformer`` and ``residual_lstm``,
        ``in_features`` and ``num_classes`` of ``residual_mlp``, ``input_shape`` and
        ``num_classes`` of ``residual_network``.

    Raises
    ------
    ValueError: an unknown name or framework, or an option out of its range.
    ImportError: the framework is not installed; the message names the extra.
    TypeError: an option that the network's function does not have, or one that is missing.
    """
    model = MODELS[_checks.option("name", name, tuple(MODELS))]
    _checks.option("framework", framework, FRAMEWORKS)
    function = getattr(importlib.import_module(f"companion.{framework}"), name)
    return function(**{**model.options, **options})

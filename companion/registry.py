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
    about: a few words.
    options: its sizes where :func:`create_model` is given none; small ones where there is a choice.
    image: (H, W, C) it was published for, where it classifies images. classes: likewise.
    control: whether it takes ``residual=False``.
    block: whether it takes ``block=``, a class of the caller's own.
    """

    about: str
    options: Mapping[str, Any] = field(default_factory=dict)
    image: tuple[int, int, int] | None = None
    classes: int = 10
    control: bool = True
    block: bool = True


def _cifar(about: str, depth: int, more: Mapping[str, int], **facts: bool) -> Model:
    return Model(about, {"depth": depth, **more}, (32, 32, 3), **facts)


def _imagenet(about: str, block: bool = True) -> Model:
    return Model(about, image=(224, 224, 3), classes=1000, block=block)


def _other(about: str, **options: int) -> Model:
    return Model(about, options, block=False)


_OWN = {"control": False, "block": False}
#: Every network of both frameworks, classifiers of images first.
MODELS = {
    "mnist_resnet": Model("the book's small one", image=(28, 28, 1)),
    "cifar_resnet": _cifar("He et al. 2015 for small images", 8, {"width": 16}),
    "cifar_preact_resnet": _cifar("the same with pre-activation", 8, {"width": 16}),
    "fixup_resnet": _cifar("the same without norms", 8, {"width": 16}),
    "wide_resnet": _cifar("wide, pre-activation", 10, {"k": 1}),
    "densenet_cifar": _cifar("DenseNet-BC", 10, {"growth": 12}, **_OWN),
    "revnet_cifar": _cifar("reversible", 14, {"width": 16}, **_OWN),
    "resnet18": _imagenet("ImageNet, basic blocks"),
    "resnet34": _imagenet("ImageNet, basic blocks"),
    "resnet50": _imagenet("ImageNet, bottlenecks"),
    "resnet101": _imagenet("ImageNet, bottlenecks"),
    "resnet152": _imagenet("ImageNet, bottlenecks"),
    "resnet50_v2": _imagenet("pre-activation, as in Keras", block=False),
    "wide_resnet50_2": _imagenet("twice the channels"),
    "resnext50_32x4d": _imagenet("32 groups"),
    "se_resnet50": _imagenet("squeeze and excitation"),
    "residual_network": Model("the source article's, corrected"),
    "residual_mlp": _other("vectors to classes", blocks=4),
    "residual_lstm": _other("next token", depth=2),
    "transformer": _other("next token", depth=2),
    "speech_resnet": _other("sequences to classes"),
    "residual_unet": _other("a class for each pixel"),
    "dncnn": _other("noisy images to clean ones"),
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

"""Networks by name: the table holds all of them, and builds what their functions build."""

from __future__ import annotations

import inspect

import pytest

import companion
import companion.tensorflow as ct
import companion.torch as cp
from companion import weights
from companion.registry import MODELS
from tests.library.harness import exhaustive_but

#: What the data decide, where a function has no default for it.
GIVEN = {
    "residual_network": {"num_classes": 3},
    "residual_mlp": {"in_features": 4, "num_classes": 3},
    "residual_lstm": {"vocabulary": 7},
    "transformer": {"vocabulary": 7},
}
SMALL = [name for name in MODELS if MODELS[name].classes != 1000]


def function(name, framework=cp):
    return getattr(framework, name)


def parameters(name):
    """Return the arguments of a network's function; what it passes on belongs to ``ResNet``."""
    found = dict(inspect.signature(function(name)).parameters)
    if found.pop("options", None) is not None:
        found |= dict(inspect.signature(cp.ResNet).parameters)
        del found["architecture"]
    return found


def test_every_public_network_is_in_the_table():
    for framework in (cp, ct):
        public = {name: getattr(framework, name) for name in framework.__all__}
        networks = {
            name
            for name, value in public.items()
            if inspect.isfunction(value)
            and {"seed", "options"} & set(inspect.signature(value).parameters)
        }
        assert networks == set(MODELS)


def test_names_are_found_by_a_pattern():
    assert companion.list_models() == list(MODELS)
    assert companion.list_models("*resnet50*") == [
        "resnet50",
        "resnet50_v2",
        "wide_resnet50_2",
        "se_resnet50",
    ]
    assert companion.list_models("vgg*") == []


#: With images, with tokens, with a shape instead of a number of channels.
QUICK = ("cifar_resnet", "transformer", "residual_network", "residual_mlp")


@pytest.mark.parametrize("name", exhaustive_but(SMALL, QUICK.__contains__))
def test_a_network_by_name_is_that_of_its_function(name):
    options = {**MODELS[name].options, **GIVEN.get(name, {}), "seed": 3}
    for framework, module in (("torch", cp), ("tensorflow", ct)):
        if name == "residual_network":
            options["input_shape"] = (1, 28, 28) if module is cp else (28, 28, 1)
        expected = weights.named_arrays(function(name, module)(**options))
        given = {key: value for key, value in options.items() if key not in MODELS[name].options}
        found = weights.named_arrays(companion.create_model(name, framework, **given))
        assert list(found) == list(expected)
        assert all((found[key] == expected[key]).all() for key in expected)


@pytest.mark.parametrize("name", MODELS)
def test_the_table_says_what_the_functions_take(name):
    taken, model = parameters(name), MODELS[name]
    assert set(model.options) <= set(taken)
    assert ("residual" in taken) == model.control
    assert ("block" in taken) == model.block


def test_options_reach_the_function():
    model = companion.create_model("cifar_resnet", depth=14, width=4, in_channels=1, seed=0)
    assert model.stem.conv.weight.shape[:2] == (4, 1) and len(model.stages[0]) == 2


def test_what_is_wrong_with_a_name_is_said():
    with pytest.raises(ValueError, match="name must be one of 'mnist_resnet', .*, got 'resnet51'"):
        companion.create_model("resnet51")
    with pytest.raises(ValueError, match="framework must be one of 'torch', 'tensorflow'"):
        companion.create_model("resnet18", "jax")
    with pytest.raises(TypeError, match="vocabulary"):
        companion.create_model("transformer")

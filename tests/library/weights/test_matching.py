"""The body of a network without its head: what fits is loaded, what does not is named."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch

import companion.reference as ref
import companion.tensorflow as ctf
import companion.torch as ct
from companion import weights
from companion.architectures import Architecture, Stage

torch.set_num_threads(1)

PACKAGES = pytest.mark.parametrize("package", [ct, ctf], ids=["torch", "tensorflow"])
HEAD = [
    "head.dense.weight: (3, 64) here, (5, 64) there",
    "head.dense.bias: (3,) here, (5,) there",
]
BOTTLENECKS = (Stage(256, 1, 1), Stage(512, 1, 2))


def small(package, **options):
    """A ResNet-50 of two blocks."""
    table = Architecture("two", options.pop("block", "bottleneck"), 64, 7, 2, True, BOTTLENECKS)
    return package.ResNet(table, **{"num_classes": 3, "seed": 1, **options})


def text(left):
    assert all(isinstance(entry, weights.NotLoaded) for entry in left)
    return [str(entry) for entry in left]


def check(model, before, expected, left):
    """What was not loaded is as it was; all else is as expected."""
    after = weights.named_arrays(model)
    for name, array in after.items():
        wanted = before if name in left else expected
        np.testing.assert_array_equal(array, wanted[name], err_msg=name)


@pytest.fixture(params=["transfer", "load"])
def loaded(request, tmp_path):
    """Two ways of one network's weights into another, which are to do the same."""

    def run(source, target, **options):
        if request.param == "transfer":
            return weights.transfer(source, target, **options)
        weights.save(source, tmp_path / "a.safetensors")
        return weights.load(target, tmp_path / "a.safetensors", **options)

    return run


@PACKAGES
@pytest.mark.parametrize("other", [ct, ctf], ids=["torch", "tensorflow"])
def test_another_number_of_classes(package, other, loaded):
    source = package.cifar_resnet(8, num_classes=5, seed=0)
    target = other.cifar_resnet(8, num_classes=3, seed=1)
    before = weights.named_arrays(target)
    with pytest.raises(ValueError):
        loaded(source, target)
    left = loaded(source, target, partial=True)
    assert text(left) == HEAD
    check(target, before, weights.named_arrays(source), {entry.name for entry in left})


@PACKAGES
def test_a_strict_load_leaves_nothing(package, loaded):
    source, target = (package.BasicBlock(2, 2) for _ in range(2))
    assert loaded(source, target) == [] == loaded(source, target, partial=True)


@PACKAGES
def test_other_channels_of_the_image(package, loaded):
    source = package.cifar_resnet(8, 4, in_channels=3, seed=0)
    target = package.cifar_resnet(8, 4, in_channels=1, seed=1)
    before = weights.named_arrays(target)
    left = loaded(source, target, partial=True)
    assert text(left) == ["stem.conv.weight: (4, 1, 3, 3) here, (4, 3, 3, 3) there"]
    check(target, before, weights.named_arrays(source), {"stem.conv.weight"})


@PACKAGES
def test_a_layer_is_loaded_whole_or_not_at_all(package, loaded):
    def network(first, bias):
        layers = [package.Conv2d(first, 2, bias=bias), package.Conv2d(2, 2)]
        if package is ctf:
            return keras.Sequential(layers)
        return torch.nn.Sequential(*layers)

    source, target = network(3, True), network(1, True)
    first, _ = (layer.name for layer in weights.layer_weights.layer_weights(target))
    if package is ctf:  # of Keras's own numbering
        for layer, twin in zip(source.layers, target.layers, strict=True):
            layer.name = twin.name
    before = weights.named_arrays(target)
    assert text(loaded(source, target, partial=True)) == [
        f"{first}.weight: (2, 1, 3, 3) here, (2, 3, 3, 3) there",
        f"{first}.bias: fits, but not all of its layer does",
    ]
    names = {f"{first}.weight", f"{first}.bias"}
    check(target, before, weights.named_arrays(source), names)
    target = network(3, False)  # without the bias its weight would be another layer
    if package is ctf:
        for layer, twin in zip(source.layers, target.layers, strict=True):
            layer.name = twin.name
    first, _ = (layer.name for layer in weights.layer_weights.layer_weights(target))
    assert text(loaded(source, target, partial=True)) == [
        f"{first}.bias: none here, (2,) there",
        f"{first}.weight: fits, but not all of its layer does",
    ]


@PACKAGES
def test_layers_that_one_of_both_has_not(package, loaded):
    deep, shallow = (package.cifar_resnet(depth, 4, seed=depth) for depth in (14, 8))
    longer = [name for name in weights.named_arrays(deep) if ".1.branch" in name]
    left = loaded(deep, shallow, partial=True)
    assert [entry.name for entry in left] == sorted(longer) and "none here" in str(left[0])
    left = loaded(shallow, deep, partial=True)
    assert [entry.name for entry in left] == longer and "none there" in str(left[0])


def test_the_reference_too(loaded):
    source, target = ct.BasicBlock(2, 4), ref.BasicBlock(2, 4, residual=False)
    left = loaded(source, target, partial=True)
    assert {entry.name.split(".")[0] for entry in left} == {"shortcut"}
    expected = weights.named_arrays(source)
    check(target, {}, expected, set())


@PACKAGES
def test_nothing_that_fits_is_an_error(package, loaded):
    target = package.cifar_resnet(8, 4, seed=0)
    before = weights.named_arrays(target)
    with pytest.raises(ValueError, match=r"no layer that fits; stem\.conv\.weight: \(4, 3, 3, 3\)"):
        loaded(package.Conv2d(2, 2), target, partial=True)
    check(target, {}, before, set())


@PACKAGES
def test_partial_is_true_or_false_and_asked_first(package, tmp_path):
    model = package.BasicBlock(2, 2)
    for call in (
        lambda: weights.transfer(model, model, partial="body"),
        lambda: weights.load(model, tmp_path / "none", partial=1),
        lambda: weights.from_torchvision(model, {}, partial=None),
        lambda: weights.from_keras(model, None, partial=0),
    ):
        with pytest.raises(ValueError, match="partial must be one of True, False, got"):
            call()


def test_a_partial_load_does_not_round(loaded):
    target = ct.cifar_resnet(8, 4, num_classes=3, seed=1)
    before = weights.named_arrays(target)
    with pytest.raises(ValueError, match=r"stem\.conv\.weight: float64 there, more than"):
        loaded(ct.cifar_resnet(8, 4, num_classes=5, seed=0).double(), target, partial=True)
    check(target, {}, before, set())


@PACKAGES
def test_torchvisions_names(package):
    state = weights.to_torchvision(small(ct, num_classes=5, seed=0))
    target = small(package)
    before = weights.named_arrays(target)
    left = weights.from_torchvision(target, state, partial=True)
    assert text(left) == [
        "head.dense.weight: (3, 512) here, (5, 512) there (fc.weight)",
        "head.dense.bias: (3,) here, (5,) there (fc.bias)",
    ]
    expected = weights.named_arrays(small(ct, num_classes=5, seed=0))
    check(target, before, expected, {entry.name for entry in left})


@PACKAGES
def test_a_state_dict_of_a_relative(package):
    state = weights.to_torchvision(small(ct, num_classes=5, seed=0))
    state |= {"layer3.0.conv1.weight": torch.ones(1), "bn1.extra": torch.ones(2)}
    gated = small(package, block="se", num_classes=5, in_channels=1)
    left = [str(entry) for entry in weights.from_torchvision(gated, state, partial=True)]
    assert left[0] == "stem.conv.weight: (64, 1, 7, 7) here, (64, 3, 7, 7) there (conv1.weight)"
    assert left[1] == "stem.norm.extra: none here, (2,) there (bn1.extra)"
    assert left[-1] == "layer3.0.conv1.weight: none here, (1,) there"
    assert sum("none there" in entry for entry in left) == 2 * 2 * 2  # two gates, two layers each
    with pytest.raises(ValueError, match="squeeze"):
        weights.from_torchvision(gated, state)


def test_a_state_dict_of_any_device_and_dtype():
    source = small(ct, num_classes=5, seed=0)
    expected = weights.named_arrays(source)
    state = {
        k: torch.nn.Parameter(v)
        for k, v in weights.to_torchvision(source).items()
        if v.is_floating_point()
    }
    weights.from_torchvision(target := small(ct, num_classes=5), state)
    check(target, {}, expected, set())
    short = {name: value.detach().bfloat16() for name, value in state.items()}
    weights.from_torchvision(target, short)
    np.testing.assert_allclose(
        weights.named_arrays(target)["stem.conv.weight"], expected["stem.conv.weight"], rtol=2**-8
    )


@PACKAGES
@pytest.mark.parametrize("partial", [False, True])
def test_what_is_no_state_dict_leaves_the_model_as_it_was(package, partial):
    model = small(package)
    before = weights.named_arrays(model)
    good = weights.to_torchvision(small(ct, seed=0))
    for state, named in (
        ([], "state_dict must be a state dict, got list"),
        ({}, "state_dict must fit the model, got"),
        ({"state_dict": good, "epoch": 3}, "must hold arrays, got dict at 'state_dict'"),
        ({f"module.{name}": value for name, value in good.items()}, "got"),
        ({**good, "fc.bias": "a text"}, "must hold arrays, got str at 'fc.bias'"),
    ):
        with pytest.raises(ValueError, match=named):
            weights.from_torchvision(model, state, partial=partial)
    with pytest.raises(ValueError, match="keras_model must be a Keras model, got NoneType"):
        weights.from_keras(model, None, partial=partial)
    check(model, {}, before, set())


class Keras:
    """What of a Keras model is read: its layers."""

    def __init__(self, layers):
        self.layers = layers


@pytest.fixture(scope="module")
def theirs():
    """The layers of Keras's ResNet50, with biases before its norms."""
    model = keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=5)
    rng = np.random.default_rng(0)
    for layer in model.layers[:20]:
        for variable in layer.weights:
            if variable.name in ("bias", "moving_mean"):
                variable.assign(rng.normal(0, 0.1, variable.shape))
    return {layer.name: layer for layer in model.layers}


@PACKAGES
@pytest.mark.parametrize("top", [True, False])
def test_kerass_network_with_and_without_its_head(package, top, theirs):
    stages = (Stage(256, 1, 1), Stage(512, 1, 2), Stage(1024, 1, 2), Stage(2048, 1, 2))
    table = Architecture("four", "bottleneck_v1", 64, 7, 2, True, stages)
    target = package.ResNet(table, num_classes=3, in_channels=1, seed=1)
    before = weights.named_arrays(target)
    kept = [layer for name, layer in theirs.items() if top or name != "predictions"]
    left = weights.from_keras(target, Keras(kept), partial=True)
    there = ["(5, 2048)", "(5,)"] if top else ["none", "none"]
    assert text(left)[:3] == [
        "stem.conv.weight: (64, 1, 7, 7) here, (64, 3, 7, 7) there (conv1_conv.weight)",
        f"head.dense.weight: (3, 2048) here, {there[0]} there (predictions.weight)",
        f"head.dense.bias: (3,) here, {there[1]} there (predictions.bias)",
    ]
    assert all("block" in entry.name and "none here" in entry.reason for entry in left[3:])
    after = weights.named_arrays(target)
    for name in ("head.dense.weight", "head.dense.bias"):
        np.testing.assert_array_equal(after[name], before[name])
    # A bias before a norm is part of its running mean, also where the convolution stays.
    for convolution, norm in (
        ("conv1", "stem.norm"),
        ("conv2_block1_3", "stages.0.0.branch.norm3"),
    ):
        moved = theirs[f"{convolution}_bn"].moving_mean - theirs[f"{convolution}_conv"].bias
        np.testing.assert_allclose(after[f"{norm}.running_mean"], moved, rtol=1e-6)


def test_a_keras_network_that_has_more_layers_is_another_network(theirs):
    layer = keras.layers.Dense(2, name="more")
    layer.build((None, 3))
    model = ct.resnet50(num_classes=5, version="v1", seed=1)
    before = weights.named_arrays(model)
    larger = Keras([*theirs.values(), layer])
    with pytest.raises(ValueError, match=r"more\.bias: none here, \(2,\) there"):
        weights.from_keras(model, larger)
    check(model, {}, before, set())
    assert weights.from_keras(model, Keras(theirs.values())) == []
    left = weights.from_keras(model, larger, partial=True)
    assert [entry.name for entry in left] == ["more.bias", "more.kernel"]

"""Weights of torchvision and of keras.applications give their own logits here."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import companion.tensorflow as ct
import companion.torch as cp
from companion import weights
from tests.library.harness import exhaustive_but

torch.set_num_threads(1)


BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
NETWORKS = {
    "resnet18": (18, 1),
    "resnet34": (34, 1),
    "resnet50": (50, 1),
    "resnet101": (101, 1),
    "resnet152": (152, 1),
    "wide_resnet50_2": (50, 1),
    "resnext50_32x4d": (50, 32),
}


def torchvision_logits(state, x, depth, groups):
    """Compute what torchvision's ResNet does, from its state dict alone.

    Written from the layer names and its documented design: stride on the 3x3 ("v1.5"), padding 1
    and 3, eps 1e-5, pooling padded by minus infinity. torchvision itself cannot be installed here.
    """

    def norm(x, name):
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"{name}.{n}"] for n in names), eps=1e-5)

    def conv(x, name, stride=1, padding=0, groups=1):
        return F.conv2d(x, state[f"{name}.weight"], None, stride, padding, groups=groups)

    x = F.relu(norm(conv(x, "conv1", 2, 3), "bn1"))
    x = F.max_pool2d(x, 3, 2, 1)
    for i, count in enumerate(BLOCKS[depth]):
        for j in range(count):
            at, stride = f"layer{i + 1}.{j}", 2 if i and not j else 1
            y = x
            if depth < 50:
                y = F.relu(norm(conv(y, f"{at}.conv1", stride, 1), f"{at}.bn1"))
                y = norm(conv(y, f"{at}.conv2", 1, 1), f"{at}.bn2")
            else:
                y = F.relu(norm(conv(y, f"{at}.conv1"), f"{at}.bn1"))
                y = F.relu(norm(conv(y, f"{at}.conv2", stride, 1, groups), f"{at}.bn2"))
                y = norm(conv(y, f"{at}.conv3"), f"{at}.bn3")
            if f"{at}.downsample.0.weight" in state:
                x = norm(conv(x, f"{at}.downsample.0", stride), f"{at}.downsample.1")
            x = F.relu(x + y)
    return F.linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"])


def drawn_state(model, rng):
    """A state dict under torchvision's names, with lived-in batch statistics."""
    state = weights.to_torchvision(model)
    for name, value in state.items():
        if name.endswith("running_mean"):
            value.copy_(torch.from_numpy(rng.normal(0, 0.1, value.shape)))
        elif name.endswith("running_var"):
            value.copy_(torch.from_numpy(rng.uniform(0.5, 2, value.shape)))
        elif "bn" in name or "downsample.1" in name:
            value.copy_(torch.from_numpy(rng.uniform(0.1, 0.6, value.shape)).to(value.dtype))
    return state


#: Of basic blocks; keras.applications' networks, below, have bottlenecks.
SMALLEST = ("resnet18",)


@pytest.mark.parametrize("name", exhaustive_but(NETWORKS, SMALLEST.__contains__))
def test_torchvision_weights_give_torchvision_logits(name):
    depth, groups = NETWORKS[name]
    rng = np.random.default_rng(0)
    state = drawn_state(getattr(cp, name)(num_classes=20, seed=0), rng)
    models = [getattr(package, name)(num_classes=20, seed=1) for package in (cp, ct)]
    for model in models:
        weights.from_torchvision(model, state)
    for side in (64, 65):
        x = rng.normal(size=(2, side, side + 2, 3)).astype(np.float32)
        with torch.no_grad():
            images = torch.from_numpy(x).permute(0, 3, 1, 2)
            expected = torchvision_logits(state, images, depth, groups).numpy()
        for package, model in zip((cp, ct), models, strict=True):
            error = np.abs(package.predict(model, x) - expected).max()
            assert error <= 1e-4 * np.abs(expected).max()


@pytest.mark.exhaustive  # as the round trip of a smaller network
def test_torchvision_names_make_the_round_trip():
    state = weights.to_torchvision(cp.resnet50(num_classes=5, seed=0))
    assert len(state) == 320 and state["layer4.2.bn3.num_batches_tracked"] == 0
    other = ct.resnet50(num_classes=5, seed=1)
    weights.from_torchvision(other, state)
    again = weights.to_torchvision(other)
    assert all(torch.equal(state[name], again[name]) for name in state)


def test_a_state_dict_that_does_not_fit_changes_nothing():
    model = cp.resnet18(num_classes=5, seed=0)
    good = weights.to_torchvision(cp.resnet18(num_classes=5, seed=1))
    bad = [
        ({k: v for k, v in good.items() if k != "fc.bias"}, "fc.bias"),
        ({**good, "extra.weight": torch.zeros(1)}, "extra.weight"),
        ({**good, "conv1.weight": torch.zeros(64, 3, 5, 5)}, "conv1.weight"),
    ]
    before = weights.named_arrays(model)
    for state, named in bad:
        with pytest.raises(ValueError, match=named):
            weights.from_torchvision(model, state)
    after = weights.named_arrays(model)
    assert all((before[name] == after[name]).all() for name in before)
    with pytest.raises(ValueError, match="squeeze"):
        weights.to_torchvision(cp.se_resnet50(num_classes=2))


@pytest.mark.parametrize(
    ("theirs", "ours", "options"),
    [
        ("ResNet50", "resnet50", {"version": "v1"}),
        pytest.param(*("ResNet101", "resnet101", {"version": "v1"}), marks=pytest.mark.exhaustive),
        pytest.param(*("ResNet152", "resnet152", {"version": "v1"}), marks=pytest.mark.exhaustive),
        pytest.param(*("ResNet50V2", "resnet50_v2", {}), marks=pytest.mark.exhaustive),
    ],
)
def test_keras_weights_give_keras_logits(theirs, ours, options):
    side = 64 if theirs == "ResNet50" else 65  # Keras pads odd and even sizes each in its way
    settings = {"weights": None, "classes": 7, "classifier_activation": None}
    model = getattr(keras.applications, theirs)(input_shape=(side, side, 3), **settings)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        for variable in layer.weights:
            if variable.name in ("moving_mean", "bias", "beta"):
                variable.assign(rng.normal(0, 0.1, variable.shape))
            elif variable.name in ("moving_variance", "gamma"):
                variable.assign(rng.uniform(0.3, 0.8, variable.shape))
    x = rng.normal(size=(2, side, side, 3)).astype(np.float32)
    expected = model(x, training=False).numpy()
    for package in (cp, ct):
        build = getattr(package, ours)
        network = build(num_classes=7, seed=0, **options)
        weights.from_keras(network, model)
        error = np.abs(package.predict(network, x) - expected).max()
        assert error <= 1e-4 * np.abs(expected).max()
    with pytest.raises(ValueError, match="predictions"):
        weights.from_keras(build(num_classes=6, seed=0, **options), model)


def test_the_eps_of_keras_becomes_part_of_the_running_variance():
    # So small a variance that the logits tell 1.001e-5 from 1e-5: by 5 in 10,000.
    inputs = keras.Input((8, 8, 3))
    theirs = keras.applications.ResNet50(
        weights=None, input_tensor=inputs, classes=7, classifier_activation=None
    )
    norm = theirs.get_layer("conv1_bn")
    norm.moving_variance.assign(np.zeros(64))
    network = cp.resnet50(num_classes=7, seed=0, version="v1")
    weights.from_keras(network, theirs)
    running = next(a for k, a in weights.named_arrays(network).items() if "running_var" in k)
    np.testing.assert_allclose(running, norm.epsilon - 1e-5, rtol=1e-4)
    assert norm.epsilon == pytest.approx(1.001e-5, rel=1e-12)


ROUND_TRIP = ("resnet18", "resnet152", "wide_resnet50_2", "resnext50_32x4d", "se_resnet50")


@pytest.mark.parametrize("name", exhaustive_but(ROUND_TRIP, "resnet18".__eq__))
def test_large_networks_make_the_round_trip_bit_for_bit(name):
    source = getattr(cp, name)(num_classes=3, seed=0)
    rng = np.random.default_rng(0)
    for key, buffer in source.named_buffers():
        if "running" in key:
            buffer.copy_(torch.from_numpy(rng.uniform(0.5, 2, buffer.shape)))
    middle = getattr(ct, name)(num_classes=3, seed=1)
    back = getattr(cp, name)(num_classes=3, seed=2)
    weights.transfer(source, middle)
    weights.transfer(middle, back)
    a, b = weights.named_arrays(source), weights.named_arrays(back)
    assert list(a) == list(b) and all((a[key] == b[key]).all() for key in a)

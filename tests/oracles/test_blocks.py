"""Basic and bottleneck blocks against He et al. 2015 (arXiv 1512.03385), figure 5, eq. 1 and 2."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from companion import weights
from companion.weights.layer_weights import layer_weights

from .harness import ALL, BOTH, PACKAGES, batch_norm, build, carry, check, conv, normal, run

CASES = [
    ("A", 2, 4, 2),
    ("A", 4, 4, 2),
    ("B", 4, 4, 1),
    ("B", 2, 4, 1),
    ("B", 4, 4, 2),
    ("C", 4, 4, 1),
    ("C", 2, 4, 2),
]


def basic(option, out_channels, stride, residual=True):
    def oracle(w, training, x):
        b = w.at("branch")
        y = conv(x, b("conv1.weight"), stride)
        y = torch.relu(batch_norm(y, b.at("norm1"), training))
        y = batch_norm(conv(y, b("conv2.weight")), b.at("norm2"), training)
        if residual:
            y = y + carry(w, x, option, out_channels, stride, training)
        return torch.relu(y)

    return oracle


def bottleneck(option, out_channels, stride, strided="conv2", groups=1, residual=True):
    first, second = (stride, 1) if strided == "conv1" else (1, stride)

    def oracle(w, training, x):
        b = w.at("branch")
        y = conv(x, b("conv1.weight"), first)
        y = torch.relu(batch_norm(y, b.at("norm1"), training))
        y = conv(y, b("conv2.weight"), second, groups)
        y = torch.relu(batch_norm(y, b.at("norm2"), training))
        y = batch_norm(conv(y, b("conv3.weight")), b.at("norm3"), training)
        if residual:
            y = y + carry(w, x, option, out_channels, stride, training)
        return torch.relu(y)

    return oracle


@pytest.mark.parametrize("framework", ALL)
@pytest.mark.parametrize(("option", "came", "goes", "stride"), CASES)
def test_basic_block(framework, option, came, goes, stride):
    block = build(framework, "BasicBlock", came, goes, stride, shortcut=option)
    for training in (True, False):
        check(
            framework,
            block,
            basic(option, goes, stride),
            normal(3, came, 5, 6),
            training=training,
        )


@pytest.mark.parametrize("framework", ALL)
def test_basic_block_of_larger_kernels_and_without_its_shortcut(framework):
    block = build(framework, "BasicBlock", 2, 3, 2, kernel_size=5)
    check(framework, block, basic("B", 3, 2), normal(3, 2, 7, 6))
    assert {shape[-1] for shape in kernels(block)} == {5, 1}
    block = build(framework, "BasicBlock", 3, 3, residual=False)
    check(framework, block, basic("B", 3, 1, residual=False), normal(3, 3, 5, 5))


def kernels(block):
    return sorted(a.shape for a in weights.named_arrays(block).values() if a.ndim == 4)


@pytest.mark.parametrize("framework", ALL)
@pytest.mark.parametrize(("option", "came", "goes", "stride"), CASES)
def test_bottleneck_has_its_stride_on_the_3x3(framework, option, came, goes, stride):
    came, goes = 2 * came, 2 * goes
    block = build(framework, "BottleneckBlock", came, goes, stride, shortcut=option)
    oracle = bottleneck(option, goes, stride)
    check(framework, block, oracle, normal(3, came, 5, 6))
    check(framework, block, oracle, normal(3, came, 5, 6), training=False)


@pytest.mark.parametrize("framework", BOTH)
def test_bottleneck_v1_has_its_stride_on_the_first_1x1(framework):
    block = build(framework, "BottleneckBlockV1", 4, 8, 2)
    check(framework, block, bottleneck("B", 8, 2, "conv1"), normal(3, 4, 5, 6))


@pytest.mark.parametrize("framework", BOTH)
def test_wide_bottleneck_has_half_of_the_channels_inside(framework):
    block = build(framework, "WideBottleneckBlock", 4, 8, 2)
    check(framework, block, bottleneck("B", 8, 2), normal(3, 4, 5, 6))
    assert [k[:2] for k in kernels(block)] == [(4, 4), (4, 4), (8, 4), (8, 4)]


@pytest.mark.parametrize("framework", BOTH)
def test_resnext_block_sums_thirty_two_paths(framework):
    # Xie et al. 2017, arXiv 1611.05431, figure 3: (a), the sum of 32 paths, equals (c), one grouped
    # convolution. Written here as (a): each path has its own three convolutions.
    block = build(framework, "ResNeXtBlock", 64, 128)

    def oracle(w, training, x):
        b = w.at("branch")
        y = conv(x, b("conv1.weight"))
        y = torch.relu(batch_norm(y, b.at("norm1"), training))
        width = y.shape[1] // 32
        kernels = b("conv2.weight").split(width)
        y = torch.cat([conv(p, k) for p, k in zip(y.split(width, 1), kernels, strict=True)], 1)
        y = torch.relu(batch_norm(y, b.at("norm2"), training))
        paths = zip(y.split(width, 1), b("conv3.weight").split(width, 1), strict=True)
        y = sum(conv(p, k) for p, k in paths)
        y = batch_norm(y, b.at("norm3"), training)
        return torch.relu(y + carry(w, x, "B", 128, 1, training))

    check(framework, block, oracle, normal(2, 64, 3, 3), training=False)


def parameters(framework, block):
    return sum(a.size for k, a in weights.named_arrays(block).items() if "running_" not in k)


@pytest.mark.parametrize(
    ("kind", "came", "goes", "options", "count"),
    [
        # He et al. 2015, figure 5: 2 x 3x3, 64, and norms of two numbers a channel.
        ("BasicBlock", 64, 64, {}, 2 * 9 * 64 * 64 + 2 * 2 * 64),
        ("BottleneckBlock", 256, 256, {}, 256 * 64 + 9 * 64 * 64 + 64 * 256 + 2 * (64 + 64 + 256)),
        # Xie et al. 2017, section 3.3, eq. 4: C (256 d + 3 3 d d + d 256), C = 32, d = 4
        ("ResNeXtBlock", 256, 256, {}, 32 * (256 * 4 + 9 * 16 + 4 * 256) + 2 * (128 + 128 + 256)),
        # option B, the first block of ResNet-50: one projection of 64 to 256 and its norm more
        ("BottleneckBlock", 64, 256, {}, 64 * 64 + 9 * 4096 + 2 * 64 * 256 + 2 * (128 + 2 * 256)),
        # option A has no parameters (section 3.3)
        ("BasicBlock", 16, 32, {"stride": 2, "shortcut": "A"}, 9 * 16 * 32 + 9 * 32 * 32 + 4 * 32),
    ],
)
@pytest.mark.parametrize("framework", ALL)
def test_numbers_of_parameters(framework, kind, came, goes, options, count):
    if not hasattr(PACKAGES[framework], kind):
        pytest.skip("not in the reference")
    assert parameters(framework, build(framework, kind, came, goes, **options)) == count


@pytest.mark.parametrize("framework", ALL)
def test_option_a_takes_every_other_pixel_and_appends_zeros(framework):
    pad = build(framework, "ZeroPad", 1, 2, 2)
    x = np.arange(15, dtype=float).reshape(1, 1, 3, 5)
    y = run(framework, pad, x).y
    assert y[0, 0].tolist() == [[0, 2, 4], [10, 12, 14]]
    assert y[0, 1].tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("framework", ALL)
def test_a_block_of_one_pixel_by_hand(framework):
    # Eq. 1 on one pixel in inference: only the middle of each kernel meets the pixel, and a norm of
    # weight g, bias b, mean m, variance v is g (y - m) / sqrt(v + 1e-5) + b.
    block = build(framework, "BasicBlock", 1, 1)
    values = {
        "branch.conv1.weight": np.arange(9.0).reshape(1, 1, 3, 3),  # the middle one is 4
        "branch.norm1.weight": [2.0],
        "branch.norm1.bias": [-1.0],
        "branch.norm1.running_mean": [3.0],
        "branch.norm1.running_var": [4 - 1e-5],
        "branch.conv2.weight": np.full((1, 1, 3, 3), -0.5),
        "branch.norm2.weight": [3.0],
        "branch.norm2.bias": [0.25],
        "branch.norm2.running_mean": [0.0],
        "branch.norm2.running_var": [9 - 1e-5],
    }
    for layer in layer_weights(block):
        for key, array in layer.arrays.items():
            layer.assign(key, np.asarray(values[f"{layer.name}.{key}"], array.dtype))
    # x = 2: conv1 8, norm1 2 (8 - 3) / 2 - 1 = 4, ReLU 4, conv2 -2, norm2 3 (-2) / 3 + 0.25 = -1.75
    y = run(framework, block, np.full((2, 1, 1, 1), 2.0), training=False).y
    np.testing.assert_allclose(y.ravel(), [0.25, 0.25], rtol=1e-6)
    # x = 1: conv1 4, norm1 0, ReLU 0, norm2 0.25, sum 1.25
    y = run(framework, block, np.full((1, 1, 1, 1), 1.0), training=False).y
    np.testing.assert_allclose(y.ravel(), [1.25], rtol=1e-6)
    # x = -1: conv1 -4, norm1 -8, ReLU 0, norm2 0.25, sum -0.75, and the last ReLU makes it 0
    y = run(framework, block, np.full((1, 1, 1, 1), -1.0), training=False).y
    np.testing.assert_allclose(y.ravel(), [0.0], atol=1e-6)


def test_residual_block_with_the_article_s_signature():
    for framework, first in (("torch", 3), ("tensorflow", normal(3, 5, 6, 3).astype("float32"))):
        made = build(framework, "residual_block", first, 4, kernel_size=5, strides=2)
        if framework == "torch":
            check(framework, made, basic("B", 4, 2), normal(3, 3, 5, 6))
        else:
            assert made.shape == (3, 3, 3, 4) and float(made.numpy().min()) == 0.0


@pytest.mark.parametrize("framework", BOTH)
def test_a_block_changes_no_size_unless_it_is_told_to(framework):
    # The article's signature: without strides, x and F(x) have one shape and can be added.
    package = PACKAGES[framework]
    if framework == "torch":
        y = package.residual_block(4, 4)(torch.zeros(2, 4, 6, 6))
        assert tuple(y.shape) == (2, 4, 6, 6)
    else:
        assert tuple(package.residual_block(np.zeros((2, 6, 6, 4), "float32"), 4).shape) == (
            2,
            6,
            6,
            4,
        )

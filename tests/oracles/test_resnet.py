"""Whole networks: published numbers of parameters, layers, multiply-adds, and forward passes."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from companion import architectures, weights
from companion.torch.costs import layer_costs
from companion.weights.layer_weights import layer_weights
from tests.library.harness import exhaustive_but

from .harness import (
    BOTH,
    PACKAGES,
    Weights,
    batch_norm,
    build,
    check,
    conv,
    dense,
    fill,
    near,
    normal,
)
from .test_blocks import basic, bottleneck

#: torchvision's documentation of its models gives these numbers of parameters; He et al. 2015,
#: arXiv 1512.03385, table 1, the multiply-adds in 1e9 (of version 1, the stride on the 1x1).
IMAGENET = {
    "resnet18": ({}, 11_689_512, 18, 1.8),
    "resnet34": ({}, 21_797_672, 34, 3.6),
    "resnet50": ({"version": "v1"}, 25_557_032, 50, 3.8),
    "resnet101": ({"version": "v1"}, 44_549_160, 101, 7.6),
    "resnet152": ({"version": "v1"}, 60_192_808, 152, 11.3),
    "wide_resnet50_2": ({}, 68_883_240, 50, 11.4),  # torchvision: 11.4 GFLOPS
    "resnext50_32x4d": ({}, 25_028_904, 50, 4.2),  # torchvision: 4.23
}
#: Of basic blocks, of bottlenecks, of groups; the others have more of the same.
SMALLER = ("resnet18", "resnet50", "resnext50_32x4d")


def trained(model):
    return {k: a for k, a in weights.named_arrays(model).items() if "running_" not in k}


@pytest.mark.parametrize("name", exhaustive_but(IMAGENET, SMALLER.__contains__))
def test_imagenet_networks(name, undrawn):
    options, parameters, layers, billions = IMAGENET[name]
    model = build("torch", name, **options)
    arrays = trained(model)
    assert sum(a.size for a in arrays.values()) == parameters
    on_the_path = [k for k, a in arrays.items() if a.ndim > 1 and ".shortcut." not in k]
    assert len(on_the_path) == layers
    costs = layer_costs(model.to("meta"), torch.empty(1, 3, 224, 224, device="meta"))
    total = sum(c.multiply_adds for c in costs) / 1e9
    assert total == pytest.approx(billions, abs=0.11)


def test_resnet50_of_version_1_5(undrawn):
    # torchvision: 4.09 GFLOPS with the stride on the 3x3, where the paper's 3.8 has it on the 1x1
    model = build("torch", "resnet50").to("meta")
    costs = layer_costs(model, torch.empty(1, 3, 224, 224, device="meta"))
    assert sum(c.multiply_adds for c in costs) / 1e9 == pytest.approx(4.09, abs=0.005)


@pytest.mark.parametrize(
    ("name", "arguments", "parameters", "digits"),
    [
        # He et al. 2015, table 6, in millions
        ("cifar_resnet", (20,), 0.27, 2),
        ("cifar_resnet", (32,), 0.46, 2),
        ("cifar_resnet", (44,), 0.66, 2),
        ("cifar_resnet", (56,), 0.85, 2),
        ("cifar_resnet", (110,), 1.7, 1),
        ("cifar_preact_resnet", (110,), 1.7, 1),  # He et al. 2016, table 4
        # Zagoruyko and Komodakis 2016, arXiv 1605.07146, table 4 and 5
        ("wide_resnet", (16, 8), 11.0, 1),
        ("wide_resnet", (40, 4), 8.9, 1),
        ("wide_resnet", (28, 10), 36.5, 1),
    ],
)
def test_small_image_networks(name, arguments, parameters, digits, undrawn):
    arrays = trained(build("torch", name, *arguments))
    assert round(sum(a.size for a in arrays.values()) / 1e6, digits) == parameters
    on_the_path = [k for k, a in arrays.items() if a.ndim > 1 and ".shortcut." not in k]
    # 6 n + 2 layers; a wide network's 6 n + 4 count two projections, the third comes free
    assert len(on_the_path) == arguments[0] - (2 if name == "wide_resnet" else 0)


@pytest.mark.parametrize("framework", BOTH)
def test_widths_of_a_wide_network(framework):
    # Table 1: 16, then 16 k, 32 k, 64 k
    arrays = weights.named_arrays(build(framework, "wide_resnet", 10, 2))
    sizes = {k: a.shape[0] for k, a in arrays.items() if k.endswith("conv2.weight")}
    assert list(sizes.values()) == [32, 64, 128] and arrays["stem.conv.weight"].shape[0] == 16


def test_the_depth_tables():
    # He et al. 2015, table 1, and section 4.2: n blocks at each of three sizes
    blocks = {
        d: [s.blocks for s in architectures.imagenet_resnet(d).stages]
        for d in (18, 34, 50, 101, 152)
    }
    assert blocks == {
        18: [2, 2, 2, 2],
        34: [3, 4, 6, 3],
        50: [3, 4, 6, 3],
        101: [3, 4, 23, 3],
        152: [3, 8, 36, 3],
    }
    widths = {
        d: [s.out_channels for s in architectures.imagenet_resnet(d).stages] for d in (34, 50)
    }
    assert widths == {34: [64, 128, 256, 512], 50: [256, 512, 1024, 2048]}
    table = architectures.cifar_resnet(56)
    assert [(s.out_channels, s.blocks, s.stride) for s in table.stages] == [
        (16, 9, 1),
        (32, 9, 2),
        (64, 9, 2),
    ]


@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize("option", ["A", "B", "C"])
def test_a_cifar_network(framework, option):
    network = build(framework, "cifar_resnet", 8, 2, option, in_channels=2, num_classes=3)

    def oracle(w, training, x):
        x = torch.relu(batch_norm(conv(x, w("stem.conv.weight")), w.at("stem", "norm"), training))
        for stage in range(3):
            block = basic(option, 2 * 2**stage, 1 if stage == 0 else 2)
            x = block(w.at("stages", str(stage), "0"), training, x)
        return dense(x.mean((2, 3)), w.at("head", "dense"))

    check(framework, network, oracle, normal(3, 2, 8, 8), training=False)


@pytest.mark.parametrize("framework", BOTH)
def test_stem_and_pooling_of_an_imagenet_network(framework):
    # Table 1: 7x7 of stride 2, 3x3 maximum of stride 2; bottlenecks; average; a dense layer.
    table = architectures.Architecture(
        "small",
        "bottleneck",
        4,
        7,
        2,
        True,
        (architectures.Stage(8, 1, 1), architectures.Stage(16, 2, 2)),
    )
    network = PACKAGES[framework].ResNet(table, in_channels=2, num_classes=3)

    def oracle(w, training, x):
        x = conv(x, w("stem.conv.weight"), 2)
        x = torch.relu(batch_norm(x, w.at("stem", "norm"), training))
        x = F.max_pool2d(x, 3, 2, 1)
        x = bottleneck("B", 8, 1)(w.at("stages", "0", "0"), training, x)
        x = bottleneck("B", 16, 2)(w.at("stages", "1", "0"), training, x)
        x = bottleneck("B", 16, 1)(w.at("stages", "1", "1"), training, x)
        return dense(x.mean((2, 3)), w.at("head", "dense"))

    check(framework, network, oracle, normal(2, 2, 21, 18), training=False)


@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize(("name", "kernel"), [("mnist_resnet", 5), ("residual_network", 7)])
def test_the_book_s_own_networks(framework, name, kernel):
    if name == "mnist_resnet":
        network, stages = build(framework, name), ((16, 1), (32, 2), (64, 2))
    else:
        shape = (1, 12, 12) if framework == "torch" else (12, 12, 1)
        network, stages = build(framework, name, shape, 10), ((64, 1),) * 5

    def oracle(w, training, x):
        assert w("stem.conv.weight").shape[-1] == kernel
        x = torch.relu(
            batch_norm(conv(x, w("stem.conv.weight"), 2), w.at("stem", "norm"), training)
        )
        for i, (channels, stride) in enumerate(stages):
            where = ("stages", "0", str(i)) if len(stages) == 5 else ("stages", str(i), "0")
            own = Weights(
                {n: t for n, t in w.tensors.items() if n.startswith(".".join(where) + ".")}
            )
            x = basic("B", channels, stride)(own, training, x)
        return dense(x.mean((2, 3)), w.at("head", "dense"))

    check(framework, network, oracle, normal(2, 1, 12, 12), training=False)


def test_keras_applications_resnet50_is_version_1():
    # keras.applications: 25,636,712 with statistics and biases before norms; its stride is on the
    # first 1x1. Its weights, moved over, give its logits.
    keras.utils.set_random_seed(0)
    theirs = keras.applications.ResNet50(
        weights=None, input_shape=(64, 64, 3), classes=5, classifier_activation=None
    )
    rng = np.random.default_rng(0)
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            gamma = rng.uniform(0.1, 0.4, shape)
            rest = [rng.normal(0, 0.1, shape) for _ in range(2)]
            layer.set_weights([gamma, *rest, rng.uniform(0.5, 1.5, shape)])
    x = normal(1, 3, 64, 64).astype("float32")
    want = theirs(np.moveaxis(x, 1, -1), training=False).numpy()
    for version, equal in (("v1", True), ("v1.5", False)):
        ours = build("torch", "resnet50", version=version, num_classes=5, seed=0).eval()
        weights.from_keras(ours, theirs)
        y = ours(torch.from_numpy(x)).detach().numpy()
        assert (np.abs(y - want).max() < 1e-5 * np.abs(want).max()) == equal


OPERATORS = [
    "nms",
    "qnms",
    "deform_conv2d",
    "_deform_conv2d_backward",
    *(
        f"{before}{kind}{after}"
        for kind in ("roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool")
        for before, after in (("", ""), ("_", "_backward"))
    ),
    "qroi_align",
]


def torchvision_models():
    # torchvision's compiled operators may not fit this torch; its networks need none of them
    for name in OPERATORS:
        with contextlib.suppress(RuntimeError):  # there already
            torch.library.define(f"torchvision::{name}", "(Tensor x) -> Tensor")
    return pytest.importorskip("torchvision.models", exc_type=Exception)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2"])
def test_torchvision(name):
    theirs = getattr(torchvision_models(), name)(weights=None, num_classes=5).eval()
    ours = fill(build("torch", name, num_classes=5, seed=0).eval())
    for layer in layer_weights(ours):
        if layer.kind == "norm":  # of a size that twenty blocks do not blow up
            layer.assign("weight", 0.3 * layer.arrays["weight"])
    theirs.load_state_dict(
        {k: torch.as_tensor(a) for k, a in weights.to_torchvision(ours).items()}, strict=False
    )
    x = torch.from_numpy(normal(1, 3, 64, 64).astype("float32"))
    near(ours(x).detach(), theirs(x).detach(), 1e-5)


def test_timm_s_squeeze_and_excitation():
    torchvision_models()
    timm = pytest.importorskip("timm", exc_type=Exception)
    theirs = timm.create_model("seresnet50", pretrained=False, num_classes=5).eval()
    ours = build("torch", "se_resnet50", num_classes=5, seed=0).eval()
    # timm's own order of modules differs inside a block: the SE layers before the shortcut's
    ordered = [m for m in theirs.modules() if any(True for _ in m.parameters(recurse=False))]
    mine = [m for m in ours.modules() if any(True for _ in m.parameters(recurse=False))]
    assert len(ordered) == len(mine)
    fill(ours)
    with torch.no_grad():
        for a, b in zip(ordered, mine, strict=True):
            if isinstance(a, torch.nn.BatchNorm2d):
                b.weight.mul_(0.3)
            for p, q in zip(
                (*a.parameters(), *a.buffers()), (*b.parameters(), *b.buffers()), strict=True
            ):
                p.copy_(q.reshape(p.shape))
    x = torch.from_numpy(normal(1, 3, 64, 64).astype("float32"))
    near(ours(x).detach(), theirs(x).detach(), 1e-5)


@pytest.mark.parametrize("framework", BOTH)
def test_resnet50_v2_halves_an_image_twice_before_its_stages(framework, undrawn):
    # Keras's ResNet50V2: conv1 with stride 2, then the pool: 64 x 64 pixels become 16 x 16.
    model = PACKAGES[framework].resnet50_v2(seed=0)
    if framework == "torch":
        assert tuple(model.stem(torch.zeros(1, 3, 64, 64)).shape) == (1, 64, 16, 16)
    else:
        stem = next(layer for layer in model.layers if layer.name == "stem")
        assert tuple(stem(np.zeros((1, 64, 64, 3), "float32")).shape) == (1, 16, 16, 64)

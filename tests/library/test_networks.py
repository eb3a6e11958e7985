"""Networks on images: published sizes, one start for both frameworks, saved whole."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

import companion.tensorflow as ct
import companion.torch as cp
from companion import weights
from tests.library.harness import exhaustive_but, near, refused_alike

SMALL = [
    ("cifar_resnet", (8,), {"width": 4}),
    ("cifar_preact_resnet", (14,), {"width": 4}),
    ("cifar_preact_resnet", (8,), {"width": 4, "residual": False}),
    ("wide_resnet", (10, 1), {}),
    ("se_resnet50", (), {"num_classes": 3}),
]


@pytest.mark.parametrize(
    ("name", "args", "options"), exhaustive_but(SMALL, lambda case: case[0] != "se_resnet50")
)
def test_networks_agree_from_one_seed_and_transfer_both_ways(name, args, options):
    here, there = (getattr(package, name)(*args, seed=5, **options) for package in (cp, ct))
    a, b = weights.named_arrays(here), weights.named_arrays(there)
    assert list(a) == list(b) and all((a[k] == b[k]).all() for k in a)
    x = np.random.default_rng(0).random((2, 32, 31, 3), np.float32)
    near(ct.predict(there, x), cp.predict(here, x), 1e-4)
    back = getattr(cp, name)(*args, seed=6, **options)
    weights.transfer(there, back)
    c = weights.named_arrays(back)
    assert all((a[k] == c[k]).all() for k in a)


@pytest.mark.parametrize("residual", [True, False])
def test_one_seed_starts_both_frameworks_alike(residual):
    options = {"residual": residual, "in_channels": 1, "seed": 3}
    a = weights.named_arrays(cp.cifar_resnet(8, **options))
    b = weights.named_arrays(ct.cifar_resnet(8, **options))
    assert list(a) == list(b)
    assert all((a[name] == b[name]).all() for name in a)


def test_plain_control_starts_with_the_same_branches():
    residual = weights.named_arrays(cp.mnist_resnet(seed=1))
    plain = weights.named_arrays(cp.mnist_resnet(seed=1, residual=False))
    assert plain.keys() < residual.keys()
    assert all((plain[name] == residual[name]).all() for name in plain)


def test_the_corrected_network_has_its_control():
    for framework, shape in ((cp, (1, 28, 28)), (ct, (28, 28, 1))):
        residual = framework.residual_network(shape, 10, seed=0)
        plain = framework.residual_network(shape, 10, residual=False, seed=0)
        x = np.random.default_rng(0).random((2, 28, 28, 1), np.float32)
        assert np.abs(framework.predict(residual, x) - framework.predict(plain, x)).max() > 1e-3


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (cp.resnet18, 11_689_512),
        (cp.resnet34, 21_797_672),
        (cp.resnet50, 25_557_032),
        (lambda: cp.resnet50(version="v1"), 25_557_032),
        (cp.resnet101, 44_549_160),
        (cp.resnet152, 60_192_808),
        (cp.wide_resnet50_2, 68_883_240),
        (cp.resnext50_32x4d, 25_028_904),
        (cp.se_resnet50, 28_088_024),
        (lambda: cp.cifar_resnet(20), 269_722),
        (lambda: cp.cifar_resnet(110), 1_727_962),
        (lambda: cp.wide_resnet(28, 10), 36_479_194),
    ],
)
def test_parameter_counts_are_the_published_ones(build, count):
    with torch.device("meta"):  # without memory for the weights
        assert sum(p.numel() for p in build().parameters()) == count


RELOAD = {
    "torch": (
        "import torch, numpy as np, companion.torch as c; m = c.mnist_resnet(seed=9); "
        "m.load_state_dict(torch.load('model.pt'))"
    ),
    "tensorflow": (
        "import keras, numpy as np, companion.tensorflow as c; "
        "m = keras.models.load_model('model.keras')"
    ),
}


@pytest.mark.parametrize("framework", RELOAD)
def test_a_saved_model_reloads_in_a_fresh_process(framework, tmp_path):
    package = {"torch": cp, "tensorflow": ct}[framework]
    model = package.mnist_resnet(seed=0)
    if framework == "torch":
        torch.save(model.state_dict(), tmp_path / "model.pt")
    else:
        model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).random((2, 28, 28, 1), np.float32)
    np.save(tmp_path / "x.npy", x)
    code = RELOAD[framework] + "; np.save('y.npy', c.predict(m, np.load('x.npy')))"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    np.testing.assert_allclose(
        np.load(tmp_path / "y.npy"), package.predict(model, x), rtol=1e-6, atol=1e-6
    )


BAD = [
    *(("cifar_resnet", (bad,), {}, "depth") for bad in (21, 2, 0, -8, 20.0)),
    ("cifar_resnet", (8,), {"width": 0}, "width"),
    ("mnist_resnet", (), {"num_classes": 0}, "num_classes"),
    ("mnist_resnet", (), {"in_channels": -1}, "in_channels"),
    *(("mnist_resnet", (), {"seed": bad}, "seed") for bad in (-1, 0.5, "0")),
    ("resnet18", (), {"shortcut": "Z"}, "shortcut"),
    ("resnet50", (), {"version": "v2"}, "version"),
    *(("residual_network", (bad, 10), {}, "input_shape") for bad in ((28, 28), 28, (0, 28, 1))),
    ("residual_network", ((28, 28, 1), 0), {}, "num_classes"),
    *(("wide_resnet", (bad, 2), {}, "depth") for bad in (11, 4)),
    ("wide_resnet", (10, 0), {}, "k must"),
]
test_both_frameworks_refuse_in_the_same_words = refused_alike(BAD)

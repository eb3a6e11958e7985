"""PyTorch and TensorFlow hold the same function: outputs, gradients, refusals."""

from __future__ import annotations

import copy
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import companion.reference as ref
import companion.tensorflow as ct
import companion.torch as cp
from companion import weights

torch.set_num_threads(1)


def possible(o):
    """Option A can only add channels."""
    return o["shortcut"] != "A" or o["in_channels"] <= o["out_channels"]


def well_conditioned(o):
    """A batch norm over a handful of values cancels almost all of its gradient.

    Over two values it leaves their sign alone, and what float32 keeps of the gradient is rounding:
    the frameworks then differ from each other as much as each differs from the exact result. Such
    blocks are compared in float64, in test_reference.py.
    """
    values = o["batch"] * -(-o["height"] // o["stride"]) * -(-o["width"] // o["stride"])
    return values >= 12 or not o["training"]


def rounding_matters_little(block, x, dy, training):
    """Whether the exact gradient stays the same when the input is rounded as float32 rounds it.

    A channel that happens to vary little is divided by its small deviation, twice in the gradient.
    This looks at the float64 reference alone, so that no error of a framework can excuse itself.
    """
    gradients = []
    for sign in (-1, 0, 1):
        twin = copy.deepcopy(block)
        noise = np.random.default_rng(0).choice([-1.0, 1.0], x.shape)
        twin.forward(x * (1 + sign * 2.0**-23 * noise), training)
        dx = twin.backward(dy.astype(float))
        own = [g for _, leaf in twin.named_layers() for g in leaf.grads.values()]
        gradients.append([dx, *own])
    return all(
        np.abs(a - b).max() <= 1e-5 * max(1.0, np.abs(b).max())
        for moved in (gradients[0], gradients[2])
        for a, b in zip(moved, gradients[1], strict=True)
    )


OPTIONS = st.fixed_dictionaries(
    {
        "block": st.sampled_from(["BasicBlock", "BottleneckBlock"]),
        "shortcut": st.sampled_from("ABC"),
        "in_channels": st.integers(1, 8),
        "out_channels": st.sampled_from([4, 8, 12]),
        "stride": st.sampled_from([1, 2, 3]),
        "height": st.integers(3, 9),
        "width": st.integers(3, 9),
        "batch": st.integers(2, 4),
        "residual": st.booleans(),
        "training": st.booleans(),
        "seed": st.integers(0, 2**16),
    }
).filter(lambda o: possible(o) and well_conditioned(o))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(OPTIONS)
def test_three_implementations_agree(o):
    """Outputs within 1e-5, all gradients within 1e-4, and the batch statistics (float32)."""
    arguments = [o[name] for name in ("in_channels", "out_channels", "stride")]
    options = {"shortcut": o["shortcut"], "residual": o["residual"]}
    torch.manual_seed(o["seed"])  # of the first weights: the examples are the same in every run
    in_torch, in_keras, in_numpy = (
        getattr(package, o["block"])(*arguments, **options) for package in (cp, ct, ref)
    )
    rng = np.random.default_rng(o["seed"])
    for module in in_torch.modules():  # batch norms that are not the identity
        if isinstance(module, torch.nn.BatchNorm2d):
            for array, low in ((module.weight, 0.5), (module.bias, -1), (module.running_var, 0.5)):
                array.data.copy_(torch.from_numpy(rng.uniform(low, 1.5, len(array))))
    weights.transfer(in_torch, in_keras)
    weights.transfer(in_torch, in_numpy)
    before = weights.named_arrays(in_torch)
    x = rng.normal(size=(o["batch"], o["in_channels"], o["height"], o["width"]))
    x = x.astype(np.float32)

    in_torch.train(o["training"])
    tx = torch.from_numpy(x).requires_grad_()
    ty = in_torch(tx)
    dy = rng.normal(size=tuple(ty.shape)).astype(np.float32)
    ty.backward(torch.from_numpy(dy))

    kx = tf.constant(x.transpose(0, 2, 3, 1))
    with tf.GradientTape() as tape:
        tape.watch(kx)
        ky = in_keras(kx, training=o["training"])
        loss = tf.reduce_sum(ky * dy.transpose(0, 2, 3, 1))
    variables = in_keras.trainable_variables
    dx, *dw = tape.gradient(loss, [kx, *(v.value for v in variables)])

    assume(rounding_matters_little(in_numpy, x, dy, o["training"]))
    y = in_numpy.forward(x, o["training"])
    numpy_dx = in_numpy.backward(dy)
    numpy_gradients = {
        f"{name}.{key}": g
        for name, leaf in in_numpy.named_layers()
        for key, g in leaf.grads.items()
    }

    expected = ty.detach().numpy()
    _close(ky.numpy().transpose(0, 3, 1, 2), expected, 1e-5)
    _close(y, expected, 1e-5)
    _close(dx.numpy().transpose(0, 3, 1, 2), tx.grad.numpy(), 1e-4)
    _close(numpy_dx, tx.grad.numpy(), 1e-4)
    parameters = dict(in_torch.named_parameters())
    assert len(parameters) == len(dw) == len(numpy_gradients)
    for name, p in parameters.items():
        _close(numpy_gradients[name], p.grad.numpy(), 1e-4)
    kinds = {"kernel": 4, "gamma": 1, "beta": 1}
    keras_order = [p for p in parameters.values()]
    for p, variable, g in zip(keras_order, variables, dw, strict=True):
        assert kinds[variable.name] == p.ndim
        g = g.numpy().transpose(3, 2, 0, 1) if p.ndim == 4 else g.numpy()
        _close(g, p.grad.numpy(), 1e-4)

    statistics = [weights.named_arrays(m) for m in (in_torch, in_keras, in_numpy)]
    layers = dict(in_numpy.named_layers())
    for name, array in statistics[0].items():
        _close(statistics[2][name], array, 1e-5)
        if name.endswith("running_var") and o["training"]:
            # Keras keeps the biased variance: a tenth of the batch's, smaller by (n - 1) / n.
            seen = layers[name.removesuffix(".running_var")].normal
            n = seen.size // seen.shape[1]
            array = before[name] * 0.9 + (array - before[name] * 0.9) * (n - 1) / n
        _close(statistics[1][name], array, 1e-5)


def _close(a, b, tolerance):
    assert np.shape(a) == np.shape(b)
    assert np.abs(a - b).max() <= tolerance * max(1.0, np.abs(b).max())


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


def test_transfer_there_and_back_is_exact():
    source, middle = cp.cifar_resnet(8, seed=0), ct.cifar_resnet(8, seed=1)
    back = cp.cifar_resnet(8, seed=2)
    weights.transfer(source, middle)
    weights.transfer(middle, back)
    a, b = weights.named_arrays(source), weights.named_arrays(back)
    assert all((a[name] == b[name]).all() for name in a)


def test_transfer_refuses_another_shape_and_changes_nothing():
    source, target = cp.cifar_resnet(8, seed=0), cp.cifar_resnet(8, width=8, seed=1)
    before = weights.named_arrays(target)
    with pytest.raises(ValueError, match=r"stem\.conv"):
        weights.transfer(source, target)
    after = weights.named_arrays(target)
    assert all((before[name] == after[name]).all() for name in before)


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (cp.resnet18, 11_689_512),
        (cp.resnet34, 21_797_672),
        (cp.resnet50, 25_557_032),
        (cp.resnet101, 44_549_160),
        (cp.resnet152, 60_192_808),
        (lambda: cp.cifar_resnet(20), 269_722),
        (lambda: cp.cifar_resnet(110), 1_727_962),
    ],
)
def test_parameter_counts_are_the_published_ones(build, count):
    assert sum(p.numel() for p in build().parameters()) == count


BAD = [
    *(("BasicBlock", (bad, 8), {}, "in_channels") for bad in (0, -3, 1.5, "8", True, None)),
    *(("BasicBlock", (8, bad), {}, "out_channels") for bad in (0, -1, 2.0)),
    *(("BasicBlock", (8, 8, bad), {}, "stride") for bad in (0, -1, 1.0, (1, 1))),
    *(("BasicBlock", (8, 8), {"kernel_size": bad}, "kernel_size") for bad in (0, 2, 4, -3)),
    *(("BasicBlock", (8, 8), {"shortcut": bad}, "shortcut") for bad in ("D", "a", None, 1)),
    *(("BasicBlock", (8, 8), {"residual": bad}, "residual") for bad in (1, None, "no")),
    ("BasicBlock", (8, 4), {"shortcut": "A"}, "out_channels"),
    *(("BottleneckBlock", (8, bad), {}, "out_channels") for bad in (6, 2, 0)),
    ("ZeroPad", (8, 4), {}, "out_channels"),
    ("ZeroPad", (8, 8, 0), {}, "stride"),
    ("Projection", (0, 4), {}, "in_channels"),
    ("shortcut", ("E", 4, 4), {}, "shortcut"),
    *(("cifar_resnet", (bad,), {}, "depth") for bad in (21, 2, 0, -8, 20.0)),
    ("cifar_resnet", (8,), {"width": 0}, "width"),
    ("mnist_resnet", (), {"num_classes": 0}, "num_classes"),
    ("mnist_resnet", (), {"in_channels": -1}, "in_channels"),
    *(("mnist_resnet", (), {"seed": bad}, "seed") for bad in (-1, 0.5, "0")),
    ("resnet18", (), {"shortcut": "Z"}, "shortcut"),
    *(("residual_network", (bad, 10), {}, "input_shape") for bad in ((28, 28), 28, (0, 28, 1))),
    ("residual_network", ((28, 28, 1), 0), {}, "num_classes"),
    ("use_threads", (0,), {}, "threads"),
]


@pytest.mark.parametrize(("name", "args", "options", "named"), BAD)
def test_both_frameworks_refuse_in_the_same_words(name, args, options, named):
    messages = []
    for framework in (cp, ct):
        with pytest.raises(ValueError, match=named) as caught:
            getattr(framework, name)(*args, **options)
        messages.append(str(caught.value).replace("(channels, height, width)", "SHAPE"))
        messages[-1] = messages[-1].replace("(height, width, channels)", "SHAPE")
    assert messages[0] == messages[1]


def test_one_channel_does_not_broadcast():
    with pytest.raises(ValueError, match="same shape"):
        cp.Add()(torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4, 4))
    with pytest.raises(ValueError, match="same shape"):
        ct.Add()(tf.zeros((1, 4, 4, 1)), tf.zeros((1, 4, 4, 4)))


def test_branch_in_place_is_refused():
    with pytest.raises(ValueError, match="in place"):
        cp.Residual(torch.nn.ReLU(inplace=True))

    class Sly(torch.nn.Module):
        def forward(self, x):
            return x.relu_()

    with pytest.raises(ValueError, match="in place"):
        cp.Residual(Sly())(torch.ones(2))


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

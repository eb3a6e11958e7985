"""Streams, sequences, reversible blocks and the networks of other fields, in both frameworks."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import companion.tensorflow as ct
import companion.torch as cp
from companion import weights
from companion.torch.transformer import MERGES, NORMS

torch.set_num_threads(1)

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(3, 16, 24, 3)).astype(np.float32)
TOKENS = RNG.integers(0, 9, (3, 7))
FRAMES = RNG.normal(size=(3, 20, 12)).astype(np.float32)
VECTORS = RNG.normal(size=(8, 16)).astype(np.float32)

NETWORKS = [
    ("densenet_cifar", (10, 4), {}, IMAGES),
    ("dncnn", (4, 8, 3), {}, IMAGES),
    ("dncnn", (4, 8, 3), {"residual": False, "norm": False}, IMAGES),
    *(
        ("residual_unet", (3, 4), {"channels": 4, "residual": r, "long_skips": s}, IMAGES)
        for r in (True, False)
        for s in (True, False)
    ),
    *(("speech_resnet", (7,), {"residual": r}, FRAMES) for r in (True, False)),
    *(("residual_lstm", (9, 2, 8), {"residual": r}, TOKENS) for r in (True, False)),
    ("residual_mlp", (16, 4, 2), {"residual": False}, VECTORS),
    ("residual_mlp", (16, 4, 2), {"norm": "batch", "merge": "rezero"}, VECTORS),
    ("residual_mlp", (16, 4, 2), {"norm": "layer", "merge": "highway"}, VECTORS),
    ("residual_mlp", (16, 4, 2), {"merge": "layer_scale"}, VECTORS),
    ("fixup_resnet", (8, 4), {}, IMAGES),
    ("revnet_cifar", (14, 8), {}, IMAGES),
    *(("transformer", (9, 2, 8), {"merge": merge}, TOKENS) for merge in MERGES),
    *(("transformer", (9, 2, 8), {"norm": norm}, TOKENS) for norm in NORMS[1:]),
    ("transformer", (9, 2, 8), {"norm": "post", "residual": False, "causal": False}, TOKENS),
]
IDS = ["-".join([n, *(f"{k}={v}" for k, v in o.items())]) for n, _, o, _ in NETWORKS]


def to_torch(x):
    x = torch.from_numpy(x)
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x


def to_numpy(y):
    y = y.detach().numpy()
    return y.transpose(0, 2, 3, 1) if y.ndim == 4 else y


def near(a, b, tolerance):
    assert a.shape == b.shape
    assert np.abs(a - b).max() <= tolerance * max(1.0, np.abs(b).max())


def lived_in(model, seed):
    """Give every trained parameter of a PyTorch model a value that is not its initial one."""
    rng = np.random.default_rng(seed)
    for p in model.parameters():
        if p.requires_grad:
            p.data += torch.from_numpy(rng.normal(0, 0.1, p.shape)).to(p.dtype)


@pytest.mark.parametrize(("name", "args", "options", "x"), NETWORKS, ids=IDS)
def test_networks_start_alike_and_agree(name, args, options, x):
    here, there = (getattr(package, name)(*args, seed=3, **options) for package in (cp, ct))
    a, b = weights.named_arrays(here), weights.named_arrays(there)
    assert list(a) == list(b) and all((a[k] == b[k]).all() for k in a)
    lived_in(here, 0)
    weights.transfer(here, there)
    training = "stochastic" not in str(options)  # its draws are each framework's own
    here.train(training)
    y = here(to_torch(x))
    dy = np.random.default_rng(1).normal(size=to_numpy(y).shape).astype(np.float32)
    y.backward(to_torch(dy))
    with tf.GradientTape() as tape:
        z = there(x, training=training)
        loss = tf.reduce_sum(z * dy)
    gradients = tape.gradient(loss, [v.value for v in there.trainable_variables])
    near(z.numpy(), to_numpy(y), 2e-5)
    theirs = np.sort([float(p.grad.norm()) for p in here.parameters() if p.requires_grad])
    near(np.sort([float(tf.norm(g)) for g in gradients]), theirs, 2e-4)
    back = getattr(cp, name)(*args, seed=4, **options)
    weights.transfer(there, back)  # what Keras's own training step left in its statistics
    c, d = weights.named_arrays(there), weights.named_arrays(back)
    assert list(c) == list(d)
    assert all((c[k] == d[k]).all() for k in c)


@pytest.mark.parametrize(("name", "args", "options", "x"), NETWORKS, ids=IDS)
def test_keras_networks_are_saved_whole(name, args, options, x, tmp_path):
    model = getattr(ct, name)(*args, seed=3, **options)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(model.predict_on_batch(x), again.predict_on_batch(x))


def test_a_stack_of_streams_reloads_in_a_fresh_process(tmp_path):
    model = ct.transformer(9, 2, 8, merge="hyper", seed=1)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", TOKENS)
    code = (
        "import keras, numpy as np, companion.tensorflow; "
        "m = keras.models.load_model('model.keras'); "
        "np.save('y.npy', m.predict_on_batch(np.load('x.npy')))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    y = np.load(tmp_path / "y.npy")
    np.testing.assert_allclose(y, model.predict_on_batch(TOKENS), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("package", [cp, ct], ids=["torch", "tensorflow"])
@pytest.mark.parametrize("merge", ["hyper", "manifold", "depth_attention"])
def test_streams_start_as_plain_addition(package, merge):
    outputs = []
    for kind in ("add", merge):
        model = package.transformer(9, 4, 8, merge=kind, seed=0)
        x = torch.from_numpy(TOKENS) if package is cp else TOKENS
        y = model(x)
        outputs.append(to_numpy(y) if package is cp else y.numpy())
    # The mean over depth is the sum divided by its length: only the norms' eps tell them apart.
    near(outputs[1], outputs[0], 5e-3 if merge == "depth_attention" else 1e-5)


def test_sinkhorn_is_doubly_stochastic_and_products_stay_so():
    logits = np.random.default_rng(0).normal(0, 1, (50, 4, 4)).astype(np.float32)
    here = cp.sinkhorn(torch.from_numpy(logits)).numpy()
    near(np.asarray(ct.sinkhorn(tf.constant(logits))), here, 1e-6)
    product = np.linalg.multi_dot(here)
    for matrix in (*here, product):
        assert (matrix > 0).all()
        np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-4)
        np.testing.assert_allclose(matrix.sum(0), 1, atol=2e-2)


def test_attention_is_causal():
    for package in (cp, ct):
        model = package.transformer(9, 2, 8, seed=0)
        other = TOKENS.copy()
        other[:, 4:] = (other[:, 4:] + 1) % 9
        outputs = []
        for tokens in (TOKENS, other):
            y = model(torch.from_numpy(tokens) if package is cp else tokens)
            outputs.append(to_numpy(y) if package is cp else y.numpy())
        near(outputs[0][:, :4], outputs[1][:, :4], 1e-6)
        assert np.abs(outputs[0][:, 4:] - outputs[1][:, 4:]).max() > 0.1


@pytest.mark.parametrize("training", [True, False])
def test_reversible_blocks_are_inverted(training):
    x = np.random.default_rng(0).normal(size=(4, 8, 6, 6)).astype(np.float32)
    here, there = cp.ReversibleBlock(8, 8), ct.ReversibleBlock(8, 8)
    here.train(training)
    near(here.inverse(here(torch.from_numpy(x))).numpy(), x, 1e-5)
    x = x.transpose(0, 2, 3, 1)
    near(there.inverse(there(x, training=training), training=training).numpy(), x, 1e-5)
    for package in (cp, ct):
        with pytest.raises(ValueError, match="cannot be inverted"):
            package.ReversibleBlock(8, 16, 2).inverse(x)
        with pytest.raises(ValueError, match="reversible"):
            package.ReversibleSequential(package.ReversibleBlock(8, 16, 2))


def test_recomputed_gradients_and_statistics_are_the_stored_ones():
    for package in (cp, ct):
        gradients, statistics = [], []
        for recompute in (True, False):
            model = package.revnet_cifar(14, 8, recompute=recompute, seed=0)
            if package is cp:
                model(to_torch(IMAGES)).square().sum().backward()
                gradients.append([p.grad.numpy() for p in model.parameters()])
            else:
                with tf.GradientTape() as tape:
                    loss = tf.reduce_sum(model(IMAGES, training=True) ** 2)
                variables = [v.value for v in model.trainable_variables]
                gradients.append([g.numpy() for g in tape.gradient(loss, variables)])
            arrays = weights.named_arrays(model)
            statistics.append({k: a for k, a in arrays.items() if "running" in k})
        for a, b in zip(*gradients, strict=True):
            near(a, b, 1e-3)
        assert statistics[0].keys() == statistics[1].keys()
        for name, array in statistics[0].items():
            np.testing.assert_allclose(array, statistics[1][name], rtol=1e-6, atol=1e-7)


def test_keras_trains_a_reversible_network():
    model = ct.revnet_cifar(14, 8, seed=0)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses = [model.train_on_batch(IMAGES, np.arange(3)) for _ in range(30)]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize(
    ("name", "args", "count"),
    [("densenet_cifar", (100, 12), 769_162), ("revnet_cifar", (110,), 1_729_162)],
)
def test_sizes_are_the_published_ones(name, args, count):
    # DenseNet-BC-100-12: 0.8M in table 2 of the paper. RevNet-110: 1.73M.
    for package in (cp, ct):
        arrays = weights.named_arrays(getattr(package, name)(*args))
        assert sum(a.size for k, a in arrays.items() if "running" not in k) == count


def test_starts_of_the_branches():
    network = cp.cifar_resnet(14, 4, seed=0)
    he = weights.named_arrays(network)
    weights.initialize(network, 0, "zero_gamma")
    zero = weights.named_arrays(network)
    ends = [name for name in he if name.endswith("branch.norm2.weight")]
    assert len(ends) == 6
    for name in he:
        np.testing.assert_array_equal(zero[name], 0 * he[name] if name in ends else he[name])
    weights.initialize(network, 0, "scaled")
    scaled = weights.named_arrays(network)
    for name in he:
        factor = 6**-0.5 if name in ends else 1
        np.testing.assert_allclose(scaled[name], factor * he[name], rtol=1e-6)
    fixup = weights.named_arrays(cp.fixup_resnet(14, 4, seed=0))
    for name, array in fixup.items():
        if name.endswith("branch.conv1.weight"):  # six branches of two layers: 6^(-1/2)
            fan_out = array[:, 0].size
            assert abs(array.std() * (fan_out / 2) ** 0.5 * 6**0.5 - 1) < 0.25
        if name.endswith(("branch.conv2.weight", "dense.weight")):
            assert not array.any()


def test_starts_that_do_not_suit_the_branches_change_nothing():
    for network, scheme, named in [
        (cp.cifar_preact_resnet(8, 4, seed=0), "zero_gamma", "last norm"),
        (cp.cifar_resnet(8, 4, seed=0), "fixup", "no norm"),
        (cp.Conv2d(3, 3), "scaled", "residual branches"),
        (cp.cifar_resnet(8, 4, seed=0), "best", "scheme"),
    ]:
        before = weights.named_arrays(network)
        with pytest.raises(ValueError, match=named):
            weights.initialize(network, 1, scheme)
        after = weights.named_arrays(network)
        assert all((before[name] == after[name]).all() for name in before)


BAD = [
    ("densenet_cifar", (12,), {}, "depth"),
    ("densenet_cifar", (10, 0), {}, "growth"),
    ("revnet_cifar", (20,), {}, "depth"),
    ("revnet_cifar", (14, 7), {}, "width"),
    ("revnet_cifar", (14,), {"recompute": 1}, "recompute"),
    ("dncnn", (1,), {}, "depth"),
    ("dncnn", (), {"norm": "batch"}, "norm"),
    ("speech_resnet", (8,), {}, "depth"),
    ("residual_lstm", (9, 0), {}, "depth"),
    ("residual_lstm", (0, 2), {}, "vocabulary"),
    ("residual_mlp", (16, 4, 2), {"norm": "group"}, "norm"),
    ("residual_mlp", (16, 4, 2), {"merge": "max"}, "merge"),
    ("residual_mlp", (16, 4, 0), {}, "blocks"),
    ("residual_unet", (1, 2, 0), {}, "levels"),
    ("residual_unet", (), {"long_skips": None}, "long_skips"),
    ("transformer", (9, 2, 10), {}, "channels"),
    ("transformer", (9, 2), {"norm": "batch"}, "norm"),
    ("transformer", (9, 2), {"merge": "sum"}, "merge"),
    ("transformer", (9, 2), {"merge": "hyper", "norm": "post"}, "merge"),
    ("transformer", (9, 2), {"merge": "hyper", "residual": False}, "merge"),
    ("Conv1d", (3, 4, 2), {}, "kernel_size"),
    ("Conv1d", (3, 4), {"dilation": 0}, "dilation"),
    ("SinusoidalPositions", (7,), {}, "channels"),
    ("ReversibleBlock", (7, 8), {}, "in_channels"),
    ("fixup_resnet", (9,), {}, "depth"),
]


@pytest.mark.parametrize(("name", "args", "options", "named"), BAD)
def test_both_frameworks_refuse_in_the_same_words(name, args, options, named):
    messages = []
    for framework in (cp, ct):
        with pytest.raises(ValueError, match=named) as caught:
            getattr(framework, name)(*args, **options)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_an_image_that_cannot_be_halved_is_refused():
    x = np.zeros((1, 10, 12, 1), np.float32)
    with pytest.raises(ValueError, match="multiples of 4"):
        cp.residual_unet(1, 2, levels=2)(to_torch(x))
    with pytest.raises(ValueError, match="multiples of 4"):
        ct.residual_unet(1, 2, levels=2)(x)

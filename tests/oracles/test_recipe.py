"""Losses, optimizer steps and the schedule against their papers and PyTorch's own."""

from __future__ import annotations

import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import companion.reference as reference
from companion import recipe, weights
from companion.weights.layer_weights import layer_weights

from .harness import BOTH, PACKAGES, build, normal

LOGITS = np.array([[2.0, 0.0, -1.0], [0.5, 1.5, 0.0], [0.0, 0.0, 3.0], [1.0, -1.0, 0.5]])
LABELS = np.array([0, 2, 2, 1])


def identity_network(framework, classes=3):
    """A dense layer that starts as the identity: its inputs are its logits."""
    if framework == "torch":
        model = build(framework, "Dense", classes, classes)
    else:
        model = keras.Sequential(
            [keras.Input((classes,)), build(framework, "Dense", classes, classes)]
        )
    for layer in layer_weights(model):
        layer.assign("weight", np.eye(classes, dtype=np.float32))
        layer.assign("bias", np.zeros(classes, np.float32))
    return model


@pytest.fixture
def in_double():
    """Runs over several steps are followed in float64; tests/conftest.py puts it back."""
    keras.config.set_floatx("float64")
    torch.set_default_dtype(torch.float64)


def data(x, y, classes=3):
    return SimpleNamespace(x_train=np.asarray(x), y_train=np.asarray(y), num_classes=classes)


def fit(framework, model, given, **settings):
    settings = {"epochs": 1, "batch_size": len(given.x_train), "weight_decay": 0.0, **settings}
    return PACKAGES[framework].fit(model, given, progress=False, **settings)


def cross_entropy(logits, labels, smoothing=0.0):
    """Szegedy et al. 2016, arXiv 1512.00567, section 7: q' = (1 - e) q + e / K."""
    counted = labels >= 0
    logits, labels = logits[counted], labels[counted]
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    target = np.eye(logits.shape[1])[labels] * (1 - smoothing) + smoothing / logits.shape[1]
    return -(target * log_p).sum(1).mean()


@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize(
    ("smoothing", "labels"),
    [(0.0, LABELS), (0.1, LABELS), (0.4, np.array([0, -1, 2, -1]))],
)
def test_the_training_loss(framework, smoothing, labels):
    model = identity_network(framework)
    history = fit(framework, model, data(LOGITS, labels), label_smoothing=smoothing)
    want = cross_entropy(LOGITS, labels, smoothing)
    torch_says = F.cross_entropy(
        torch.tensor(LOGITS), torch.tensor(labels), ignore_index=-1, label_smoothing=smoothing
    )
    assert want == pytest.approx(torch_says.item(), rel=1e-9)
    assert history.loss[0] == pytest.approx(want, rel=1e-5)
    met = (LOGITS.argmax(1) == labels)[labels >= 0].mean()
    assert history.accuracy[0] == pytest.approx(met)


@pytest.mark.parametrize("framework", BOTH)
def test_the_training_loss_of_pixels_and_steps(framework):
    # one label for each step of a sequence (N, T, C); those of -1 are in no mean
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 4, 3)), rng.integers(-1, 3, (2, 4))
    if framework == "torch":
        model = build(framework, "Dense", 3, 3)
    else:
        model = keras.Sequential([keras.Input((None, 3)), build(framework, "Dense", 3, 3)])
    for layer in layer_weights(model):
        layer.assign("weight", np.eye(3, dtype=np.float32))
    history = fit(framework, model, data(x, y))
    want = cross_entropy(x.reshape(-1, 3), y.reshape(-1))
    assert history.loss[0] == pytest.approx(want, rel=1e-5)
    # and for each pixel (N, H, W, C)
    x, y = rng.normal(size=(2, 2, 3, 3)), rng.integers(-1, 3, (2, 2, 3))
    if framework == "torch":
        model = build(framework, "Conv2d", 3, 3, 1)
    else:
        model = keras.Sequential(
            [keras.Input((None, None, 3)), build(framework, "Conv2d", 3, 3, 1)]
        )
    for layer in layer_weights(model):
        layer.assign("weight", np.eye(3, dtype=np.float32)[:, :, None, None])
    history = fit(framework, model, data(x, y))
    want = cross_entropy(x.reshape(-1, 3), y.reshape(-1))
    assert history.loss[0] == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("framework", BOTH)
def test_a_loss_by_hand(framework):
    # two logits of 0 and log 3: p = (1/4, 3/4); smoothed by 0.2 the target of class 1 is (0.1, 0.9)
    given = data([[0.0, math.log(3)]] * 2, np.array([1, 1]), 2)
    want = -(0.1 * math.log(0.25) + 0.9 * math.log(0.75))
    history = fit(framework, identity_network(framework, 2), given, label_smoothing=0.2)
    assert history.loss[0] == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("framework", BOTH)
def test_squared_error_is_the_mean_over_all_numbers(framework):
    x, y = LOGITS, normal(4, 3, seed=3)
    history = fit(framework, identity_network(framework), data(x, y), loss="squared_error")
    assert history.loss[0] == pytest.approx(((x - y) ** 2).mean(), rel=1e-5)
    assert history.accuracy[0] == 0


@pytest.mark.parametrize("framework", BOTH)
def test_evaluate(framework):
    labels = np.array([0, -1, 2, 1])
    loss, accuracy = PACKAGES[framework].evaluate(
        identity_network(framework), LOGITS.astype("float32"), labels, batch_size=3
    )
    assert loss == pytest.approx(cross_entropy(LOGITS, labels), rel=1e-5)
    assert accuracy == pytest.approx(2 / 3)


def test_the_reference_s_cross_entropy():
    loss, gradient = reference.softmax_cross_entropy(LOGITS, LABELS)
    logits = torch.tensor(LOGITS, requires_grad=True)
    want = F.cross_entropy(logits, torch.tensor(LABELS))
    want.backward()
    assert loss == pytest.approx(want.item(), rel=1e-12)
    np.testing.assert_allclose(gradient, logits.grad, rtol=1e-12, atol=1e-15)
    # p = (1/4, 3/4), label 1: -log(3/4), gradient (1/4, -1/4)
    loss, gradient = reference.softmax_cross_entropy(np.array([[0.0, math.log(3)]]), np.array([1]))
    assert loss == pytest.approx(0.28768207)
    np.testing.assert_allclose(gradient, [[0.25, -0.25]])


def steps_of(framework, update, epochs=6, **settings):
    """Train by full batches; return our weights and those of ``update(w, g, t, rate)`` in NumPy."""
    x, y = normal(6, 3), normal(6, 3, seed=2)
    model = identity_network(framework)
    fit(framework, model, data(x, y), loss="squared_error", epochs=epochs, **settings)
    found = weights.named_arrays(model)
    ours = [next(a for k, a in found.items() if k.endswith(e)) for e in ("weight", "bias")]
    w, b = np.eye(3), np.zeros(3)
    for t in range(epochs):
        error = 2 * (x @ w.T + b - y) / y.size
        rate = cycle(settings["learning_rate"], t, epochs)
        w, b = update([w, b], [error.T @ x, error.sum(0)], t + 1, rate)
    return ours, [w, b]


def cycle(peak, step, steps):
    """Up from a tenth over the first quarter, then down by a cosine to zero."""
    warm = round(steps / 4)
    if step < warm:
        return peak * (0.1 + 0.9 * step / warm)
    return peak * (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize("decay", [0.3])
def test_sgd_with_nesterov_momentum(framework, decay):
    # Nesterov 1983 as Sutskever et al. 2013 (ICML, eq. 3 and 4) have it, v = mu v - e grad, written
    # for the point that is looked ahead to (Bengio et al. 2012, arXiv 1212.0901, eq. 7):
    # w + mu v' - e g. The decay is decoupled (arXiv 1711.05101, algorithm 1): w (1 - e d), of the
    # matrix alone.
    velocity = [np.zeros((3, 3)), np.zeros(3)]

    def update(parameters, gradients, t, rate):
        after = []
        for i, (p, g) in enumerate(zip(parameters, gradients, strict=True)):
            if p.ndim > 1:
                p = p * (1 - rate * decay)
            velocity[i] = 0.9 * velocity[i] - rate * g
            after.append(p + 0.9 * velocity[i] - rate * g)
        return after

    ours, want = steps_of(framework, update, learning_rate=0.5, weight_decay=decay)
    for a, b in zip(ours, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize("decay", [0.3])
def test_adam(framework, decay):
    # Kingma and Ba 2015, arXiv 1412.6980, algorithm 1, with the order of section 2's end, where
    # eps stands beside the uncorrected root: 0.9, 0.999, 1e-8; decoupled decay of the matrix.
    m = [np.zeros((3, 3)), np.zeros(3)]
    v = [np.zeros((3, 3)), np.zeros(3)]

    def update(parameters, gradients, t, rate):
        after = []
        for i, (p, g) in enumerate(zip(parameters, gradients, strict=True)):
            if p.ndim > 1:
                p = p * (1 - rate * decay)
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.999 * v[i] + 0.001 * g**2
            root = np.sqrt(v[i] / (1 - 0.999**t))
            after.append(p - rate * m[i] / (1 - 0.9**t) / (root + 1e-8 / np.sqrt(1 - 0.999**t)))
        return after

    ours, want = steps_of(
        framework, update, learning_rate=0.05, weight_decay=decay, optimizer="adam"
    )
    for a, b in zip(ours, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("framework", ["torch"])
def test_adam_equals_torch_optim(framework):
    optimizers = {}

    def update(parameters, gradients, t, rate):
        if not optimizers:
            own = [torch.tensor(p, dtype=torch.float64) for p in parameters]
            groups = [
                {"params": own[:1], "weight_decay": 0.3},
                {"params": own[1:], "weight_decay": 0},
            ]
            optimizers["adam"] = torch.optim.AdamW(groups)
            optimizers["own"] = own
        for p, g in zip(optimizers["own"], gradients, strict=True):
            p.grad = torch.tensor(g)
        for group in optimizers["adam"].param_groups:
            group["lr"] = rate
        optimizers["adam"].step()
        return [p.numpy().copy() for p in optimizers["own"]]

    ours, want = steps_of(framework, update, learning_rate=0.05, weight_decay=0.3, optimizer="adam")
    for a, b in zip(ours, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize(
    ("framework", "optimizer"), [("torch", "sgd"), ("torch", "adam"), ("tensorflow", "adam")]
)
def test_a_tiny_gradient_shows_adam_s_eps(framework, optimizer):
    # One step from gradient g: Adam moves by rate g / (|g| + eps / sqrt(0.001)). The error's
    # gradient is 2 (w - y) x = 2.4e-7 at w = x = 1: g / (g + 3.16e-7) = 0.43; with an eps of 1e-7
    # (Keras's own) it would be 0.07. SGD with Nesterov moves by rate 1.9 g.
    given = data([[1.0]], [[1.0 - 2**-23]], 1)
    model = identity_network(framework, 1)
    fit(
        framework,
        model,
        given,
        loss="squared_error",
        learning_rate=1e5 if optimizer == "sgd" else 1.0,
        optimizer=optimizer,
    )
    bias = next(a for k, a in weights.named_arrays(model).items() if k.endswith("bias")).item()
    g = 2 * 2**-23
    rate = {"sgd": 1e4, "adam": 0.1}[optimizer]  # the first rate is a tenth of the peak
    want = {"sgd": 1.9 * g, "adam": g / (g + 1e-8 / math.sqrt(0.001))}[optimizer]
    assert -bias == pytest.approx(rate * want, rel=1e-3)


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize(
    ("framework", "optimizer"), [("torch", "sgd"), ("torch", "adam"), ("tensorflow", "sgd")]
)
def test_decay_spares_biases_and_norms(framework, optimizer):
    # With targets that are met the gradients are zero, and what is left is (1 - rate decay) once a
    # step. Rates of 4 steps at a peak of 0.5: 0.05, then (1 + cos(k pi / 3)) / 4, k = 0, 1, 2.
    if framework == "torch":
        model = torch.nn.Sequential(
            build(framework, "Conv2d", 2, 2, 1, bias=True), build(framework, "BatchNorm2d", 2)
        )
    else:
        model = keras.Sequential(
            [
                keras.Input((2, 2, 2)),
                build(framework, "Conv2d", 2, 2, 1, bias=True),
                build(framework, "BatchNorm2d", 2),
            ]
        )
    start = {}
    for i, layer in enumerate(layer_weights(model)):
        for key, a in layer.arrays.items():
            if "running" not in key:
                value = 0.0 if (i, key) == (1, "weight") else 1.5
                layer.assign(key, np.full(a.shape, value, a.dtype))
            start[i, key] = layer.arrays[key].copy()
    start = {f"{n}": a for n, a in weights.named_arrays(model).items()}
    # a norm of weight 0 gives its bias whatever comes in: no gradient but the weight's and bias's
    x = normal(4, 2, 2, 2)
    y = np.full((4, 2, 2, 2), 1.5)
    fit(
        framework,
        model,
        data(x, y),
        loss="squared_error",
        epochs=4,
        learning_rate=0.5,
        weight_decay=0.2,
        optimizer=optimizer,
    )
    kept = np.prod([1 - 0.2 * r for r in (0.05, 0.5, 0.375, 0.125)])
    for name, a in weights.named_arrays(model).items():
        if "running" in name:
            continue
        factor = kept if a.ndim > 1 else 1.0
        np.testing.assert_allclose(a, factor * start[name], rtol=1e-5, atol=1e-7, err_msg=name)


def test_the_learning_rate_at_named_steps():
    # Smith and Topin 2017, arXiv 1708.07120: one cycle. 100 steps, peak 0.2: 25 steps from 0.02 up,
    # then half a cosine: at a third of the way down (1 + cos 60) / 2 = 3/4, at two thirds 1/4.
    rates = [recipe.Recipe(learning_rate=0.2).rate(step, 100) for step in range(100)]
    named = {0: 0.02, 10: 0.092, 20: 0.164, 25: 0.2, 50: 0.15, 75: 0.05}
    for step, rate in named.items():
        assert rates[step] == pytest.approx(rate, rel=1e-12)
    assert rates[99] == pytest.approx(0.1 * (1 + math.cos(math.pi * 74 / 75)))
    # few steps: at least one is for the warm-up
    assert [recipe.Recipe(learning_rate=1.0).rate(s, 3) for s in range(3)] == pytest.approx(
        [0.1, 1.0, 0.5]
    )


@pytest.mark.parametrize("framework", BOTH)
def test_the_history_names_the_rate_of_each_epoch_s_last_step(framework):
    history = fit(
        framework,
        identity_network(framework),
        data(LOGITS, LABELS),
        epochs=4,
        batch_size=2,
        learning_rate=0.2,
    )
    # 8 steps, the first two up: 0.02, 0.11, 0.2, then (1 + cos(k pi / 6)) / 10
    want = [0.11, *((1 + math.cos(k * math.pi / 6)) / 10 for k in (1, 3, 5))]
    assert history.learning_rate == pytest.approx(want)


def test_defaults_are_those_that_are_written():
    made = recipe.Recipe()
    assert (made.momentum, made.weight_decay, made.learning_rate) == (0.9, 0.005, 0.1)
    assert (made.label_smoothing, made.shift, made.optimizer) == (0.0, 0, "sgd")


def test_shifts_reach_the_batches():
    # all (2 s + 1)^2 moves are as likely; what moves in is zero
    x = np.zeros((900, 5, 5, 1), np.float32)
    x[:, 2, 2] = 1
    made = recipe.Recipe(batch_size=900, shift=1)
    ((moved, _),) = recipe.batches(x, np.zeros(900, int), made, 0)
    places = np.array([np.argwhere(image[..., 0])[0] for image in moved])
    counts = np.histogram2d(*places.T, bins=5, range=[(-0.5, 4.5)] * 2)[0]
    assert counts.sum() == 900 and (counts[1:4, 1:4] > 60).all()  # 100 each, deviation 9.4
    corner = np.ones((1, 2, 2, 1))
    seen = {
        recipe.shifted(corner, 1, np.random.default_rng(s))[0, :, :, 0].sum() for s in range(40)
    }
    assert seen == {4.0, 2.0, 1.0}


def test_an_epoch_shows_each_example_once_in_another_order():
    x = np.arange(10, dtype=np.float32)[:, None]
    made = recipe.Recipe(batch_size=3)
    epochs = [
        np.concatenate([b[:, 0] for b, _ in recipe.batches(x, x[:, 0].astype(int), made, e)])
        for e in (0, 1)
    ]
    for seen in epochs:
        assert len(seen) == 9 == len(set(seen.tolist()))  # the incomplete batch is dropped
    assert epochs[0].tolist() != epochs[1].tolist()
    for b, y in recipe.batches(x, x[:, 0].astype(int), made, 0):
        assert (b[:, 0] == y).all()

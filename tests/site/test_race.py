"""The engine of the race: its arithmetic is the reference's and PyTorch's, its digits the data."""

from __future__ import annotations

import numpy as np
import pytest

from companion import reference
from companion.data import digits8
from tools.race_still import LIVE

WIDTH, DEPTH, COUNT, RATE = 8, 5, 12, 3e-3
MODES = ["none", "sum", "sqrt", "rezero"]
#: Builds a network, moves its parameters away from where they begin, and takes one step.
ONE_STEP = """({options, theta, images, labels, rate}) => {
  const net = raceEngine.network(options);
  const start = Array.from(net.theta);
  net.theta.set(theta || start);
  const logits = Array.from(net.forward(Float64Array.from(images), labels.length))
    .slice(0, 10 * labels.length);
  const loss = net.loss(labels);
  net.backward(labels);
  const grad = Array.from(net.grad), norms = net.gradientNorms();
  net.step(rate);
  net.forward(Float64Array.from(images), labels.length);
  net.loss(labels);
  net.backward(labels);
  net.step(rate);
  return {layout: net.layout, start, logits, loss, grad, norms, after: Array.from(net.theta)};
}"""


@pytest.fixture(scope="module")
def engine(browser):
    """Evaluate an expression on an empty page that holds the engine alone."""
    page = browser.new_page()
    for script in ("digits", "decode", "engine"):
        page.add_script_tag(path=LIVE / "race" / f"{script}.js")
    yield page.evaluate
    page.close()


@pytest.fixture(params=[(mode, norm) for mode in MODES for norm in (False, True)])
def case(request, engine):
    """One step of each kind of network, from parameters and a batch that a seed draws."""
    mode, norm = request.param
    rng = np.random.default_rng(3)
    options = {"depth": DEPTH, "width": WIDTH, "shortcut": mode, "norm": norm, "seed": 4}
    images, labels = rng.random((COUNT, 64)), rng.integers(0, 10, COUNT)
    given = {"options": options, "images": images.ravel().tolist(), "labels": labels.tolist()}
    begun = engine(ONE_STEP, {**given, "rate": RATE})
    theta = np.array(begun["start"]) + rng.normal(0, 0.1, len(begun["start"]))
    found = engine(ONE_STEP, {**given, "rate": RATE, "theta": theta.tolist()})
    return mode, norm, theta, images, labels, found


def part(found, flat, name):
    start, length = found["layout"][name]
    return np.asarray(flat)[start : start + length]


class LayerNorm(reference.Layer):
    """(x - mean) / sqrt(var + 1e-5) over the last axis, without gain and offset."""

    def forward(self, x, training=True):
        self.scale = 1 / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        self.y = (x - x.mean(-1, keepdims=True)) * self.scale
        return self.y

    def backward(self, dy):
        along = (dy * self.y).mean(-1, keepdims=True)
        return (dy - dy.mean(-1, keepdims=True) - self.y * along) * self.scale


class Times(reference.Layer):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x, training=True):
        return self.factor * x

    def backward(self, dy):
        return self.factor * dy


def reference_network(mode, norm, found, theta):
    """Return the same network, of the reference's layers, and its parameters' owners by name."""
    owners = {}

    def dense(name, inputs, outputs):
        layer = owners[f"{name}.weight"] = owners[f"{name}.bias"] = reference.Dense(inputs, outputs)
        layer.params["weight"] = part(found, theta, f"{name}.weight").reshape(outputs, inputs)
        layer.params["bias"] = part(found, theta, f"{name}.bias")
        return layer

    layers = {"stem": dense("stem", 64, WIDTH), "relu": reference.ReLU()}
    for depth in range(1, DEPTH + 1):
        branch = {"norm": LayerNorm()} if norm else {}
        branch |= {"dense": dense(depth, WIDTH, WIDTH), "relu": reference.ReLU()}
        if mode == "sqrt":
            branch["scale"] = Times(DEPTH**-0.5)
        merge = reference.ScaledAdd() if mode == "rezero" else None
        if merge is not None:
            merge.params["scale"] = part(found, theta, f"{depth}.scale")
            owners[f"{depth}.scale"] = merge
        shortcut = None if mode == "none" else "identity"
        layers[f"block{depth}"] = reference.Residual(
            reference.Sequential(**branch), shortcut=shortcut, merge=merge
        )
    if norm:
        layers["norm"] = LayerNorm()
    return reference.Sequential(**layers, head=dense("head", WIDTH, 10)), owners


def test_forward_backward_and_norms_are_those_of_the_reference(case):
    mode, norm, theta, images, labels, found = case
    network, owners = reference_network(mode, norm, found, theta)
    logits = network.forward(images)
    loss, gradient = reference.softmax_cross_entropy(logits, labels)
    network.backward(gradient)
    np.testing.assert_allclose(np.reshape(found["logits"], (COUNT, 10)), logits, atol=1e-10)
    assert found["loss"] == pytest.approx(loss, abs=1e-12)
    assert set(owners) == set(found["layout"])
    for name, owner in owners.items():
        wanted = owner.grads[name.partition(".")[2]].ravel()
        np.testing.assert_allclose(part(found, found["grad"], name), wanted, atol=1e-10)
    norms = [np.linalg.norm(owners[f"{d}.weight"].grads["weight"]) for d in range(1, DEPTH + 1)]
    np.testing.assert_allclose(found["norms"], norms, rtol=1e-9)
    assert min(norms) > 1e-6


def test_two_steps_of_adam_are_pytorchs(case):
    torch = pytest.importorskip("torch")
    mode, norm, theta, images, labels, found = case
    flat = torch.tensor(theta, requires_grad=True)
    optimizer = torch.optim.Adam([flat], RATE)
    x, targets = torch.tensor(images), torch.tensor(labels)
    functional = torch.nn.functional

    def get(name, *shape):
        start, length = found["layout"][name]
        return flat[start : start + length].reshape(shape)

    def normed(h):
        return functional.layer_norm(h, (WIDTH,)) if norm else h

    for step in range(2):
        h = torch.relu(x @ get("stem.weight", WIDTH, 64).T + get("stem.bias", WIDTH))
        for d in range(1, DEPTH + 1):
            weight, bias = get(f"{d}.weight", WIDTH, WIDTH), get(f"{d}.bias", WIDTH)
            f = torch.relu(normed(h) @ weight.T + bias)
            if mode == "none":
                h = f
            elif mode == "rezero":
                h = h + get(f"{d}.scale", 1) * f
            else:
                h = h + f * (DEPTH**-0.5 if mode == "sqrt" else 1)
        logits = normed(h) @ get("head.weight", 10, WIDTH).T + get("head.bias", 10)
        optimizer.zero_grad()
        functional.cross_entropy(logits, targets).backward()
        if step == 0:
            np.testing.assert_allclose(found["grad"], flat.grad.numpy(), atol=1e-10)
        optimizer.step()
    np.testing.assert_allclose(found["after"], flat.detach().numpy(), atol=1e-9)


def test_weights_begin_as_he_et_al_say_and_rezero_at_the_identity(engine):
    options = {"depth": 6, "width": 64, "shortcut": "rezero", "norm": False, "seed": 1}
    given = {"options": options, "images": [0] * 256, "labels": [0] * 4, "rate": RATE}
    found = engine(ONE_STEP, given)
    for name, variance in (("stem", 2 / 64), ("3", 2 / 64), ("head", 1 / 64)):
        weights = part(found, found["start"], f"{name}.weight")
        assert weights.var() == pytest.approx(variance, rel=0.2)
        assert not part(found, found["start"], f"{name}.bias").any()
    assert not part(found, found["start"], "3.scale").any()


def test_the_digits_are_the_data_set(engine):
    data = digits8()
    found = engine(
        """() => {
          const {images, labels, train} = raceDecode(raceDigits);
          return [Array.from(images), Array.from(labels), train];
        }"""
    )
    images = np.concatenate([data.x_train, data.x_test]).ravel()
    np.testing.assert_array_equal(np.array(found[0]) / 16, images)
    np.testing.assert_array_equal(found[1], np.concatenate([data.y_train, data.y_test]))
    assert found[2] == len(data.x_train) == 1437


RACE = """({seed, shortcut, steps}) => {
  const data = raceDecode(raceDigits);
  const race = raceEngine.race({depth: 4, width: 8, norm: false, seed, shortcut}, data);
  const losses = [];
  for (let i = 0; i < steps; i++) losses.push(race.step());
  return {losses, accuracy: race.accuracy(), says: race.says(data.images.subarray(0, 4 * 64))};
}"""


def test_a_seed_repeats_and_another_differs(engine):
    given = {"seed": 5, "shortcut": "sqrt", "steps": 30}
    first, again = engine(RACE, given), engine(RACE, given)
    assert first == again
    other = engine(RACE, {**given, "seed": 6})
    assert other["losses"][0] != first["losses"][0]
    assert np.shape(first["says"]) == (2, 4) and len(first["accuracy"]) == 2


def test_the_plain_network_does_not_depend_on_its_rival(engine):
    """Same weights, same batches: the plain network's curve is the same beside any other."""
    runs = [engine(RACE, {"seed": 2, "shortcut": s, "steps": 10})["losses"] for s in MODES]
    plain = [[step[0] for step in losses] for losses in runs]
    assert plain[0] == plain[1] == plain[2] == plain[3]
    assert len(runs[0][0]) == 1 and runs[1][0][1] != runs[1][0][0]


def test_a_pass_shows_each_digit_once(engine):
    drawn = engine(
        """() => {
          const next = raceEngine.batches(20, 8, 1);
          return [0, 1, 2, 3].map(() => Array.from(next()));
        }"""
    )
    for first, second in (drawn[:2], drawn[2:]):
        assert len(set(first + second)) == 16 and max(first + second) < 20
    assert sorted(drawn[0]) != sorted(drawn[2])


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"shortcut": "mean"}, "shortcut must be"),
        ({"width": 6}, "multiples of 4"),
        ({"depth": 0}, "depth"),
    ],
)
def test_wrong_settings_are_refused(wrong, words, engine):
    options = {"depth": 2, "width": 8, "shortcut": "sum", "norm": False, "seed": 1, **wrong}
    said = engine(
        "o => { try { raceEngine.network(o); } catch (e) { return e.name + e.message; } }",
        options,
    )
    assert (
        said.startswith("RangeError") and words in said and str(next(iter(wrong.values()))) in said
    )

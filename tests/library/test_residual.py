"""The one idea: what goes to the branch, what comes back, what the control keeps."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
import torch.fx
from torch import nn

import companion.reference as ref
import companion.tensorflow as ct
import companion.torch as cp
from companion import weights
from companion.torch import probes
from companion.torch.costs import layer_costs
from tests.library.harness import FRAMES, IMAGES, VECTORS, numbers, to_torch, unique_paths


class Counted(nn.Linear):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x)


def test_the_preactivation_is_shared_and_runs_once():
    before, branch, shortcut = Counted(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
    block = cp.Residual(branch, shortcut, activation=nn.ReLU(), preactivation=before)
    x = torch.randn(3, 4)
    u = nn.Linear.forward(before, x)
    assert torch.equal(block(x), torch.relu(shortcut(u) + branch(u))) and before.calls == 1
    plain = cp.Residual(branch, None, activation=nn.ReLU(), preactivation=before)
    assert torch.equal(plain(x), torch.relu(branch(u)))


def test_further_inputs_go_to_the_branch_and_its_first_output_is_merged():
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    x, memory = torch.randn(2, 5, 8), torch.randn(2, 3, 8)
    mask = torch.tensor([[False, False, True], [False, True, True]])
    expected = attention(x, memory, memory, key_padding_mask=mask)[0]
    block = cp.Residual(attention)
    assert torch.equal(block(x, memory, memory, key_padding_mask=mask), x + expected)
    normed = cp.sublayer(attention, 8)
    y = attention(normed.branch.norm(x), memory, memory)[0]
    assert torch.equal(normed(x, memory, memory), x + y)
    lstm = nn.LSTM(8, 8, batch_first=True)
    assert torch.equal(cp.Residual(lstm)(x), x + lstm(x)[0])
    assert torch.equal(cp.Residual(lstm, None)(x), lstm(x)[0])
    streams = torch.randn(2, 5, 3, 8)
    hyper = cp.HyperConnection(attention, 8, 3)
    assert hyper.branch is attention
    vector = streams[:, :, 0]  # the static weights read the first stream
    y = attention(vector, memory, memory)[0]
    torch.testing.assert_close(hyper(streams, memory, memory), streams + y[:, :, None])


def test_the_reference_hands_further_inputs_on():
    class Sum(ref.Layer):
        def forward(self, x, training=True, other=0):
            return x + other, "state"

        def backward(self, dy):
            return dy

    block = ref.Residual(Sum())
    assert block(np.ones(2), True, 3.0).tolist() == [5, 5]
    assert block.forward(np.ones(2), other=3.0).tolist() == [5, 5]
    assert block.backward(np.ones(2)).tolist() == [2, 2]


@pytest.mark.parametrize("package", [cp, ref])
def test_the_control_has_no_merge(package):
    relu = nn.ReLU() if package is cp else ref.ReLU()
    control = package.Residual(relu, None, package.ScaledAdd())
    assert control.merge is None
    assert weights.named_arrays(control) == {}


CONTROLS = [
    ("cifar_resnet", (8, 4), to_torch(IMAGES)),
    ("cifar_preact_resnet", (8, 4, "B"), to_torch(IMAGES)),
    ("fixup_resnet", (8, 4), to_torch(IMAGES)),
    ("dncnn", (4, 8, 3), to_torch(IMAGES)),
    ("residual_unet", (3, 4), to_torch(IMAGES)),
    ("speech_resnet", (7,), to_torch(FRAMES)),
    *(("residual_mlp", (16, 4, 2, 8, "none", m), to_torch(VECTORS)) for m in ("rezero", "highway")),
]


@pytest.mark.parametrize(("name", "args", "x"), CONTROLS)
def test_every_weight_of_a_control_gets_a_gradient(name, args, x):
    network = getattr(cp, name)(*args, seed=0, residual=False)
    network(x).square().sum().backward()
    assert [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None] == []


def test_branch_in_place_is_refused():
    with pytest.raises(ValueError, match="in place"):
        cp.Residual(torch.nn.ReLU(inplace=True))

    class Sly(torch.nn.Module):
        def forward(self, x):
            return x.relu_()

    with pytest.raises(ValueError, match="in place"):
        cp.Residual(Sly())(torch.ones(2))


class Sly(nn.Module):
    """It writes over its input, and no constructor can know."""

    def forward(self, x):
        return 2 * x.relu_()


class SlySum(nn.Module):
    def forward(self, shortcut, branch):
        return shortcut.add_(branch)


SLY = {
    "branch": lambda: cp.Residual(Sly()),
    "shortcut": lambda: cp.Residual(nn.Tanh(), Sly()),
    "merge": lambda: cp.Residual(nn.Tanh(), merge=SlySum()),
}
CALLS = {
    "training": lambda block, x: block.train()(x),
    "inference": lambda block, x: block.eval()(x),
    "no_grad": lambda block, x: torch.no_grad()(block)(x),
    "inference_mode": lambda block, x: torch.inference_mode()(lambda: block(1 * x))(),
    "inference_mode of a tensor of before": lambda block, x: torch.inference_mode()(block)(x),
    "predict": lambda block, x: cp.predict(block, x.numpy()),
    "export": lambda block, x: torch.export.export(block, (x,)),
    "fx": lambda block, x: torch.fx.symbolic_trace(block)(x),
    "jit": lambda block, x: torch.jit.trace(block, (x,)),
    "layer_costs": layer_costs,
    "within another": lambda block, x: cp.Residual(nn.Sequential(nn.Tanh(), block))(x),
}
UNCOUNTED = {
    "compile": lambda block, x: torch.compile(block, backend="aot_eager", fullgraph=True)(x),
    "strict export": lambda block, x: torch.export.export(block, (x,), strict=True).module()(x),
    "vmap": lambda block, x: torch.vmap(block)(x),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("part", SLY)
def test_parts_in_place_are_refused_wherever_a_block_is_called(part, call):
    with pytest.raises(ValueError, match=rf"{part}.*must not change .*in place"):
        CALLS[call](SLY[part](), torch.randn(2, 3))


@pytest.mark.parametrize("call", UNCOUNTED)
@pytest.mark.parametrize("part", SLY)
def test_where_nothing_is_counted_the_result_is_that_of_copies(part, call):
    x = torch.randn(2, 3)
    parts = {
        "branch": x + 2 * x.relu(),
        "shortcut": 2 * x.relu() + x.tanh(),
        "merge": x + x.tanh(),
    }
    torch.testing.assert_close(UNCOUNTED[call](SLY[part](), x.clone()), parts[part])


def test_what_a_branch_makes_itself_it_may_write_over():
    branch = nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace=True))
    block, x = cp.Residual(branch, activation=nn.ReLU(inplace=True)), torch.randn(2, 3)
    expected = (x + branch(x)).relu()
    with torch.inference_mode():
        assert torch.equal(block(x), expected) and torch.equal(block(1 * x), expected)
    assert torch.equal(torch.fx.symbolic_trace(block)(x), expected)
    copied = [n for n in torch.export.export(block, (x,)).graph.nodes if "clone" in str(n.target)]
    assert copied == []


def test_a_lesion_of_a_network_in_place_leaves_the_stream_alone():
    block, x = cp.Residual(nn.Tanh(), activation=nn.ReLU(inplace=True)), torch.randn(2, 3)
    kept = x.clone()
    with probes.without_blocks(block, [""]):
        assert torch.equal(block(x), kept.relu()) and torch.equal(x, kept)


# The same in Keras, where each part may also be a plain function.


def test_the_preactivation_is_shared_and_parts_may_be_functions():
    x = numbers((2, 4))
    calls = []

    def before(x):
        calls.append(1)
        return x - 0.5

    block = ct.Residual(lambda u: 2 * u, keras.ops.abs, keras.ops.minimum, tf.nn.relu, before)
    u = x - 0.5
    np.testing.assert_allclose(block(x), np.maximum(np.minimum(np.abs(u), 2 * u), 0), rtol=1e-6)
    calls.clear()
    assert block(x) is not None and len(calls) == 1
    plain = ct.Residual(tf.square, None, ct.ScaledAdd(), preactivation=before)
    np.testing.assert_allclose(plain(x), u**2, rtol=1e-6)
    assert plain.merge is None and plain.weights == [] and weights.named_arrays(plain) == {}
    symbol = keras.Input((4,))
    np.testing.assert_allclose(keras.Model(symbol, plain(symbol))(x), u**2, rtol=1e-6)


def test_what_is_no_part_is_refused():
    for options in ({"branch": 3}, {"branch": None}, {"branch": abs, "merge": "add"}):
        with pytest.raises(ValueError, match="must be a Keras layer or a function"):
            ct.Residual(**options)


@pytest.mark.parametrize("wrap", [ct.Residual, lambda a: ct.sublayer(a, 8, "none")])
def test_further_inputs_go_to_a_keras_branch_and_its_first_output_is_merged(wrap, tmp_path):
    attention = keras.layers.MultiHeadAttention(2, 4, name="mine")
    block = wrap(attention)
    rng = np.random.default_rng(0)
    x, memory = (rng.random(s, np.float32) for s in ((2, 5, 8), (2, 3, 8)))
    mask = np.array([[[True, False, False]], [[True, True, False]]])
    y = block(x, memory, attention_mask=mask, return_attention_scores=True)
    expected = attention(x, memory, attention_mask=mask)
    np.testing.assert_allclose(y, x + expected, rtol=1e-6)
    assert np.abs(y - block(x, value=memory)).max() > 1e-4  # the mask counts
    unique_paths(block)
    assert all(v.path.startswith(block.name) and "/mine/" in v.path for v in block.variables)
    symbols = [keras.Input(s) for s in ((5, 8), (3, 8))]
    symbols.append(keras.Input((1, 3), dtype="bool"))
    fresh = wrap(keras.layers.MultiHeadAttention(2, 4))
    outputs = fresh(
        symbols[0], value=symbols[1], attention_mask=symbols[2], return_attention_scores=True
    )
    model = keras.Model(symbols, outputs)
    assert len(model.weights) == 8
    model.save(tmp_path / "attention.keras")
    again = keras.models.load_model(tmp_path / "attention.keras")
    np.testing.assert_array_equal(model([x, memory, mask]), again([x, memory, mask]))


def test_the_state_of_an_lstm_is_dropped_and_masks_pass():
    lstm = keras.layers.LSTM(4, return_sequences=True, return_state=True)
    x = numbers((2, 5, 4))
    mask = np.arange(5) < np.array([[5], [3]])
    block = ct.Residual(lstm)
    np.testing.assert_allclose(block(x), x + lstm(x)[0], rtol=1e-6)
    np.testing.assert_allclose(block(x, mask=mask), x + lstm(x, mask=mask)[0], rtol=1e-6)
    embedded = keras.layers.Embedding(9, 4, mask_zero=True)(np.array([[1, 2, 0], [3, 0, 0]]))
    np.testing.assert_allclose(block(embedded), embedded + lstm(embedded)[0], rtol=1e-6)

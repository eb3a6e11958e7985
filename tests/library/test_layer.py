"""Masks and Keras's own call arguments, in every layer: compared with Keras's layers."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import companion.tensorflow as ct
from companion.tensorflow.sequence_layers import GlobalAveragePool1d
from tests.library.harness import numbers
from tests.library.test_keras_expectations import FRAMES, LAYERS, STREAMS

TOKENS = np.array([[3, 1, 2, 4, 0, 0], [5, 6, 0, 0, 0, 0]])
MASK = TOKENS > 0
RNG = np.random.default_rng(0)
SEQUENCE = RNG.normal(size=(2, 6, 4)).astype(np.float32)


def embedding():
    return ct.Embedding(9, 4, mask_zero=True, name="embedding")


def mask_of(x):
    return getattr(x, "_keras_mask", None)


def lstms(**options):
    """Return the companion's LSTM and Keras's, with equal weights."""
    ours = ct.LSTM(4, 3, **options)
    theirs = keras.layers.LSTM(3, **{"return_sequences": True, **options})
    for layer in (ours, theirs):
        layer.build((2, 6, 4))
    theirs.set_weights(ours.get_weights())
    return ours, theirs


@pytest.mark.parametrize("options", [{}, {"return_state": True}, {"return_sequences": False}])
def test_an_lstm_takes_what_keras_takes(options):
    ours, theirs = lstms(**options)
    state = [RNG.normal(size=(2, 3)).astype(np.float32) for _ in range(2)]
    for arguments in (
        {"mask": MASK},
        {"initial_state": state},
        {"initial_state": state, "mask": MASK, "training": True},
    ):
        one, two = (keras.tree.flatten(f(SEQUENCE, **arguments)) for f in (ours, theirs))
        assert len(one) == len(two)
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(ours(sequences=SEQUENCE)[0], theirs(sequences=SEQUENCE)[0])
    assert ours.compute_output_shape((2, 6, 4)) == theirs.compute_output_shape((2, 6, 4))


def test_lstms_in_a_row_obey_the_mask_and_keep_a_state():
    row = keras.Sequential([embedding(), ct.LSTM(4, 3), ct.LSTM(3, 2, return_sequences=False)])
    short = row(TOKENS[1:, :2])
    np.testing.assert_allclose(row(TOKENS)[1:], short, atol=1e-6)
    np.testing.assert_allclose(row.predict(TOKENS, verbose=0)[1:], short, atol=1e-6)
    ours, theirs = lstms(stateful=True)
    for _ in range(2):
        np.testing.assert_array_equal(ours(SEQUENCE), theirs(SEQUENCE))


@pytest.mark.parametrize("causal", [False, True])
def test_attention_sees_no_masked_token(causal):
    ours, theirs = ct.Attention(4, 2, causal), keras.layers.MultiHeadAttention(2, 2)
    x = tf.constant(SEQUENCE)
    ours(x), theirs(x, x)
    theirs.set_weights([a.reshape(v.shape) for a, v in _attention_weights(ours, theirs)])
    y = ours(x, mask=MASK)
    expected = theirs(x, x, attention_mask=MASK[:, None, :], use_causal_mask=causal)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    left = MASK[:, ::-1]  # padded on the left: the first tokens see nobody
    assert np.isfinite(ct.Attention(4, 2, causal, dtype="float16")(x, mask=left)).all()


def _attention_weights(ours, theirs):
    layers = (ours.query, ours.key, ours.value, ours.out)
    arrays = [a for layer in layers for a in layer.get_weights()]
    return zip(arrays, theirs.weights, strict=True)


@pytest.mark.parametrize("training", [True, False])
def test_norm_and_mean_over_time_leave_masked_steps_out(training):
    ours, theirs = ct.BatchNorm1d(4), keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
    one, two = (norm(SEQUENCE, training=training, mask=MASK) for norm in (ours, theirs))
    np.testing.assert_allclose(one, two, atol=1e-5)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    expected = keras.layers.GlobalAveragePooling1D()(SEQUENCE, mask=MASK)
    np.testing.assert_allclose(GlobalAveragePool1d()(SEQUENCE, mask=MASK), expected, atol=1e-6)
    assert np.isfinite(GlobalAveragePool1d()(SEQUENCE, mask=np.zeros((2, 6), bool))).all()


def sequential(*blocks):
    """Return layers that make tokens something for each token, around a block."""
    return keras.Sequential([embedding(), ct.SinusoidalPositions(4), *blocks])


def streams(n, block, reduce):
    return keras.Sequential([embedding(), ct.ExpandStreams(n), block, reduce, ct.Attention(4, 2)])


def lstm():
    return ct.LSTM(4, 4, go_backwards=False)


#: What reads other steps, in every kind of connection: each has to know which are there.
READERS = {
    "attention": lambda: sequential(ct.Attention(4, 2)),
    **{
        f"block {norm}": lambda norm=norm: sequential(ct.TransformerBlock(4, 2, norm))
        for norm in ("pre", "post", "sandwich", "deepnorm", "none")
    },
    "control": lambda: sequential(ct.TransformerBlock(4, 2, residual=False)),
    "residual": lambda: sequential(ct.Residual(ct.Attention(4, 2))),
    "bidirectional": lambda: sequential(
        ct.Residual(keras.layers.Bidirectional(lstm(), merge_mode="sum"))
    ),
    "two": lambda: sequential(ct.Residual(lstm()), ct.Residual(ct.Attention(4))),
    "scaled": lambda: sequential(
        *(ct.Residual(lstm(), merge=m) for m in (ct.ScaledAdd(0.5), ct.Highway(4)))
    ),
    "hyper": lambda: streams(4, ct.HyperConnection(ct.Attention(4, 2), 4), ct.ReduceStreams()),
    "manifold": lambda: streams(
        4, ct.ManifoldHyperConnection(ct.Attention(4, 2), 4), ct.ReduceStreams()
    ),
    "depth": lambda: streams(1, ct.DepthAttentionBlock(ct.Attention(4, 2), 4), ct.DepthPooling(4)),
}


@pytest.mark.parametrize(
    "dtype", ["float32", pytest.param("mixed_bfloat16", marks=pytest.mark.exhaustive)]
)
@pytest.mark.parametrize("name", READERS)
def test_padding_changes_nothing_for_the_tokens_that_are_there(name, dtype):
    keras.config.set_dtype_policy(dtype)  # put back by tests/conftest.py
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*does not support masking")
        model = READERS[name]()
        whole = np.asarray(model(TOKENS), np.float32)
    for row, n in enumerate(MASK.sum(1)):
        alone = np.asarray(model(TOKENS[row : row + 1, :n]), np.float32)
        tolerance = 1e-5 if dtype == "float32" else 0.1
        np.testing.assert_allclose(whole[row, :n], alone[0], atol=tolerance)
    if dtype == "float32":
        inputs = keras.Input((None,), dtype="int32")
        functional = keras.Model(inputs, model(inputs))
        np.testing.assert_allclose(functional.predict(TOKENS, verbose=0), whole, atol=1e-5)


@pytest.mark.parametrize("name", [n for n, (_, *s) in LAYERS.items() if s[0] in (FRAMES, STREAMS)])
def test_a_mask_is_handed_on_or_refused_in_words(name):
    make, *shapes = LAYERS[name]
    first, *others = (tf.constant(numbers(shape)) for shape in shapes)
    mask = numbers(shapes[0][:2]) > 0.5
    first._keras_mask = mask
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        y = make()(first, *others)
    refused = any("does not support masking" in str(w.message) for w in caught)
    kept = mask_of(y) is not None and np.array_equal(mask_of(y), mask)
    assert refused == (name in ("Conv1d", "TemporalBlock"))  # as Keras's own convolution
    assert kept == (name != "Conv1d")


def test_a_mask_by_name_reaches_the_branch():
    block = ct.Residual(ct.LSTM(4, 4))
    y = block(SEQUENCE, mask=MASK)
    np.testing.assert_allclose(y, SEQUENCE + block.branch(SEQUENCE, mask=MASK), atol=1e-6)
    assert mask_of(y) is not None
    without = ct.Residual(ct.LSTM(4, 4, return_sequences=False), shortcut=None)
    assert mask_of(without(SEQUENCE, mask=MASK)) is None  # no steps are left

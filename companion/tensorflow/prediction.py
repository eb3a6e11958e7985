"""What a network says of arrays, and how often it is right."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from companion import _checks
from companion.recipe import check_examples, check_labels


def predict(model: keras.Model, x: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Return what the model makes of x in inference mode: logits, mostly.

    Parameters
    ----------
    x: images (N, H, W, C), sequences (N, T, C), vectors (N, C) or tokens (N, T). It is computed
        with in the model's precision, and stays as it is.
    batch_size: examples at a time, default 256.

    Returns
    -------
    (N, ...), channels or classes last; float32 where the model computes in 16 bits.

    Raises
    ------
    ValueError: x that is not a finite, non-empty batch, or a batch_size below 1.
    """
    x = check_examples("test", x, dtype=numpy_dtype(model))
    batch_size = _checks.positive_int("batch_size", batch_size)
    check_axes("x", model, x)
    parts = []
    for batch in (x[i : i + batch_size] for i in range(0, len(x), batch_size)):
        outputs = in_32_bits(np.asarray(model.predict_on_batch(batch)))
        parts.append(outputs[: len(batch)])  # each replica of a strategy returns all of them
    return np.concatenate(parts)


def evaluate(
    model: keras.Model, x: np.ndarray, y: np.ndarray, batch_size: int = 256
) -> tuple[float, float]:
    """Return mean cross-entropy in nats and accuracy in [0, 1], in inference mode.

    Parameters
    ----------
    x: as for :func:`predict`.
    y: integer labels for each example, step or pixel; those of -1 are ignored.

    Raises
    ------
    ValueError: examples or labels of the wrong form.
    """
    logits = predict(model, x, batch_size)
    y = check_labels("test", np.asarray(x), y, logits.shape[-1])
    labels, logits = y[y >= 0], logits[y >= 0]
    loss = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    return float(ops.mean(loss)), float((logits.argmax(-1) == labels).mean())


def check_axes(name: str, model: keras.Model, x: np.ndarray) -> None:
    """Raise where Keras would add or drop an axis without a word."""
    expected = getattr(model, "input_shape", None)
    if isinstance(expected, tuple):
        _checks.rank(name, np.shape(x), len(expected), f"like {expected}")


def in_32_bits(x: np.ndarray) -> np.ndarray:
    """Return floats of 16 bits as those of 32, in which sums and norms are safe; others as is."""
    return x.astype(np.float32) if x.dtype.name in ("float16", "bfloat16") else x


def computes_in_bfloat16(model: keras.Model) -> bool:
    """Whether the model was built to multiply in bfloat16 what is kept in float32, or in part."""
    layers = [layer for layer in model._flatten_layers() if layer.variables]
    return any(layer.compute_dtype == "bfloat16" for layer in layers)


def weight_dtype(model: keras.Model) -> str:
    """Return the precision of the model's weights."""
    variables = getattr(model, "variables", ())  # one frozen for inference has none
    dtypes = [v.dtype for v in variables if str(v.dtype).startswith(("float", "bfloat"))]
    return dtypes[0] if dtypes else keras.config.floatx()


def numpy_dtype(model: keras.Model) -> str:
    """Return the precision of the arrays that the model takes."""
    return "float64" if weight_dtype(model) == "float64" else "float32"

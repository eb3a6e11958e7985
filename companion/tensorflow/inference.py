"""A network made ready to be used and not to be trained: the same outputs in less time."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from companion import _checks
from companion._onnx import Sessions
from companion._precision import (
    PRECISIONS,
    RUNTIMES,
    calibration_images,
    check_dtypes,
    has_instructions,
    slow_message,
)
from companion.tensorflow._quantization import quantized
from companion.tensorflow.export import export_onnx


def optimize_for_inference(
    model: keras.Model,
    precision: str = "float32",
    calibration: np.ndarray | None = None,
    runtime: str = "framework",
) -> Frozen:
    """Return a compiled copy of a network that answers faster, for inference only.

    The network becomes one TensorFlow graph with its weights as constants, which lets TensorFlow
    multiply a batch norm into the convolution before it. In float32 outputs agree to 1e-5 of the
    largest. In bfloat16 the logits of five networks trained on digits differ by about 1 %, in int8
    by about 5 %, and their accuracy by 0.006 at most (``companion/book/experiments/precision.py``).

    It pays against calls of the model: Keras walks through all its layers in Python at each call,
    which for one small image takes most of the time. :func:`predict` compiles the model too, so
    against it only a few percent are left. The book's page on costs has the numbers.

    Parameters
    ----------
    model: stays as it is; what it learns later does not reach the copy.
    precision: ``"float32"`` (default): that of the model, float64 too. ``"bfloat16"``: of what
        oneDNN computes, on x86. ``"int8"``: of weights, a scale for each output channel, and of
        activations, a scale for each tensor (Jacob et al. 2018, arXiv 1712.05877), by LiteRT, on
        the CPU. A processor without instructions for it computes it more slowly than float32: a
        warning says so.
    calibration: images (N, H, W, C) as the network will see them, from which int8 takes its scales;
        some hundred are enough. For int8 alone. Default None.
    runtime: ``"framework"`` (default), or ``"onnxruntime"``, for float32: the network is exported
        at the first call with each size of input, and runs on the CPU, with TensorFlow's number of
        threads at that call.

    Returns
    -------
    :class:`Frozen`, for :func:`predict`, :func:`evaluate` and for calls. It takes the model's
    inputs and returns floats of the model's precision, float32 where that is bfloat16 or int8.

    Raises
    ------
    ValueError: a model that is not a Keras one, that is not built, or that has several inputs or
        outputs; one that is not in float32, for int8 and onnxruntime, or is in float64 or float16,
        for bfloat16; an unknown precision or runtime, or two that do not go together; calibration
        that is missing, not wanted, or no batch of images that the model takes.
    ImportError: onnxruntime, onnx or tf2onnx is missing (extra ``export``).
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"model must be a keras.Model, got {type(model).__name__}")
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) != 1:
        raise ValueError(f"model must be built, with one input, got {len(inputs)} inputs")
    if len(model.outputs) != 1:
        raise ValueError(f"model must have one output, got {len(model.outputs)}")
    _checks.option("precision", precision, PRECISIONS)
    _checks.option("runtime", runtime, RUNTIMES)
    images = calibration_images(precision, calibration, runtime)
    (x,) = inputs
    found = {str(v.dtype) for v in model.variables} | {
        layer.compute_dtype for layer in model._flatten_layers() if layer.variables
    }
    found = {name for name in found if "float" in name}
    if runtime == "onnxruntime" or precision == "int8":
        where = "precision is 'int8'" if precision == "int8" else "runtime is 'onnxruntime'"
        check_dtypes(found, ("float32",), where)
    elif precision == "bfloat16":
        check_dtypes(found, ("float32", "bfloat16"), "precision is 'bfloat16'")
    if precision != "float32" and not has_instructions(precision):
        warnings.warn(slow_message(precision), stacklevel=2)
    function: Callable[[Any], Any]
    if runtime == "onnxruntime":
        function = _in_onnxruntime(model)
    elif images is not None:
        _check_axes("calibration", images.shape, tuple(x.shape))
        function = quantized(_graph(model, (None, *images.shape[1:])), images)
    else:
        function = _graph(model, tuple(x.shape))
        if precision == "bfloat16":
            function = _in_bfloat16(function)
    return Frozen(function, tuple(x.shape), x.dtype)


def _graph(model: keras.Model, shape: tuple) -> Any:
    """Return the network as one compiled function, its weights as constants."""
    (x,) = model.inputs
    trainable = [variable.numpy() for variable in model.trainable_variables]
    others = [variable.numpy() for variable in model.non_trainable_variables]

    @tf.function(input_signature=[tf.TensorSpec(shape, x.dtype)])
    def call(x: Any) -> Any:
        # Arrays become constants of the graph, where variables would stay variables.
        state = [tf.constant(a) for a in trainable], [tf.constant(a) for a in others]
        return model.stateless_call(*state, x, training=False)[0]

    return call.get_concrete_function()


def _check_axes(name: str, shape: Any, expected: tuple) -> None:
    _checks.rank(name, shape, len(expected), f"like {expected}")
    if expected[-1] is not None:
        _checks.channels(name, shape[-1], expected[-1])


def _in_bfloat16(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the function with its products in bfloat16, which TensorFlow does by a rewrite."""

    @contextlib.contextmanager
    def rewritten() -> Iterator[None]:
        name = "auto_mixed_precision_onednn_bfloat16"
        before = tf.config.optimizer.get_experimental_options().get(name, False)
        tf.config.optimizer.set_experimental_options({name: True})
        try:
            yield
        finally:
            tf.config.optimizer.set_experimental_options({name: before})

    def call(x: Any) -> Any:
        with rewritten():
            return function(x)

    return call


def _in_onnxruntime(model: keras.Model) -> Callable[[Any], Any]:
    copied = keras.models.clone_model(model)
    copied.set_weights(model.get_weights())
    sessions = Sessions()

    def call(x: Any) -> Any:
        array, threads = x.numpy(), tf.config.threading.get_intra_op_parallelism_threads()
        run = sessions.of(array, threads, lambda path: export_onnx(copied, path, array))
        return tf.convert_to_tensor(run(array))

    return call


class Frozen:
    """A network as one compiled function: called on a batch (N, ..., C), it returns a tensor.

    Attributes
    ----------
    input_shape: of a batch, ``None`` where any size will do.

    Raises
    ------
    ValueError: at a call, an input of another rank or another number of channels.
    """

    def __init__(self, function: Any, input_shape: tuple, dtype: str) -> None:
        self._function, self.input_shape, self._dtype = function, input_shape, dtype

    def __call__(self, x: Any, training: bool = False) -> Any:
        _checks.option("training", training, (False,))
        x = tf.convert_to_tensor(x, self._dtype)
        _check_axes("x", x.shape, self.input_shape)
        return self._function(x)

    def predict_on_batch(self, x: Any) -> np.ndarray:
        """Return the outputs as an array."""
        return self(x).numpy()

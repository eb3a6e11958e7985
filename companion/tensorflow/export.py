"""A network as an ONNX file, which programs without TensorFlow can run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from companion import _onnx


def export_onnx(
    model: keras.Model, path: str | os.PathLike[str], x: np.ndarray, channels_last: bool = True
) -> Path:
    """Write the network, in inference mode, as an ONNX file that takes batches of any size.

    Input ``x``, output ``y``. Both frameworks write files that are called alike: by default with
    what :func:`predict` takes and returns, images (N, H, W, C).

    Parameters
    ----------
    model: stays as it is.
    path: of the file, ending in ``.onnx``; replaced whole, or not at all.
    x: an example, as for :func:`predict`: images (N, H, W, C), sequences (N, T, C), vectors (N, C)
        or tokens (N, T). All its sizes but N are fixed in the file.
    channels_last: ``False`` makes the file take, and where they are images return, (N, C, H, W).

    Returns
    -------
    The path.

    Raises
    ------
    ValueError: a model that is not a Keras one or that ONNX cannot express, a path or an example
        that cannot be used.
    ImportError: onnx or tf2onnx is missing (extra ``export``).
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"model must be a keras.Model, got {type(model).__name__}")
    with _onnx.exported(path, x, channels_last, "tf2onnx") as (example, written):
        _teach_erfc()
        shape, turned = example.shape[1:], example.ndim == 4 and not channels_last
        inputs = keras.Input(shape, dtype=example.dtype.name, name="x")
        y = model(keras.layers.Permute((2, 3, 1))(inputs) if turned else inputs)
        if not isinstance(y, keras.KerasTensor):
            raise ValueError(f"model must return one tensor, got {type(y).__name__}")
        if turned and len(y.shape) == 4:
            y = keras.layers.Permute((3, 1, 2))(y)
        whole = keras.Model(inputs, keras.layers.Identity(name="y")(y))
        signature = [tf.TensorSpec((None, *shape), example.dtype, name="x")]
        whole.export(written, format="onnx", verbose=False, input_signature=signature)
        _name_output(written)
    return Path(path)


def _teach_erfc() -> None:
    """Tell tf2onnx, which knows erf alone, that erfc(x) = 1 - erf(x): exact GELU needs it."""
    from tf2onnx import utils
    from tf2onnx.handler import tf_op

    class Erfc:
        @classmethod
        def version_9(cls, graph: Any, node: Any, **_: Any) -> None:
            kind = utils.map_onnx_to_numpy_type(graph.get_dtype(node.input[0]))
            one = graph.make_const(utils.make_name("one"), np.array(1, kind)).output[0]
            erf = graph.make_node("Erf", node.input).output[0]
            sizes = {"shapes": node.output_shapes, "dtypes": node.output_dtypes}
            name, outputs = node.name, node.output
            graph.remove_node(name)
            graph.make_node("Sub", [one, erf], name=name, outputs=outputs, **sizes)

    tf_op("Erfc")(Erfc)


def _name_output(path: Path) -> None:
    """Call the output y; Keras names it after its last layer and the position in a list."""
    import onnx

    made = onnx.load(path)
    (output,) = made.graph.output
    for node in made.graph.node:
        node.output[:] = ["y" if name == output.name else name for name in node.output]
        node.input[:] = ["y" if name == output.name else name for name in node.input]
    output.name = "y"
    onnx.save(made, path)

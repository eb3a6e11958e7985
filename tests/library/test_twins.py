"""Both frameworks offer the same: files, names, arguments, and what the documentation says."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import companion
import companion.tensorflow as in_keras
import companion.torch as in_torch
from companion.tensorflow import costs as keras_costs
from companion.tensorflow import probes as keras_probes
from companion.torch import costs as torch_costs
from companion.torch import probes as torch_probes

ROOT = Path(companion.__file__).parent
#: Files without a twin, and why.
ALONE = {
    "checkpointed.py",  # Keras has no segments that are computed again
    "_devices.py",  # Keras places models by itself
    "whole_batch_norm.py",  # Keras's own norms can be synchronised
    "_folding.py",  # TensorFlow's compiler folds norms by itself
    "_layer.py",  # what Keras asks of every layer
    "_recomputation.py",  # TensorFlow has a gradient of one's own for that
    "_saving.py",  # how Keras saves layers
    "_tracing.py",  # and torch.fx of every module
    "graph.py",  # autograd's record of a run; TensorFlow's tape shows none
    "lesions.py",  # the book measures them in PyTorch
}
#: Names whose documentation differs, since what they do or take differs.
DIFFERENT = {
    "Attention",  # Keras's masks
    "BatchNorm1d",  # Keras knows the size of a batch only while it runs
    "BatchNorm2d",  # and keeps the biased variance
    "Conv2d",  # padding
    "Dense",  # Keras refuses an input of another length by itself
    "LSTM",  # PyTorch's second bias
    "ReversibleSequential",  # what PyTorch computes again, and when it cannot
    "ResNet",  # what Keras saves has to be registered
    "Residual",  # in-place operations; the example
    "export_onnx",  # the package that writes
    "fit",  # processes, or replicas
    "predict",  # Keras places models by itself
    "optimize_for_inference",  # another method
    "residual_block",  # Keras's takes a tensor
    "residual_network",  # input_shape
    "use_threads",  # when it may be called
    "costs.block_time",  # compiled
    "costs.layer_costs",  # layers that Keras adds
    "probes.activation_variances",  # names, or training
}
HEIGHT, WIDTH = (rf"(?:{side}|ceil\({side} / \w+\))" for side in "HW")
IMAGES = re.compile(rf"\(N, ([\w +]+), ({HEIGHT}), ({WIDTH})\)")


def exported(framework: str) -> list[str]:
    tree = ast.parse((ROOT / framework / "__init__.py").read_text("utf-8"))
    (value,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    return sorted(ast.literal_eval(value))


def pairs() -> dict[str, tuple[object, object]]:
    """Return what stands in both frameworks, by name: all that is exported, probes and costs."""
    found = {name: (getattr(in_torch, name), getattr(in_keras, name)) for name in in_torch.__all__}
    for prefix, here, there in (
        ("probes", torch_probes, keras_probes),
        ("costs", torch_costs, keras_costs),
    ):
        for name, function in inspect.getmembers(here, inspect.isfunction):
            if function.__module__ == here.__name__ and name[0] != "_" and hasattr(there, name):
                found[f"{prefix}.{name}"] = (function, getattr(there, name))
    return found


PAIRS = pairs()


def said(thing: object) -> str:
    """Return the documentation on one line, in channels last and in words of both frameworks."""
    text = " ".join((thing.__doc__ or "").split())
    text = IMAGES.sub(r"(N, \2, \3, \1)", text)  # (N, C, H, W) becomes (N, H, W, C)
    text = re.sub(r"\b(?:PyTorch|Keras)'s generator", "the generator", text)
    text = re.sub(r"companion\.(?:torch|tensorflow)\b", "companion.framework", text)
    text = re.sub(r"axis: of the channels, default -?1\b", "axis: of the channels", text)
    text = re.sub(r"\b(its|no) (?:module|layer)\b", r"\1 part", text)
    return re.sub(r"\((?:parameters|variables) of two axes", "(tensors of two axes", text)


def test_both_frameworks_have_the_same_files():
    here, there = (
        {p.name for p in (ROOT / folder).glob("*.py")} for folder in ("torch", "tensorflow")
    )
    assert here ^ there <= ALONE


def test_both_frameworks_export_the_same_names():
    assert exported("torch") == exported("tensorflow") != []


@pytest.mark.parametrize("name", sorted(set(in_torch.__all__) - {"residual_block"}))
def test_functions_take_the_same_arguments(name):
    here, there = PAIRS[name]
    if inspect.isfunction(here):
        one, other = (inspect.signature(f).parameters for f in (here, there))
        assert list(one) == list(other)
        assert {k: p.default for k, p in one.items()} == {k: p.default for k, p in other.items()}


@pytest.mark.parametrize("name", PAIRS)
def test_the_documentation_is_the_same(name):
    here, there = PAIRS[name]
    if name in DIFFERENT:
        assert said(here) != said(there), "equal by now: take it out of DIFFERENT"
    else:
        assert said(here) == said(there)


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("(N, C, H, W) to (N, C + G, H, W)", "(N, H, W, C) to (N, H, W, C + G)"),
        ("(N, out, ceil(H / stride), ceil(W / stride))",) * 2,
        ("(N, a, ceil(H / s), ceil(W / s))", "(N, ceil(H / s), ceil(W / s), a)"),
    ],
)
def test_axes_are_normalised(here, there):
    class Here:
        __doc__ = here

    class There:
        __doc__ = there

    assert said(Here) == said(There)

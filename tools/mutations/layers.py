"""Layers that can be left out of a network: it still runs, and computes something else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tools.mutations.words import Edit, last_name

#: What holds layers in order.
CONTAINERS = ("Sequential", "OrderedDict", "Layers", "dict")
#: Layers that keep the shape, so that a network without one still runs.
_LAYERS = re.compile(
    r"^(ReLU|GELU|Activation|Tanh|BatchNorm\w*|LayerNorm|ScalarBias|Bias|ScalarScale|Scale"
    r"|SqueezeExcitation|SinusoidalPositions|Positions)$"
)


def left_out(node: Any, parents: Mapping[ast.AST, Any]) -> Iterator[tuple[str, list[Edit]]]:
    """Yield the name of each layer that this node holds, and the edits that leave it out.

    ``parents`` tells of every node where it stands: parent, field, index.
    """
    if isinstance(node, ast.Call) and last_name(node.func) in (*CONTAINERS, "__init__"):
        for i, keyword in enumerate(node.keywords):
            if keyword.arg and is_layer(keyword.value):
                yield keyword.arg, [(node, "keywords", i, None)]
    elif isinstance(node, ast.List):
        for i, value in enumerate(node.elts):
            if is_layer(value):
                yield _layer_name(value), [(node, "elts", i, None)]
    elif isinstance(node, ast.Assign):
        yield from _assigned(node, parents)
    elif isinstance(node, ast.Expr):
        call: Any = node.value
        appends = isinstance(call, ast.Call) and last_name(call.func) == "append"
        if appends and call.args and is_layer(call.args[0]):
            yield _layer_name(call.args[0]), [(*parents[node], ast.Pass())]


def _assigned(node: ast.Assign, parents: Mapping[ast.AST, Any]) -> Iterator[tuple[str, list[Edit]]]:
    """``parts["relu"] = ReLU()``, alone or one of several."""
    target, value = node.targets[0], node.value
    if isinstance(target, ast.Subscript) and is_layer(value):
        yield _literal(target.slice), [(*parents[node], ast.Pass())]
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for i, (one, made) in enumerate(zip(target.elts, value.elts, strict=False)):
            if isinstance(one, ast.Subscript) and is_layer(made):
                yield _literal(one.slice), [(target, "elts", i, None), (value, "elts", i, None)]


def is_layer(node: ast.AST) -> bool:
    """Whether a layer is made here that keeps the shape."""
    return isinstance(node, ast.Call) and bool(_LAYERS.match(last_name(node.func)))


def _layer_name(node: ast.Call | Any) -> str:
    """Return what a Keras layer is called, else its class."""
    names = [_literal(k.value) for k in node.keywords if k.arg == "name"]
    return names[0] if names else last_name(node.func)


def _literal(node: ast.AST) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ast.unparse(node)[2:-1]

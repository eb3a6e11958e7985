"""The graph of a run, read off the record that autograd keeps of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from torch import Tensor

from companion.measures import Operation
from companion.torch.prediction import watched_copy

_KINDS = {
    "Add": "+",
    "Addmm": "dense",
    "Cat": "concatenate",
    "ConstantPadNd": "pad with zeros",
    "MaxPool2DWithIndices": "max pool",
    "Mul": "times",
    "NativeBatchNorm": "batch norm",
    "Relu": "ReLU",
    "Sub": "-",
    "UpsampleNearest2D": "upsample",
}


def operation_graph(module: Callable[[Tensor], Tensor], x: Tensor) -> list[Operation]:
    """Return the operations that led from x to ``module(x)``, each with what it read, in order.

    They are read off the record that autograd kept of this very run, so a picture drawn from them
    cannot show a connection that is not there. What acts on parameters alone is left out.

    Parameters
    ----------
    module: differentiable; it runs once as it is, and in training mode a batch norm takes note.
    x: its input, a batch, which goes to the device of a module with parameters.

    Raises
    ------
    ValueError: an output that no operation made of x.
    """
    leaf, given = watched_copy(module, x)
    copied: Any = given.grad_fn
    found: dict[Any, Operation | None] = {}

    def visit(node: Any) -> Operation | None:
        if node is copied:  # it stands for x
            node = node.next_functions[0][0]
        if node not in found:
            kind = re.sub(r"Backward\d*$", "", type(node).__name__)
            if kind == "AccumulateGrad":
                found[node] = Operation("x", "x", ()) if node.variable is leaf else None
                return found[node]
            parents = [visit(parent) for parent, _ in node.next_functions if parent is not None]
            read = [operation for operation in parents if operation is not None]
            inputs = tuple(operation.name for operation in read)
            if not inputs:
                found[node] = None  # a transposed weight, say
            elif _passes(node, kind) or (kind == "Slice" and read[0].kind == _kind(node, kind)):
                found[node] = read[0]  # rows, then columns: one thinning of the pixels
            else:
                number = sum(operation is not None for operation in found.values())
                found[node] = Operation(f"{kind.lower()}{number}", _kind(node, kind), inputs)
        return found[node]

    last = module(given).grad_fn
    if last is None or visit(last) is None:
        raise ValueError("module must use x, got an output that no operation made of it")
    kept: dict[str, Operation] = {o.name: o for o in found.values() if o is not None}
    return [operation for operation in kept.values() if operation.name != "x"]


def _kind(node: Any, kind: str) -> str:
    if kind == "Convolution":
        rows, columns = node._saved_weight.shape[2:]
        return f"{rows}x{columns} conv"
    if kind == "Slice" and node._saved_step == 1:
        return "crop"
    if kind == "Slice":
        return f"1 in {node._saved_step**2} pixels"  # rows and columns, always both here
    return _KINDS.get(kind, kind.lower())


def _passes(node: Any, kind: str) -> bool:
    """Whether the operation hands on all its values, as a slice over a whole axis does."""
    if kind == "Slice":
        length = node._saved_self_sym_sizes[node._saved_dim]
        start, end = node._saved_start or 0, node._saved_end
        return node._saved_step == 1 and start == 0 and (end is None or end >= length)
    return kind in ("Alias", "Clone", "View")

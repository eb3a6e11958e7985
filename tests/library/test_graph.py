"""The graph of a run shows what read what."""

from __future__ import annotations

import pytest
import torch

import companion.torch as cp
from companion.torch import graph

torch.set_num_threads(1)


def test_a_graph_shows_what_read_what():
    x = torch.randn(2, 4, 8, 8)
    kinds = {
        "A": ["1 in 4 pixels", "pad with zeros"],
        "B": ["1 in 4 pixels", "1x1 conv", "batch norm"],
    }
    for option, beside in kinds.items():
        recorded = graph.operation_graph(cp.BasicBlock(4, 8, 2, shortcut=option), x)
        by_name = {operation.name: operation for operation in recorded}
        assert len(by_name) == len(recorded)
        (addition,) = (operation for operation in recorded if operation.kind == "+")
        shortcut, branch = (way_back(by_name, name) for name in addition.inputs)
        assert shortcut == beside
        assert branch == ["3x3 conv", "batch norm", "ReLU", "3x3 conv", "batch norm"]
    plain = graph.operation_graph(cp.BasicBlock(4, 4, residual=False), x)
    assert "+" not in [operation.kind for operation in plain]
    assert all(len(operation.inputs) == 1 for operation in plain)
    identity = graph.operation_graph(cp.BasicBlock(4, 4), x)
    assert next(o for o in identity if o.kind == "+").inputs[0] == "x"
    concatenated = graph.operation_graph(cp.DenseLayer(4), x)
    assert concatenated[-1].kind == "concatenate" and "x" in concatenated[-1].inputs
    kinds = [
        operation.kind for operation in graph.operation_graph(lambda x: torch.relu(x[:, :2]), x)
    ]
    assert kinds == ["crop", "ReLU"]
    for unused in (lambda x: torch.ones(2, requires_grad=True) * 2, lambda x: torch.ones(2)):
        with pytest.raises(ValueError, match="must use x"):
            graph.operation_graph(unused, x)


def way_back(by_name, name):
    """Kinds of the operations between the input and ``name``, along first inputs."""
    kinds = []
    while name != "x":
        kinds.insert(0, by_name[name].kind)
        name = by_name[name].inputs[0]
    return kinds

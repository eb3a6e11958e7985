"""What twins call alike: names and texts without the words of one framework."""

from __future__ import annotations

import ast
import re
from typing import Any

#: What an edit changes: parent, field, index in a list, and the new node or nothing.
Edit = tuple[Any, str, "int | None", Any]

_PREFIX = re.compile(
    r"\b(torch\.nn\.functional|nn\.functional|keras\.layers|torch|nn|F|ops|np|"
    r"keras|math|tf)\."
)


def text(node: ast.AST) -> str:
    """Return the source of a node without the words that tell one framework from another."""
    found = _PREFIX.sub("", ast.unparse(node))
    return found.replace("keepdim=", "keepdims=").replace("dim=", "axis=")


def last_name(node: ast.AST) -> str:
    """Return ``relu`` for ``torch.relu``, ``relu`` and ``x.relu``."""
    if isinstance(node, ast.Subscript):
        node = node.value
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def scope_name(outer: str, node: Any) -> str:
    name = "forward" if node.name == "call" else node.name
    return f"{outer}.{name}" if outer else name

"""Which of the package's extras a notebook needs: from what it imports, modules of ours included.

Found by reading, not by running: the imports of each module's own level are followed through the
companion. What a function imports when it is called is told by the function's name (DATA).
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: The extra that brings a module; "tensorflow" brings Keras too, which needs a bound of its own.
EXTRAS = {
    "matplotlib": ("figures",),
    "scipy": ("figures",),
    "torch": ("torch",),
    "keras": ("keras", "tensorflow"),
    "tensorflow": ("keras", "tensorflow"),
    "babel": ("language",),
    "sktime": ("speech",),
    "nilearn": ("medical",),
    "skimage": ("photographs",),
    "pybtex": ("references",),
    "onnx": ("export",),
    "onnxruntime": ("export",),
    "onnxscript": ("export",),
}
#: What these functions of companion.data look for when they are called.
DATA = {
    "dates": "language",
    "japanese_vowels": "speech",
    "brain": "medical",
    "photographs": "photographs",
}


def of_itself(nodes: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported: none of its functions'."""
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from of_itself([c for c in ast.iter_child_nodes(node) if isinstance(c, ast.stmt)])


def file(module: str) -> Path | None:
    """Return the file of a module of the companion, or None."""
    place = ROOT.joinpath(*module.split("."))
    found = (p for p in (place.with_suffix(".py"), place / "__init__.py") if p.is_file())
    return next(found, None)


def imported(statements: list[ast.stmt]) -> set[str]:
    """Return the modules that these statements import, with their packages."""
    names: set[str] = set()
    for node in of_itself(statements):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            inner = (f"{node.module}.{alias.name}" for alias in node.names)
            names.update(name for name in inner if name.startswith("companion.") and file(name))
    parents = {name.rpartition(".")[0] for name in names if name.startswith("companion.")}
    return names | parents - {"", "companion"}


@cache
def reached(module: str) -> frozenset[str]:
    """Return what a module of the companion imports itself."""
    place = file(module)
    return frozenset(imported(ast.parse(place.read_text("utf-8")).body)) if place else frozenset()


def code(notebook: Path) -> list[str]:
    """Return the sources of a notebook's code cells but the one that installs."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    kept = (c for c in cells if c["cell_type"] == "code" and c.get("id") != "needs-package")
    return ["".join(cell["source"]) for cell in kept]


def extras(notebook: Path) -> list[str]:
    """Return the extras that a notebook needs, in the order of EXTRAS."""
    trees = [ast.parse(source) for source in code(notebook)]
    left = set().union(*(imported(tree.body) for tree in trees))
    # An import inside of a cell's function is the page's own all the same.
    left |= {n for t in trees for n in imported([f for f in ast.walk(t) if is_import(f)])}
    found: set[str] = set()
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left |= reached(name)
    needed = {extra for name in found for extra in EXTRAS.get(name.split(".")[0], ())}
    needed |= {"figures"} if any(name.startswith("companion.book") for name in found) else set()
    needed |= {DATA[name] for tree in trees for name in named(tree) if name in DATA}
    order = [extra for group in EXTRAS.values() for extra in group]
    return sorted(needed, key=order.index)


def is_import(node: ast.AST) -> bool:
    """Return whether a node is an import."""
    return isinstance(node, (ast.Import, ast.ImportFrom))


def named(tree: ast.AST) -> Iterator[str]:
    """Yield what is taken from companion.data: data.dates, from companion.data import dates."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "data":
            yield node.attr
        elif isinstance(node, ast.ImportFrom) and node.module == "companion.data":
            yield from (alias.name for alias in node.names)

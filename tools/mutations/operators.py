"""Operators: what can be changed in a syntax tree, one small thing at a time."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator
from typing import Any

#: What an edit changes: parent, field, index in a list, and the new node or nothing.
Edit = tuple[Any, str, "int | None", Any]

_NO_FUNCTIONS = {
    "as_dict",
    "build_config",
    "compute_output_shape",
    "compute_output_spec",
    "extra_repr",
    "from_config",
    "from_dict",
    "get_config",
    "__repr__",
}
_NO_CALLS = {"add_weight", "getattr", "hasattr", "isinstance", "print", "tqdm", "warn"}
_NO_KEYWORDS = {
    "axis",
    "device",
    "dim",
    "dtype",
    "keepdim",
    "keepdims",
    "minimum",
    "name",
    "strict",
    "verbose",
}
#: Layers that keep the shape, so that a network without one still runs.
_LAYERS = re.compile(
    r"^(ReLU|GELU|Activation|Tanh|BatchNorm\w*|LayerNorm|ScalarBias|Bias|ScalarScale|Scale"
    r"|SqueezeExcitation|SinusoidalPositions|Positions)$"
)
_PREFIX = re.compile(
    r"\b(torch\.nn\.functional|nn\.functional|keras\.layers|torch|nn|F|ops|np|"
    r"keras|math|tf)\."
)
_UNWRAPPED = {
    "sigmoid",
    "_sigmoid",
    "tanh",
    "relu",
    "sqrt",
    "exp",
    "log",
    "rms_norm",
    "square",
    "sinkhorn",
    "abs",
    "_softmax",
}
_SWAPPED_CALLS = {"mean": "sum", "sum": "mean", "max": "min", "sin": "cos", "cos": "sin"}
_ARITHMETIC: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult,
}
_COMPARED: dict[type, type] = {ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE,
                               ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
                               ast.In: ast.NotIn, ast.NotIn: ast.In}  # fmt: skip


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


class Walk:
    """Yield (scope, operator, old, new, edits) for all that can be changed in a tree."""

    def run(self, tree: ast.Module) -> Iterator[tuple[str, str, str, str, list[Edit]]]:
        self.parent: dict[ast.AST, tuple[ast.AST, str, int | None]] = {}
        for node in ast.walk(tree):
            for name, value in ast.iter_fields(node):
                for i, child in enumerate(value if isinstance(value, list) else [value]):
                    if isinstance(child, ast.AST):
                        self.parent[child] = (node, name, i if isinstance(value, list) else None)
        yield from self.visit(tree, "")

    def visit(self, node: ast.AST, scope: str) -> Iterator[Any]:
        if self.skipped(node):
            return
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            scope = scope_name(scope, node)
        if isinstance(node, ast.FunctionDef):
            yield from ((scope, *rest) for rest in self.defaults(node))
            children: list[ast.AST] = list(node.body)
        elif isinstance(node, ast.ClassDef):
            children = list(node.body)
        elif isinstance(node, ast.AnnAssign):
            children = [node.value] if node.value is not None else []
        elif isinstance(node, ast.If) and all(isinstance(s, ast.Raise) for s in node.body):
            children = list(node.orelse)  # a check
        else:
            yield from ((scope, *rest) for rest in self.at(node))
            children = list(ast.iter_child_nodes(node))
        for child in children:
            yield from self.visit(child, scope)

    def skipped(self, node: ast.AST) -> bool:
        if isinstance(node, (ast.Raise, ast.Assert, ast.JoinedStr, ast.Import, ast.ImportFrom)):
            return True
        if isinstance(node, ast.FunctionDef):
            return node.name in _NO_FUNCTIONS
        if isinstance(node, ast.keyword):
            return node.arg in _NO_KEYWORDS
        if isinstance(node, ast.Call):
            checks = isinstance(node.func, ast.Attribute) and text(node.func.value) == "_checks"
            return checks or last_name(node.func) in _NO_CALLS
        if isinstance(node, ast.Assign):
            names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            return bool(names & {"__all__", "arguments", "sizes", "settings"}) and isinstance(
                node.targets[0], (ast.Name, ast.Attribute)
            )
        return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)

    def replace(self, node: ast.AST, new: ast.AST | None) -> Edit:
        parent, name, index = self.parent[node]
        return (parent, name, index, new)

    def defaults(self, node: ast.FunctionDef) -> Iterator[Any]:
        names = [a.arg for a in node.args.args][-len(node.args.defaults) :]
        pairs = [*zip(names, node.args.defaults, strict=False)] if node.args.defaults else []
        pairs += [(a.arg, d) for a, d in zip(node.args.kwonlyargs, node.args.kw_defaults,
                                             strict=True) if d is not None]  # fmt: skip
        for name, value in pairs:
            for old, new in _other_constant(value, name):
                if name not in ("name", "seed", "progress"):
                    yield "default", f"{name}={text(old)}", text(new), [self.replace(value, new)]

    def at(self, node: ast.AST) -> Iterator[Any]:
        if isinstance(node, ast.Constant):
            yield from self.constant(node)
        elif isinstance(node, ast.BinOp):
            yield from self.arithmetic(node)
        elif isinstance(node, ast.AugAssign) and type(node.op) in _ARITHMETIC:
            new: Any = copy.copy(node)
            new.op = _ARITHMETIC[type(node.op)]()
            yield "arithmetic", text(node), text(new), [(node, "op", None, new.op)]
        elif isinstance(node, ast.UnaryOp):
            if isinstance(node.op, ast.Not) or not isinstance(node.operand, ast.Constant):
                edit = self.replace(node, node.operand)
                yield "sign", text(node), text(node.operand), [edit]
        elif isinstance(node, ast.Compare) and len(node.ops) == 1:
            if type(node.ops[0]) in _COMPARED:
                new = copy.copy(node)
                new.ops = [_COMPARED[type(node.ops[0])]()]
                yield "compare", text(node), text(new), [(node, "ops", 0, new.ops[0])]
        elif isinstance(node, ast.BoolOp):
            new = copy.copy(node)
            new.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield "and-or", text(node), text(new), [(node, "op", None, new.op)]
        if isinstance(node, (ast.If, ast.IfExp)):
            yield from self.condition(node)
        if isinstance(node, (ast.Call, ast.List)):
            yield from self.layers(node)
        if isinstance(node, ast.Call):
            yield from self.call(node)
        if isinstance(node, ast.Assign):
            yield from self.assignment(node)
        if isinstance(node, ast.Expr):
            yield from self.appended(node)

    def constant(self, node: ast.Constant) -> Iterator[Any]:
        role = self.role(node)
        for _, new in _other_constant(node, role):
            yield "constant", role, text(new), [self.replace(node, new)]

    def role(self, node: ast.AST) -> str:
        """Say what a constant is to what stands around it."""
        parent, name, _ = self.parent[node]
        own = text(node)
        if isinstance(parent, ast.UnaryOp):
            return "-" + self.role(parent)
        if isinstance(parent, ast.keyword):
            return f"{parent.arg}={own}"
        if isinstance(parent, ast.BinOp):
            other = parent.right if name == "left" else parent.left
            simple = isinstance(other, (ast.Name, ast.Attribute, ast.Constant))
            beside = text(other) if simple else "…"
            sign = text(ast.BinOp(ast.Name("a"), parent.op, ast.Name("b")))[2:-2]
            return f"{own} {sign} {beside}" if name == "left" else f"{beside} {sign} {own}"
        if isinstance(parent, ast.Call):
            return f"{last_name(parent.func)}({own})"
        if isinstance(parent, (ast.Compare, ast.Subscript)):
            return text(parent)
        if isinstance(parent, ast.AnnAssign):
            return f"{text(parent.target)}: {own}"
        if isinstance(parent, ast.Assign):
            return f"{text(parent.targets[0])} = {own}"
        return f"{type(parent).__name__} {own}"

    def arithmetic(self, node: ast.BinOp) -> Iterator[Any]:
        sides = (node.left, node.right)
        for side in sides:
            if isinstance(side, (ast.List, ast.Tuple, ast.JoinedStr, ast.ListComp)) or (
                isinstance(side, ast.Constant) and isinstance(side.value, str)
            ):
                return
        if type(node.op) in _ARITHMETIC:
            new = copy.copy(node)
            new.op = _ARITHMETIC[type(node.op)]()
            yield "arithmetic", text(node), text(new), [(node, "op", None, new.op)]
        if isinstance(node.op, ast.Mult):
            for side in sides:
                yield "factor", text(node), text(side), [self.replace(node, side)]
        elif isinstance(node.op, (ast.Div, ast.Add, ast.Sub, ast.Pow)):
            yield "factor", text(node), text(node.left), [self.replace(node, node.left)]

    def condition(self, node: Any) -> Iterator[Any]:
        if isinstance(node.test, (ast.Name, ast.Attribute, ast.Call)):
            new = ast.UnaryOp(ast.Not(), node.test)
            yield "condition", text(node.test), text(new), [(node, "test", None, new)]

    def layers(self, node: Any) -> Iterator[Any]:
        """A layer left out of a Sequential, an OrderedDict or a list of layers."""
        if isinstance(node, ast.Call):
            if last_name(node.func) not in ("Sequential", "OrderedDict", "dict", "__init__"):
                return
            for i, keyword in enumerate(node.keywords):
                if keyword.arg and _is_layer(keyword.value):
                    yield "layer", keyword.arg, "left out", [(node, "keywords", i, None)]
        else:
            for i, value in enumerate(node.elts):
                if _is_layer(value):
                    yield "layer", _layer_name(value), "left out", [(node, "elts", i, None)]

    def assignment(self, node: ast.Assign) -> Iterator[Any]:
        target, value = node.targets[0], node.value
        if isinstance(target, ast.Subscript) and _is_layer(value):
            name = _literal(target.slice)
            yield "layer", name, "left out", [self.replace(node, ast.Pass())]
        if not isinstance(target, ast.Tuple):
            return
        if isinstance(value, ast.Tuple):
            for i, (one, made) in enumerate(zip(target.elts, value.elts, strict=False)):
                if isinstance(one, ast.Subscript) and _is_layer(made):
                    edits: list[Edit] = [(target, "elts", i, None), (value, "elts", i, None)]
                    yield "layer", _literal(one.slice), "left out", edits
        elif len(target.elts) == 2 and not any(isinstance(e, ast.Starred) for e in target.elts):
            a, b = target.elts
            yield (
                "swap",
                text(target),
                f"{text(b)}, {text(a)}",
                [
                    (target, "elts", 0, b),
                    (target, "elts", 1, a),
                ],
            )

    def appended(self, node: ast.Expr) -> Iterator[Any]:
        call: Any = node.value
        appends = isinstance(call, ast.Call) and last_name(call.func) == "append"
        if appends and call.args and _is_layer(call.args[0]):
            edit = self.replace(node, ast.Pass())
            yield "layer", _layer_name(call.args[0]), "left out", [edit]

    def call(self, node: ast.Call) -> Iterator[Any]:
        name, func = last_name(node.func), node.func
        inside = isinstance(func, ast.Attribute) and not node.args
        subject: Any = (
            getattr(func, "value", None)
            if inside
            else node.args[0]
            if len(node.args) == 1
            else None
        )
        if name in _UNWRAPPED and subject is not None:
            yield "function", name, "left out", [self.replace(node, subject)]
        if name in _SWAPPED_CALLS and isinstance(node.func, ast.Attribute):
            other = _SWAPPED_CALLS[name]
            yield "function", name, other, [(node.func, "attr", None, other)]
        made = name not in ("OrderedDict", "dict", "Sequential", "partial", "replace", "rand")
        for i, keyword in enumerate(node.keywords):
            plain = keyword.arg and keyword.arg not in _NO_KEYWORDS | {"initializer", "shape"}
            if plain and made and not _is_layer(keyword.value):
                yield (
                    "keyword",
                    f"{name}({text(keyword)})",
                    "left out",
                    [(node, "keywords", i, None)],
                )
        if len(node.args) >= 2:
            for i, (a, b) in enumerate(zip(node.args, node.args[1:], strict=False)):
                both = all(isinstance(x, (ast.Name, ast.Attribute)) for x in (a, b))
                if both and text(a) != text(b) and name not in ("zip", "range"):
                    yield (
                        "swap",
                        f"{name}({text(a)}, {text(b)})",
                        "swapped",
                        [
                            (node, "args", i, b),
                            (node, "args", i + 1, a),
                        ],
                    )
        joined = node.args[0] if name in ("cat", "concatenate") and node.args else None
        if isinstance(joined, ast.List) and len(joined.elts) == 2:
            a, b = joined.elts
            edits: list[Edit] = [(joined, "elts", 0, b), (joined, "elts", 1, a)]
            yield "swap", f"[{text(a)}, {text(b)}]", "swapped", edits


def _is_layer(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and bool(_LAYERS.match(last_name(node.func)))


def _layer_name(node: ast.Call | Any) -> str:
    """Return what a Keras layer is called, else its class."""
    names = [_literal(k.value) for k in node.keywords if k.arg == "name"]
    return names[0] if names else last_name(node.func)


def _literal(node: ast.AST) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ast.unparse(node)[2:-1]


def _other_constant(node: ast.AST, role: str) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Yield a constant and another one in its place, if there is one."""
    sign = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    inner: Any = node.operand if sign else node  # type: ignore[attr-defined]
    if not isinstance(inner, ast.Constant):
        return
    value = inner.value
    if isinstance(value, bool):
        other: Any = not value
    elif isinstance(value, int):
        step = 2 if "kernel" in role else value if value >= 8 else 1  # an odd kernel stays odd
        other = value + step
    elif isinstance(value, float):
        size = abs(value)
        other = 1.0 if size == 0 else value * (100 if size < 1e-3 else 0.1 if size > 99 else 0.5)
    else:
        return
    new: Any = ast.Constant(other)
    yield node, ast.UnaryOp(ast.USub(), new) if sign else new

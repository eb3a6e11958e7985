"""Patterns of syntax: ``A_ / math.sqrt(B_)`` finds its like, whatever A and B are.

A name in capitals that ends in an underscore stands for any expression, the same one wherever it
stands again. ``*REST_`` and ``**REST_`` in a call stand for all further arguments.
"""

from __future__ import annotations

import ast
import copy
import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.mutations.operators import scope_name
from tools.mutations.places import FRAMEWORKS, Mutant, modules, places

_ANY = re.compile(r"[A-Z]+_$")
Bound = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """One edit of a fault, in every twin.

    Attributes
    ----------
    scope: regular expression that the qualified name of a class or function matches as a whole,
        ``call`` being written ``forward``.
    rules: (pattern, replacement); each is applied wherever it fits, and twins may need different
        ones. ``("layer", name)`` leaves a layer out, ``("default", name, value)`` changes what an
        argument is where nobody gives it.
    where: packages in which at least one rule has to fit: ``"torch"``, ``"shared"``, ...
    """

    scope: str
    rules: tuple[tuple[str, ...], ...]
    where: tuple[str, ...] = ("torch", "tensorflow")


@dataclass(frozen=True)
class Fault:
    """What a specialist would put in by hand, in all twins at once."""

    name: str
    changes: tuple[Change, ...]


def curated(package: Path, fault: Fault) -> tuple[Mutant, list[str]]:
    """Return the fault as a mutant of a package, and what of it found no place."""
    sources = {name: (package / name).read_text() for name in modules(package)}
    trees: dict[str, ast.Module] = {}
    scopes: list[tuple[str, str]] = []
    missing = []
    for change in fault.changes:
        placed = set()
        for name, source in sources.items():
            known = any(re.fullmatch(change.scope, scope) for scope in _scopes(source))
            if _package(name) not in change.where or not known:
                continue
            tree = trees[name] if name in trees else trees.setdefault(name, ast.parse(source))
            hits = _changed(name, tree, change)
            scopes += [(name, scope) for scope in hits]
            placed |= {_package(name)} if hits else set()
        lacking = [where for where in change.where if where not in placed]
        missing += [f"{where}: {change.scope}: {change.rules[0][0]}" for where in lacking]
    texts = {
        name: ast.unparse(ast.fix_missing_locations(trees[name])) + "\n"
        for name in dict.fromkeys(name for name, _ in scopes)
    }
    return Mutant(fault.name, "curated", tuple(dict.fromkeys(scopes)), texts), missing


@functools.cache
def _scopes(source: str) -> frozenset[str]:
    """Return the qualified names of all classes and functions."""
    found = set()

    def visit(node: ast.AST, outer: str) -> None:
        for child in ast.iter_child_nodes(node):
            named = isinstance(child, (ast.FunctionDef, ast.ClassDef))
            scope = scope_name(outer, child) if named else outer
            found.add(scope)
            visit(child, scope)

    visit(ast.parse(source), "")
    return frozenset(found)


def _package(file: str) -> str:
    first = file.split("/")[0]
    return first if first in FRAMEWORKS else "shared"


def _changed(file: str, tree: ast.Module, change: Change) -> list[str]:
    """Apply a change to one file; return the scopes in which it found a place."""
    hits = []
    for rule in change.rules:
        if rule[0] in ("layer", "default"):
            hits += _by_operator(file, tree, change.scope, rule)
            continue
        hits += replace_all(tree, rule[0], rule[1], change.scope)
    return hits


def _by_operator(file: str, tree: ast.Module, scope: str, rule: tuple[str, ...]) -> list[str]:
    hits = []
    for place in reversed(places(file, tree)[1]):
        if place.operator != rule[0] or not re.fullmatch(scope, place.scope):
            continue
        if rule[0] == "layer" and place.old == rule[1]:
            place.apply()
            hits.append(place.scope)
        if rule[0] == "default" and place.old.startswith(f"{rule[1]}="):
            parent, name, index, _ = place.edits[0]
            place.edits = [(parent, name, index, ast.parse(rule[2], mode="eval").body)]
            place.apply()
            hits.append(place.scope)
    return hits


def replace_all(root: ast.AST, pattern: str, replacement: str, within: str = "") -> list[str]:
    """Replace what fits the pattern, in scopes of that name; return the scope of each place."""
    wanted, new = _parsed(pattern), _parsed(replacement)
    hits: list[str] = []

    def visit(node: ast.AST, outer: str, active: bool) -> None:
        for name, value in ast.iter_fields(node):
            for i, child in enumerate(value if isinstance(value, list) else [value]):
                if not isinstance(child, ast.AST):
                    continue
                named = isinstance(child, (ast.FunctionDef, ast.ClassDef))
                scope = scope_name(outer, child) if named else outer
                inside = active or bool(named and re.fullmatch(within, scope))
                bound: Bound = {}
                if not (active and fits(wanted, child, bound)):
                    visit(child, scope, inside)
                    continue
                made = substituted(new, bound)
                if isinstance(child, ast.stmt) and isinstance(made, ast.expr):
                    made = ast.Expr(made)
                if isinstance(value, list):
                    value[i] = made
                else:
                    setattr(node, name, made)
                hits.append(scope)

    visit(root, "", not within)
    return hits


def _parsed(pattern: str) -> ast.AST:
    (statement,) = ast.parse(pattern).body
    return statement.value if isinstance(statement, ast.Expr) else statement


def fits(pattern: Any, node: Any, bound: Bound) -> bool:
    """Whether a node is what the pattern says; ``bound`` takes what the capitals stand for."""
    if isinstance(pattern, ast.Name) and _ANY.match(pattern.id):
        if pattern.id in bound:
            return ast.dump(bound[pattern.id]) == ast.dump(node)
        bound[pattern.id] = node
        return isinstance(node, ast.expr)
    if isinstance(pattern, ast.expr) and isinstance(node, ast.Expr):
        return fits(pattern, node.value, bound)  # a statement that is a call alone
    if isinstance(pattern, ast.Call) and isinstance(node, ast.Call):
        return _call_fits(pattern, node, bound)
    if isinstance(pattern, list):
        same = isinstance(node, list) and len(pattern) == len(node)
        return same and all(fits(a, b, bound) for a, b in zip(pattern, node, strict=True))
    if isinstance(pattern, ast.AST):
        return type(pattern) is type(node) and all(
            fits(value, getattr(node, name, None), bound)
            for name, value in ast.iter_fields(pattern)
            if name not in ("ctx", "kind", "type_comment")
        )
    return type(pattern) is type(node) and pattern == node


def _call_fits(pattern: ast.Call, node: ast.Call, bound: Bound) -> bool:
    if not fits(pattern.func, node.func, bound):
        return False
    wanted, given = list(pattern.args), list(node.args)
    if wanted and isinstance(wanted[-1], ast.Starred):
        rest = wanted.pop()
        bound[f"*{ast.unparse(rest.value)}"] = given[len(wanted) :]  # type: ignore[attr-defined]
        given = given[: len(wanted)]
    if not fits(wanted, given, bound):
        return False
    named = {k.arg: k for k in node.keywords}
    rest_name = ""
    for keyword in pattern.keywords:
        if keyword.arg is None:
            rest_name = ast.unparse(keyword.value)
        elif keyword.arg not in named or not fits(
            keyword.value, named.pop(keyword.arg).value, bound
        ):
            return False
    if rest_name:
        bound[f"**{rest_name}"] = list(named.values())
    return bool(rest_name) or not named


def substituted(new: Any, bound: Bound) -> Any:
    """Return the replacement with what the capitals stood for."""
    if isinstance(new, ast.Name) and new.id in bound:
        return copy.deepcopy(bound[new.id])
    if isinstance(new, list):
        made: list[Any] = []
        for item in new:
            rest = ""
            if isinstance(item, ast.Starred):
                rest = f"*{ast.unparse(item.value)}"
            elif isinstance(item, ast.keyword) and item.arg is None:
                rest = f"**{ast.unparse(item.value)}"
            if rest in bound:
                made += copy.deepcopy(bound[rest])
            else:
                made.append(substituted(item, bound))
        return made
    if isinstance(new, ast.AST):
        copied = copy.copy(new)
        for name, value in ast.iter_fields(new):
            setattr(copied, name, substituted(value, bound))
        return copied
    return new

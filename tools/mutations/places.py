"""Places where one thing can be changed, and mutants: the same change in all twins.

A place is known by its scope (``Highway.forward``), the operator, the text around it and a number
among equal ones, never by a line. Keras's ``call`` is written ``forward``, prefixes such as
``torch.`` and ``ops.`` are left out: twins then have equal keys.
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tools.mutations.operators import Walk
from tools.mutations.words import Edit, last_name, text

#: Packages whose modules are twins of one another.
FRAMEWORKS = ("reference", "torch", "tensorflow")
#: Modules that compute nothing that a twin could share, or need processes of their own.
_LEFT_OUT = re.compile(
    r"(^|/)(__init__|__main__|_\w+|allocator|distributed|export|inference|bench|registry|results"
    r"|parallel)\.py$|^(cli|data|book|bench|claims|figures|grading)/"
)
_ALIASES = {"Sinkhorn.forward": "sinkhorn", "_RMS.forward": "rms_norm"}


@dataclass
class Place:
    """One thing that one operator can change in one file."""

    file: str
    scope: str
    operator: str
    old: str
    new: str
    edits: list[Edit] = field(repr=False)
    ordinal: int = 0

    @property
    def framework(self) -> str:
        """``reference``, ``torch``, ``tensorflow``, or ``shared`` for what all of them use."""
        first = self.file.split("/")[0]
        return first if first in FRAMEWORKS else "shared"

    @property
    def key(self) -> str:
        """Equal for the same change in a twin."""
        scope = _ALIASES.get(self.scope, self.scope)
        if scope.startswith("_") or not scope:  # a private name tells little without its module
            scope = f"{Path(self.file).stem}:{scope}"
        return f"{scope} | {self.operator} | {self.old} -> {self.new} | {self.ordinal}"

    def apply(self) -> None:
        """Change the tree in which the place was found."""
        for parent, name, index, new in sorted(self.edits, key=lambda e: -(e[2] or 0)):
            if index is None:
                setattr(parent, name, new)
            elif new is None:
                getattr(parent, name).pop(index)
            else:
                getattr(parent, name)[index] = new


@dataclass(frozen=True)
class Mutant:
    """One fault: new texts for one file or more."""

    name: str
    kind: str  # "twin", "shared", "single" or "curated"
    scopes: tuple[tuple[str, str], ...]  # (file, scope)
    texts: dict[str, str] = field(repr=False, hash=False)
    equivalent: str = ""


def modules(package: Path) -> list[str]:
    """Return the files of a package in which mutants are made, relative to it."""
    found = sorted(str(path.relative_to(package)) for path in package.rglob("*.py"))
    return [name for name in found if not _LEFT_OUT.search(name)]


def places(file: str, source: str | ast.Module) -> tuple[ast.Module, list[Place]]:
    """Return the syntax tree of a module and all places in it, in order."""
    tree = source if isinstance(source, ast.Module) else ast.parse(source)
    found: list[Place] = []
    counted: Counter[str] = Counter()
    for scope, operator, old, new, edits in Walk().run(tree):
        place = Place(file, scope, operator, old, new, edits)
        key = place.key
        place.ordinal = counted[key]
        counted[key] += 1
        found.append(place)
    return tree, found


def mutants(package: Path, only: str = "") -> list[Mutant]:
    """Return all mutants of a package: twins and shared code first, then one framework alone.

    ``only`` is the name of a module (``merges``) to which they are limited.
    """
    by_key: dict[str, list[Place]] = defaultdict(list)
    sources = {name: (package / name).read_text() for name in modules(package)}
    for name, source in sources.items():
        if only and Path(name).stem != only:
            continue
        for place in places(name, source)[1]:
            by_key[place.key].append(place)
    calls, defaults = _calls(sources), _defaults(sources)
    groups = []
    for key, found in by_key.items():
        if found[0].framework == "shared":
            groups.append((key, "shared", found[:1]))
            continue
        if len({p.framework for p in found}) > 1:
            groups.append((key, "twin", found))
        groups += [(f"{key} | {p.framework}", "single", [p]) for p in found]
    return [
        Mutant(
            name,
            kind,
            tuple((p.file, p.scope) for p in found),
            {},
            _without_effect(found, calls, defaults),
        )
        for name, kind, found in groups
    ]


def texts(package: Path, mutant: Mutant) -> dict[str, str]:
    """Return the new text of each file that a mutant changes."""
    key = mutant.name.rsplit(" | ", 1)[0] if mutant.kind == "single" else mutant.name
    changed = {}
    for file in {file for file, _ in mutant.scopes}:
        tree, found = places(file, (package / file).read_text())
        for place in [p for p in found if p.key == key][:1]:
            place.apply()
        changed[file] = ast.unparse(ast.fix_missing_locations(tree)) + "\n"
    return changed


def _without_effect(
    found: list[Place], calls: dict[str, list[ast.Call]], defaults: set[str]
) -> str:
    """Return why changing these places changes nothing, or an empty string."""
    if not any(_used(place, calls) for place in found):
        return "a default that no call leaves out"
    if all(place.operator == "keyword" and place.old in defaults for place in found):
        return "an argument that is the default"
    return ""


def _defaults(sources: dict[str, str]) -> set[str]:
    """Return "Layer(argument=value)" where that is the default in every definition of Layer."""
    values: dict[str, set[str]] = defaultdict(set)
    for source in sources.values():
        for node in ast.walk(ast.parse(source)):
            body = node.body if isinstance(node, ast.ClassDef) else [node]
            for function in body:
                if not isinstance(function, ast.FunctionDef):
                    continue
                if isinstance(node, ast.ClassDef) and function.name != "__init__":
                    continue
                name = getattr(node, "name", "")
                given = reversed(function.args.defaults)
                for argument, default in zip(reversed(function.args.args), given, strict=False):
                    values[f"{name}({argument.arg}="].add(text(default))
    return {f"{call}{found.pop()})" for call, found in values.items() if len(found) == 1}


def _calls(sources: dict[str, str]) -> dict[str, list[ast.Call]]:
    found = defaultdict(list)
    for source in sources.values():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call):
                found[last_name(node.func)].append(node)
    return found


def _used(place: Place, calls: dict[str, list[ast.Call]]) -> bool:
    """Whether a changed default can matter: a private function whose calls all set it cannot."""
    name = place.scope.split(".")[-1]
    if place.operator != "default" or not name.startswith("_") or name.startswith("__"):
        return True
    argument = place.old.split("=")[0]
    return any(argument not in [k.arg for k in call.keywords] for call in calls[name])

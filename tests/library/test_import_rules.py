"""What may import what, and how fast the package itself is."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import companion

ROOT = Path(companion.__file__).parent
FRAMEWORKS = {"torch", "tensorflow", "keras"}
FRAMEWORK_PARTS = ("companion.torch", "companion.tensorflow")


def imports(path: Path) -> set[str]:
    """Return every module that the file imports, at any depth."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def files(where: str) -> list[Path]:
    path = ROOT / where
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


@pytest.mark.parametrize(
    "where",
    [
        "reference",
        "claims",
        "data",
        "figures",
        "recipe.py",
        "tasks.py",
        "probes.py",
        "architectures.py",
        "_checks.py",
        "weights",
        "bench",
        "export.py",
        "__main__.py",
    ],
)
def test_shared_parts_import_no_framework(where):
    for path in files(where):
        for name in imports(path):
            assert name.split(".")[0] not in FRAMEWORKS, (path, name)
            assert not name.startswith(FRAMEWORK_PARTS), (path, name)


def test_the_command_line_imports_a_framework_only_where_it_needs_one():
    for path in files("cli"):
        tree = ast.parse(path.read_text("utf-8"))
        inside = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
        late = {id(node) for function in inside for node in ast.walk(function)}
        heavy = FRAMEWORKS | {"matplotlib", "nbformat", "nbclient", "IPython"}
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)) and id(node) not in late:
                names = {a.name for a in node.names} | {getattr(node, "module", None) or ""}
                assert not any(name.split(".")[0] in heavy for name in names), (path, names)
                assert not any(name.startswith(FRAMEWORK_PARTS) for name in names), (path, names)


def test_nothing_needs_the_command_line():
    for path in ROOT.rglob("*.py"):
        if path.parent.name != "cli" and path.name != "__main__.py":
            assert not any(name.startswith("companion.cli") for name in imports(path)), path


def test_frameworks_do_not_import_one_another():
    for path in files("torch"):
        names = imports(path)
        assert not any(n.startswith(("tensorflow", "keras", "companion.tensorflow")) for n in names)
    for path in files("tensorflow"):
        assert not any(n.split(".")[0] == "torch" or "companion.torch" in n for n in imports(path))


def test_reference_needs_numpy_alone():
    for path in files("reference"):
        outside = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names)
        assert outside <= {"numpy", "companion"}, path


def test_both_frameworks_offer_the_same_names():
    here, there = (
        {p.name for p in (ROOT / folder).glob("[!_]*.py")} for folder in ("torch", "tensorflow")
    )
    assert here == there


def test_importing_the_package_is_light():
    code = (
        "import time; t = time.perf_counter(); import companion, sys; "
        "s = time.perf_counter() - t; "
        "assert not {'torch', 'tensorflow', 'keras', 'numpy'} & set(sys.modules); "
        "assert s < 0.3, s"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("framework", ["torch", "tensorflow"])
def test_a_missing_framework_names_the_extra(framework):
    code = (
        f"import sys; sys.modules['{framework}'] = None\n"
        f"try:\n    import companion.{framework}\n"
        f"except ImportError as e:\n    assert 'companion[{framework}]' in str(e), e\n"
        "else:\n    raise SystemExit(1)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_file_outgrows_a_sitting():
    for path in ROOT.rglob("*.py"):
        lines = len(path.read_text("utf-8").splitlines())
        assert lines <= 400, (path, lines)


def test_both_frameworks_export_the_same_names():
    def exported(framework: str) -> list[str]:
        tree = ast.parse((ROOT / framework / "__init__.py").read_text("utf-8"))
        (value,) = (
            node.value
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        )
        return sorted(ast.literal_eval(value))

    assert exported("torch") == exported("tensorflow") != []


def test_networks_take_the_same_arguments_in_both_frameworks():
    import companion.tensorflow as there
    import companion.torch as here

    for name in here.__all__:
        one, other = getattr(here, name), getattr(there, name)
        if not inspect.isfunction(one) or name == "residual_block":
            continue
        assert list(inspect.signature(one).parameters) == list(
            inspect.signature(other).parameters
        ), name
        for key, parameter in inspect.signature(one).parameters.items():
            assert parameter.default == inspect.signature(other).parameters[key].default, name

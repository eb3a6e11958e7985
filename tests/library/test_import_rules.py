"""What may import what, and how light the package itself is."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import companion

ROOT = Path(companion.__file__).parent
FRAMEWORKS = {"torch", "tensorflow", "keras"}
FRAMEWORK_PARTS = ("companion.torch", "companion.tensorflow")
#: Where a framework is imported at the top of a file.
AT_HOME = (
    "torch/",
    "tensorflow/",
    *(f"book/bench/{n}.py" for n in ("torch", "limit", "functional_resnet", "own_process")),
    "book/bench/tensorflow.py",
    "book/experiments/",
)
#: Where one is imported inside a function, once a command needs it.
LATE = ("cli/", "book/cli/")
FILES = {path.relative_to(ROOT).as_posix(): path for path in sorted(ROOT.rglob("*.py"))}


def imports(path: Path) -> set[str]:
    """Return every module that the file imports, at any depth."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


IMPORTS = {name: imports(path) for name, path in FILES.items()}


def below(*folders: str) -> list[str]:
    return [name for name in FILES if name.startswith(folders)]


def belongs_to(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


@pytest.mark.parametrize("file", [name for name in FILES if not name.startswith(AT_HOME + LATE)])
def test_shared_parts_import_no_framework(file):
    for name in IMPORTS[file]:
        assert name.split(".")[0] not in FRAMEWORKS, name
        assert not any(belongs_to(name, part) for part in FRAMEWORK_PARTS), name


def test_the_command_line_imports_a_framework_only_where_it_needs_one():
    for file in below(*LATE):
        tree = ast.parse(FILES[file].read_text("utf-8"))
        inside = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
        late = {id(node) for function in inside for node in ast.walk(function)}
        heavy = FRAMEWORKS | {"matplotlib", "nbformat", "nbclient", "IPython"}
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)) and id(node) not in late:
                names = {a.name for a in node.names} | {getattr(node, "module", None) or ""}
                assert not any(name.split(".")[0] in heavy for name in names), (file, names)
                assert not any(name.startswith(FRAMEWORK_PARTS) for name in names), (file, names)


@pytest.mark.parametrize(
    ("part", "inside", "but"),
    [
        ("companion.book", ("book/",), {"__main__.py"}),  # the library does without the book
        ("companion.cli", ("cli/", "book/cli/"), {"__main__.py"}),
    ],
)
def test_nothing_outside_a_part_needs_it(part, inside, but):
    needs = {file for file in FILES if any(belongs_to(name, part) for name in IMPORTS[file])}
    assert {file for file in needs if not file.startswith(inside)} <= but


def test_frameworks_do_not_import_one_another():
    for folder, other in (("torch/", {"tensorflow", "keras"}), ("tensorflow/", {"torch"})):
        for file in below(folder):
            for name in IMPORTS[file]:
                assert name.split(".")[0] not in other, (file, name)
                assert not any(belongs_to(name, f"companion.{part}") for part in other), (
                    file,
                    name,
                )


def test_reference_needs_numpy_alone():
    for file in below("reference/"):
        outside = {name.split(".")[0] for name in IMPORTS[file]} - set(sys.stdlib_module_names)
        assert outside <= {"numpy", "companion"}, file


def test_importing_the_package_is_light():
    # Modules are counted, not seconds: a busy machine imports as many. NumPy has over a hundred.
    code = (
        "import importlib, types, sys; before = set(sys.modules); import companion; "
        "new = set(sys.modules) - before; "
        "assert not {'torch', 'tensorflow', 'keras', 'numpy'} & new; "
        "assert len(new) < 20, sorted(new)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_torch_wing_is_light():
    # Not PyTorch's compiler, which is as much again; nor what an extra brings. Counted, as above.
    code = (
        "import sys, torch, tqdm.auto, torch.fx; before = set(sys.modules); "
        "import companion.torch; "
        "new = {name for name in set(sys.modules) - before if name.split('.')[0] != 'companion'}; "
        "heavy = ('torch._dynamo', 'torch._inductor', 'torch.onnx', 'torch.export', 'sympy'); "
        "tops = {name.split('.')[0] for name in new} - sys.stdlib_module_names; "
        "assert tops <= {'torch'} and not new & set(heavy) and len(new) < 60, sorted(new)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("framework", ["torch", "tensorflow"])
def test_a_missing_framework_names_the_extra(framework):
    code = (
        f"import sys; sys.modules['{framework}'] = None\n"
        f"try:\n    import companion.{framework}\n"
        f"except ImportError as e:\n    assert 'residual-companion[{framework}]' in str(e), e\n"
        "else:\n    raise SystemExit(1)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("file", FILES)
def test_no_file_outgrows_a_sitting(file):
    assert len(FILES[file].read_text("utf-8").splitlines()) <= 300

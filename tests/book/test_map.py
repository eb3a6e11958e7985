"""The page that says where everything is, the README and CONTRIBUTING name what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import companion
from tools import affected

ROOT = Path(__file__).resolve().parents[2]
MAP = (ROOT / "book" / "api" / "index.md").read_text("utf-8").partition("## Where is what")[2]
SHARED = ("reference", "torch", "tensorflow")
PUBLIC = sorted({p.stem for part in SHARED for p in (ROOT / "companion" / part).glob("[!_]*.py")})
#: Tests of the library that are of no one module: of all, or of several at work.
OF_SEVERAL = {
    "import_rules",
    "half_precision",
    "half_precision_in_keras",
    "no_side_effects",
    "twins",
    "input_checks",
    "resume",
    "torch_expectations",
    "keras_expectations",
}


def paths(text: str) -> list[str]:
    """Return every path in code, `companion/*/merges.py` and `Makefile` alike."""
    code = re.findall(r"`([^`\n]+)`", text)
    return [c for c in code if re.fullmatch(r"[\w.*]+(?:/[\w.*]+)+/?|\w+file", c)]


@pytest.mark.parametrize("path", sorted(set(paths(MAP))))
def test_every_path_of_the_map_is_there(path):
    if "*" in path:
        assert any((ROOT / path.replace("*", part)).exists() for part in SHARED)
    else:
        assert (ROOT / path).exists()


def top_level() -> list[str]:
    folder = Path(companion.__file__).parent
    found = [p.name for p in folder.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()]
    return sorted(set(found) - {"__init__.py", *SHARED})


@pytest.mark.parametrize("name", top_level())
def test_every_module_of_the_library_stands_on_the_map(name):
    listed = paths(MAP)
    assert any(f"{p}/".startswith(f"companion/{name}/") for p in listed)


@pytest.mark.parametrize("framework", SHARED)
def test_every_module_of_a_framework_stands_on_the_map(framework):
    listed = set(paths(MAP))
    for path in (ROOT / "companion" / framework).glob("*.py"):
        if path.name != "__init__.py":
            assert {f"companion/*/{path.name}", f"companion/{framework}/{path.name}"} & listed, path


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md"])
def test_paths_and_modules_in_words_are_there(file):
    text = (ROOT / file).read_text("utf-8")
    for path in paths(text):
        if not re.search(r"test_[xz]\b|/[yz]\b", path):  # of the rule, not of a file
            assert (ROOT / path).exists(), path
    for module in re.findall(r"`(companion(?:\.\w+)+)`", text):
        place = ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").exists() or (place / "__init__.py").exists(), module


def modules(folder: Path) -> set[str]:
    return {folder.name} | {path.stem.strip("_") for path in folder.glob("*.py")}


def test_the_tests_mirror_the_library():
    library, package = ROOT / "tests" / "library", ROOT / "companion"
    for test in library.rglob("test_*.py"):
        folder = package / test.parent.relative_to(library)
        names = modules(folder)
        if folder == package:
            names = names.union(*(modules(folder / part) for part in SHARED))
        name = test.stem.removeprefix("test_")
        assert name in names | OF_SEVERAL, f"{test} is named for no module"


def test_the_tests_mirror_the_tools():
    """Each of tests/tools is of a tool, or of a file at the root; none of a tool is elsewhere."""
    tools = {path.stem for path in (ROOT / "tools").iterdir()}
    of_the_root = {"makefile": "Makefile", "wheel": "setup.py", "environments": "Dockerfile"}
    of_the_root["workflows"] = ".github/workflows"
    assert all((ROOT / file).exists() for file in of_the_root.values())
    for test in (ROOT / "tests").rglob("test_*.py"):
        name = test.stem.removeprefix("test_")
        if test.parent.name == "tools":
            assert name in tools | {"mutation", *of_the_root}, f"{test} is named for no tool"
        else:
            assert name not in tools, f"{test} belongs in tests/tools"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_module_of_a_framework_has_a_test_of_its_name(name):
    own = ROOT / "tests" / "library" / f"test_{name}.py"
    found = own.exists() or affected.oracles(name) != []
    assert found != (name in affected.ELSEWHERE), f"{name} has none, or stands in ELSEWHERE too"


@pytest.mark.parametrize("test", sorted(t for tests in affected.ELSEWHERE.values() for t in tests))
def test_tests_that_stand_elsewhere_are_there(test):
    assert (ROOT / test).exists()

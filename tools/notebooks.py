"""Run notebooks as a reader does who has a page and the package, and compare what they print.

python -m tools.notebooks [PYTEST'S OPTIONS] NOTEBOOK ...

The wheel is built and installed beside the checkout, each notebook is copied to an empty folder,
and its kernel finds the wheel, the packages that the page's extras bring, and nothing else
(tools/reader/sitecustomize.py).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distributions, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.extras import ROOT, extras

#: What the build of the wheel reads.
SOURCES = ("companion", "book", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "_static", "_vendor", "*.partial", "[.]*")
PACKAGE = canonicalize_name("residual-companion")


def build_wheel(folder: Path) -> Path:
    """Build the package's wheel from a copy of its sources and return it."""
    copy = folder / "sources"
    copy.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=LEFT_OUT)
        else:
            shutil.copy(source, copy / name)
    build = "from setuptools import build_meta as b; b.build_wheel('..')"
    subprocess.run([sys.executable, "-c", build], cwd=copy, check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(copy)
    (wheel,) = folder.glob("*.whl")
    return wheel


def brought(names: Iterable[str]) -> set[str]:
    """Return the distributions that these extras of the package bring, and a kernel's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    left = [Requirement(line) for line in ("ipykernel", *project["dependencies"])]
    left.append(Requirement(f"{PACKAGE}[{','.join(names)}]"))
    found: set[tuple[str, str]] = set()
    while left:
        wanted = left.pop()
        name = canonicalize_name(wanted.name)
        for extra in ("", *wanted.extras):
            if (name, extra) in found:
                continue
            found.add((name, extra))
            if name == PACKAGE:
                lines = project["optional-dependencies"][extra] if extra else []
            else:
                try:
                    lines = requires(name) or []
                except PackageNotFoundError:  # wanted by another system or Python
                    lines = []
            needed = (Requirement(line) for line in lines)
            left += [n for n in needed if n.marker is None or n.marker.evaluate({"extra": extra})]
    return {name for name, extra in found}


def prepare(folder: Path, notebooks: Iterable[Path]) -> tuple[dict[str, str], list[Path]]:
    """Make the folder a reader's, and return the environment and the copies of the notebooks."""
    site, pages, reader = folder / "site", folder / "pages", folder / "reader"
    install = ("-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps")
    wheel = build_wheel(folder)
    command = [sys.executable, *install, "--no-index", "--no-compile", "--target", site, wheel]
    subprocess.run(command, check=True)
    installed = {canonicalize_name(d.metadata["Name"]) for d in distributions()}
    owners = {top: set(map(canonicalize_name, d)) for top, d in packages_distributions().items()}
    modules, hidden, copies = {}, {}, []
    for notebook in notebooks:
        seen = brought(extras(notebook))
        modules[notebook.stem] = sorted(t for t, owner in owners.items() if not owner & seen)
        hidden[notebook.stem] = sorted(installed - seen)
        copies.append(pages / notebook.stem / notebook.name)
        copies[-1].parent.mkdir(parents=True)
        shutil.copy(notebook, copies[-1])
    reader.mkdir()
    shutil.copy(Path(__file__).with_name("reader") / "sitecustomize.py", reader)
    setting = {"checkout": ROOT, "site": site, "pages": pages}
    setting = {name: os.path.realpath(place) for name, place in setting.items()}
    setting |= {"modules": modules, "distributions": hidden}
    (reader / "setting.json").write_text(json.dumps(setting), "utf-8")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (reader, site)))}, copies


def main(arguments: list[str]) -> int:
    """Run the notebooks under pytest with these options; return its exit code."""
    notebooks = [Path(a).resolve() for a in arguments if a.endswith(".ipynb")]
    if not notebooks:
        print("usage: python -m tools.notebooks [OPTION ...] NOTEBOOK ...", file=sys.stderr)
        return 2
    options = [a for a in arguments if not a.endswith(".ipynb")]
    # Cells run in their order, and the checkout's conftest.py says what is compared.
    options += ["-p", "no:randomly", "-p", "conftest", "--nbval", "--nbval-current-env"]
    options += ["-c", str(ROOT / "pyproject.toml")]
    with tempfile.TemporaryDirectory() as folder:
        environment, copies = prepare(Path(folder).resolve(), notebooks)
        rules = ["--rootdir", f"{folder}/pages"]
        command = [sys.executable, "-m", "pytest", *options, *rules, *map(str, copies)]
        return subprocess.run(command, cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

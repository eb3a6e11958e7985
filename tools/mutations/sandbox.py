"""A copy of the project in which the library is changed, and children that run tests in it.

The parent has imported the frameworks, which is what takes long, but not the library.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import json
import math
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tools.mutations.plugins import MARKS
from tools.mutations.words import scope_name

ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "OMP_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TQDM_DISABLE": "1",
}
_PARTS = ("companion", "tests", "tools", "book", "conftest.py", "pyproject.toml",
          "README.md", "CHANGELOG.md", "_config.yml", "_toc.yml")  # fmt: skip


#: Seconds after which a child that does not end is stopped.
_HANGS = 1800.0


def import_frameworks() -> None:
    """Import what takes long, and nothing of the project; no operation may run before the fork."""
    os.environ.update(ENVIRONMENT)
    for name in ("numpy", "torch", "tensorflow", "keras", "pytest", "hypothesis", "tqdm.auto"):
        importlib.import_module(name)
    hypothesis = importlib.import_module("hypothesis")
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)  # a failure is not made smaller
    hypothesis.settings.register_profile("mutation", phases=phases, database=None)
    hypothesis.settings.load_profile("mutation")


class Sandbox:
    """A copy of the project whose library is changed and put back."""

    def __init__(self, root: Path) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="mutation-"))
        for part in _PARTS:
            source = root / part
            ignored = shutil.ignore_patterns("__pycache__", ".*")
            if source.is_dir():
                shutil.copytree(source, self.path / part, ignore=ignored)
            elif source.exists():
                shutil.copy(source, self.path / part)

    def write(self, texts: dict[str, str]) -> dict[str, str]:
        """Write files of the library and return what they held."""
        held = {}
        for name, text in texts.items():
            path = self.path / "companion" / name
            held[name] = path.read_text()
            path.write_text(text)
            for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
                compiled.unlink()  # it would pass for new within the same second
        return held

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def fork(work: Callable[[], Any], seconds: float) -> Any:
    """Return what ``work`` returns in a forked child, ``"crash"``, ``"too long"`` or ``"hangs"``.

    ``seconds`` are of CPU time, since a machine may be busy with other work. What waits for ever is
    given half an hour.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setpgrp()
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds) + 5))
            os.close(reader)
            quiet = os.open(os.environ.get("MUTATION_LOG", os.devnull), os.O_WRONLY | os.O_CREAT)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            answer = json.dumps(work()).encode()
            with os.fdopen(writer, "wb") as out:
                out.write(answer)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    os.set_blocking(reader, False)
    parts, end, late = [], time.monotonic() + _HANGS, False
    while True:  # read while it runs: a full pipe would stop it
        try:
            part = os.read(reader, 1 << 16)
            parts.append(part)
            if not part:
                break
        except BlockingIOError:
            time.sleep(0.02)
        if time.monotonic() > end:
            late = True
            break
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(reader)
    if late:
        return "hangs"
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
        return "too long"
    try:
        return json.loads(b"".join(parts))
    except json.JSONDecodeError:
        return "crash"


def run_tests(sandbox: Path, files: Iterable[str], plugin: Any, first: bool) -> int:
    """Run test files of the sandbox in this process, which must be a forked child."""
    importlib.import_module("torch").set_num_threads(1)
    os.chdir(sandbox)
    os.environ["PYTHONPATH"] = str(sandbox)
    here = str(Path(__file__).resolve().parents[2])
    away = {"", here, os.environ.get("PWD", here)}
    sys.path[:] = [str(sandbox), *(p for p in sys.path if p not in away)]
    sys.dont_write_bytecode = False
    for name in [n for n in sys.modules if n.split(".")[0] in ("companion", "tools", "tests")]:
        del sys.modules[name]
    found = importlib.import_module("companion").__file__
    assert found is not None and found.startswith(str(sandbox)), found
    options = ["-q", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:nbval"]
    return int(pytest.main([*(["-x"] if first else []), *options, *files], plugins=[plugin]))


def marked(file: str, source: str) -> str:
    """Return the source with a mark at the head of every function."""
    tree = ast.parse(source)

    def visit(node: Any, scope: str) -> None:
        for child in getattr(node, "body", []) + getattr(node, "orelse", []):
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                inner = scope_name(scope, child)
                visit(child, inner)
                if isinstance(child, ast.FunctionDef):
                    place = 1 if ast.get_docstring(child) is not None else 0
                    mark = ast.parse(f"{MARKS}.add({f'{file}:{inner}'!r})").body[0]
                    child.body.insert(place, mark)
            elif isinstance(child, (ast.If, ast.With, ast.For, ast.Try)):
                visit(child, scope)

    visit(tree, "")
    head = 0
    for i, node in enumerate(tree.body):
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if docstring or (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            head = i + 1
    made = f"{MARKS} = getattr(__import__('builtins'), {MARKS!r}, set())"
    tree.body.insert(head, ast.parse(made).body[0])
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"

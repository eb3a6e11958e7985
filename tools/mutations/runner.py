"""Run tests on a changed copy of the project, each time in a forked child.

The parent has imported the frameworks, which is what takes long, but not the companion. The tests
are run once as they are, with a mark at the head of every function: that tells which tests reach
which function, how long each takes, and which fail anyway.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tools.mutations.operators import scope_name
from tools.mutations.places import Mutant
from tools.mutations.plugins import MARKS, Chosen, Recorder

ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "OMP_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TQDM_DISABLE": "1",
}
#: Tests that start processes, train for minutes, or are of the book and not of the library.
_LEFT_OUT = re.compile(
    r"(^|/)(site|book|cli|data|tools)/|test_(applications_\w+|bench|book|claims|cli|data|dates"
    r"|distributed|export|figures|glossary|import_rules|inference|outlook|photographs|processor"
    r"|questions|resources|results|resume|stored|variants_measured|walls)\.py$"
)
_PARTS = ("companion", "tests", "tools", "experiments", "book", "conftest.py", "pyproject.toml",
          "README.md", "CHANGELOG.md", "_config.yml", "_toc.yml")  # fmt: skip


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


def fork(work: Callable[[], Any], timeout: float) -> Any:
    """Return what ``work`` returns in a forked child, or ``"crash"`` or ``"timeout"``."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setpgrp()
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
    parts, end, late = [], time.monotonic() + timeout, False
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
    os.waitpid(child, 0)
    os.close(reader)
    if late:
        return "timeout"
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


class Runner:
    """A sandbox, what is known of its tests, and the runs of mutants in it.

    Parameters
    ----------
    root: of the project. known: a file that keeps what a baseline run told, so that it is not
        repeated for the same code and tests.
    seconds: of CPU time, by the baseline, that the tests of one mutant may take together.
    slowest: tests that took longer are left out.
    """

    def __init__(self, root: Path, known: Path, seconds: float, slowest: float) -> None:
        self.root, self.known, self.seconds, self.slowest = root, known, seconds, slowest
        self.sandbox = Sandbox(root)
        self.tests: dict[str, dict[str, Any]] = {}

    def test_files(self) -> list[str]:
        found = sorted(str(p.relative_to(self.root)) for p in self.root.glob("tests/**/test_*.py"))
        return [name for name in found if not _LEFT_OUT.search(name)]

    def baseline(self, say: Callable[[str], None]) -> None:
        """Run all tests on the code as it is; a file whose code and tests are known is not run."""
        kept = read_json(self.known)
        code = tree_hash(self.root)
        for file in self.test_files():
            text = (self.root / file).read_bytes()
            key = hashlib.sha256(code.encode() + text).hexdigest()
            if kept.get(file, {}).get("key") != key:
                start = time.monotonic()
                kept[file] = {"key": key, "tests": self._observe(file)}
                write_json(self.known, kept)
                count = len(kept[file]["tests"])
                say(f"baseline {file}: {count} tests, {time.monotonic() - start:.0f} s")
            self.tests.update(kept[file]["tests"])

    def _observe(self, file: str) -> dict[str, Any]:
        package = self.sandbox.path / "companion"
        names = [str(path.relative_to(package)) for path in package.rglob("*.py")]
        held = self.sandbox.write({n: marked(n, (package / n).read_text()) for n in names})
        tests = self._baseline_of(file)
        self.sandbox.write(held)
        for name in [n for n, test in tests.items() if test["outcome"] == "failed"]:
            # Perhaps only because of the marks.
            again = self._run_alone(file, name)
            tests[name]["outcome"] = "passed" if again == 0 else "failed"
        return tests

    def _run_alone(self, file: str, name: str) -> Any:
        return fork(lambda: run_tests(self.sandbox.path, [file], Chosen([name]), True), 600)

    def _baseline_of(self, file: str) -> dict[str, Any]:
        def work() -> dict[str, Any]:
            recorder = Recorder()
            run_tests(self.sandbox.path, [file], recorder, False)
            for test in recorder.tests.values():
                reached = set(test.get("reaches", ())) | recorder.everywhere
                test["reaches"] = sorted(reached)
            return recorder.tests

        found = fork(work, 3600)
        return found if isinstance(found, dict) else {}

    def chosen(self, mutant: Mutant) -> tuple[list[str], int]:
        """Return tests that reach what the mutant changes, quickest first, and how many more do."""
        ids: set[str] = set()
        for file, scope in mutant.scopes:
            found = self._reaching(f"{file}:{scope}", exact=True)
            if not found and scope:  # a constant of a class: what uses the class
                found = self._reaching(f"{file}:{scope}.")
            if not found and not _is_function(self.root, file, scope):  # or else the module
                found = self._reaching(f"{file}:")
            ids |= found
        total, within = 0.0, list[str]()
        for name in _varied(sorted(ids, key=lambda n: (self.tests[n]["seconds"], n))):
            total += self.tests[name]["seconds"]
            if total <= self.seconds or not within:
                within.append(name)
        return within, len(ids) - len(within)

    def _reaching(self, wanted: str, exact: bool = False) -> set[str]:
        return {
            name
            for name, test in self.tests.items()
            if test["outcome"] == "passed"
            and test.get("seconds", 0.0) <= self.slowest
            and any(m == wanted if exact else m.startswith(wanted) for m in test["reaches"])
        }

    def run(self, mutant: Mutant, texts: dict[str, str]) -> dict[str, Any]:
        """Return ``outcome`` ("caught" or "survived") and how it came to it."""
        ids, left_out = self.chosen(mutant)
        result: dict[str, Any] = {"kind": mutant.kind, "tests": len(ids), "left_out": left_out}
        if not ids:
            return {**result, "outcome": "survived", "by": "no test reaches it", "seconds": 0}
        files = list(dict.fromkeys(name.split("::")[0] for name in ids))
        start = time.monotonic()

        def work() -> list[Any]:
            plugin = Chosen(ids)
            return [run_tests(self.sandbox.path, files, plugin, True), plugin.failed, plugin.how]

        held = self.sandbox.write(texts)
        try:
            answer = fork(work, max(300.0, 12 * self.seconds))
        finally:
            self.sandbox.write(held)
        code, by, how = answer if isinstance(answer, list) else (1, answer, "")
        outcome = "survived" if code == 0 else "caught"
        if code not in (0, 1, 2):
            outcome = f"error {code}"
        seconds = round(time.monotonic() - start, 1)
        return {**result, "outcome": outcome, "by": by, "how": how, "seconds": seconds}


def _varied(ids: list[str]) -> list[str]:
    """Return the tests with one case of each function first, then the second of each, and so on."""
    seen: Counter[str] = Counter()
    rounds = {}
    for name in ids:
        function = name.split("[")[0]
        rounds[name] = seen[function]
        seen[function] += 1
    return sorted(ids, key=lambda name: rounds[name])


def _is_function(root: Path, file: str, scope: str) -> bool:
    name = scope.split(".")[-1]
    names = {name, "call"} if name == "forward" else {name}
    tree = ast.parse((root / "companion" / file).read_text())
    return any(isinstance(n, ast.FunctionDef) and n.name in names for n in ast.walk(tree))


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


def tree_hash(root: Path) -> str:
    """Return a hash of the library's code."""
    found = hashlib.sha256()
    for path in sorted((root / "companion").rglob("*.py")):
        found.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return found.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """Return what a file holds, nothing where there is none."""
    return json.loads(path.read_text()) if path.exists() else {}


def write_json(path: Path, values: Any) -> None:
    """Write a file that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n")
    beside.replace(path)

"""Which tests meet a mutant, and what they say of it.

The tests are run once as they are, with a mark at the head of every function: that tells which
tests reach which function, how long each takes, and which fail anyway.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.mutations.places import Mutant
from tools.mutations.plugins import Chosen, Recorder
from tools.mutations.sandbox import Sandbox, fork, marked, run_tests

#: Tests that start processes, train for minutes, or are of the book and not of the library.
_LEFT_OUT = re.compile(
    r"(^|/)(site|book|cli|data|tools)/|test_(applications_\w+|bench|book|claims|cli|data|dates"
    r"|distributed|export|figures|glossary|import_rules|inference|outlook|photographs|processor"
    r"|questions|resources|results|resume|stored|variants_measured|walls)\.py$"
)


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
        quick = [name for name in ids if self.tests[name]["seconds"] <= self.slowest]
        for name in _varied(sorted(quick, key=lambda n: (self.tests[n]["seconds"], n))):
            total += self.tests[name]["seconds"]
            if total <= self.seconds or not within:
                within.append(name)
        return within, len(ids) - len(within)

    def _reaching(self, wanted: str, exact: bool = False) -> set[str]:
        return {
            name
            for name, test in self.tests.items()
            if test["outcome"] == "passed"
            and any(m == wanted if exact else m.startswith(wanted) for m in test["reaches"])
        }

    def run(self, mutant: Mutant, texts: dict[str, str]) -> dict[str, Any]:
        """Return ``outcome`` ("caught" or "survived") and how it came to it."""
        ids, left_out = self.chosen(mutant)
        result: dict[str, Any] = {"kind": mutant.kind, "tests": len(ids), "left_out": left_out}
        if not ids:
            return {**result, "outcome": "survived", "by": "no test reaches it", "seconds": 0}
        start = time.monotonic()
        held = self.sandbox.write(texts)
        try:
            code, by, how = self._meet(ids)
            while code == 1 and by in self.tests and not self._meet([by])[0]:
                # It failed once and passed now, as tests that measure time do: it proves nothing.
                self.tests[by]["outcome"] = "unreliable"
                ids = [name for name in ids if name != by]
                code, by, how = self._meet(ids) if ids else (0, "", "")
        finally:
            self.sandbox.write(held)
        outcome = {0: "survived", 1: "caught", 2: "caught"}.get(code, f"error {code}")
        seconds = round(time.monotonic() - start, 1)
        return {**result, "outcome": outcome, "by": by, "how": how, "seconds": seconds}

    def _meet(self, ids: list[str]) -> tuple[int, str, str]:
        """Run these tests; return pytest's status, the test that failed first, and its message."""
        files = list(dict.fromkeys(name.split("::")[0] for name in ids))

        def work() -> list[Any]:
            plugin = Chosen(ids)
            return [run_tests(self.sandbox.path, files, plugin, True), plugin.failed, plugin.how]

        answer = fork(work, 60 + 4 * self.seconds)
        if answer == "hangs":  # perhaps only because the machine was stopped: to be run again
            return -1, "", ""
        return tuple(answer) if isinstance(answer, list) else (1, answer, "")


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

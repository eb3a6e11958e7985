"""Name the tests that what has changed since the last commit asks for; make quick runs them.

The rule of the mirror: companion/<path>/x.py is tested by tests/library/<path>/test_x.py, where
torch, tensorflow and reference share tests/library/test_x.py; companion/book/y by tests/book, and
tools/z.py by tests/tools/test_z.py. An oracle may be of several: tests/oracles/test_x_y.py. Where
the rule names no test, and where nothing has changed, the tests of the one equation and its parts.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
SHARED = ("torch", "tensorflow", "reference")
#: Which file may import which: whatever has changed, in seconds.
ALWAYS = ("tests/library/test_import_rules.py",)
#: The equation, its parts, and their equality in the three implementations.
CORE = (
    "tests/library/test_reference.py",
    "tests/library/test_residual.py",
    "tests/library/test_blocks.py",
    "tests/oracles/test_blocks.py",
    "tests/oracles/test_merges.py",
)
#: Modules without a file of their own among the tests, and where theirs are.
ELSEWHERE = {
    "checkpointed": ("tests/oracles/test_probes.py", "tests/library/test_recomputation.py"),
    "whole_batch_norm": ("tests/library/test_distributed.py",),
}
#: Processes that train, networks that are exported: minutes each, for make test.
SLOW = (
    "test_cli",
    "test_resume",
    "test_distributed",
    "test_export",
    "test_inference",
    "test_bench",
)


def changed() -> list[str]:
    """Return the files that differ from the last commit, new ones with them."""
    commands = (["diff", "--name-only", "HEAD"], ["ls-files", "--others", "--exclude-standard"])
    outputs = (
        subprocess.run(["git", *c], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for c in commands
    )
    return sorted({line for output in outputs for line in output.splitlines()})


def mirror(file: str) -> list[str]:
    """Return where the rule of the mirror looks for the tests of a file."""
    path = PurePosixPath(file)
    top, stem = path.parts[0], path.stem.strip("_")
    if top == "tests":
        return [file] if stem.startswith("test_") and path.parts[1] != "site" else []
    if path.parts[:3] == ("companion", "book", "experiments"):
        tests = sorted((ROOT / "tests" / "book").glob("test_*.py"))
        named = (t for t in tests if f'experiment("{stem}")' in t.read_text("utf-8"))
        return [test.relative_to(ROOT).as_posix() for test in named]
    if top == "tools":
        return [f"tests/tools/test_{'mutation' if path.parts[1] == 'mutations' else stem}.py"]
    if top == "book":
        return ["tests/book/test_pages.py", "tests/book/test_glossary.py"]
    if top != "companion" or path.suffix != ".py":
        return []
    if path.parts[1] == "book":  # companion/book/bench/timing.py: tests/book/test_bench.py
        return [f"tests/book/test_{part.removesuffix('.py')}.py" for part in path.parts[2:]]
    folders = path.parts[1:-1]
    place = "/".join(("tests", "library", *(folder for folder in folders if folder not in SHARED)))
    names = (stem, *folders[-1:])  # companion/data/mnist.py: test_mnist.py and test_data.py
    own = [f"{place}/test_{name}.py" for name in names]
    if folders[:1] == ("data",):  # whose modules have the names of networks
        return own
    return [*own, *(test for name in names for test in oracles(name)), *ELSEWHERE.get(stem, ())]


def oracles(name: str) -> list[str]:
    """Return the oracles of a module; test_unet_dncnn.py is of two."""
    files = sorted((ROOT / "tests" / "oracles").glob("test_*.py"))
    return [f.relative_to(ROOT).as_posix() for f in files if f"_{name}_" in f"{f.stem}_"]


def affected(files: Iterable[str]) -> list[str]:
    """Return the tests to run for these files, as arguments for pytest."""
    tests: set[str] = set()
    unknown = False
    for file in files:
        found = [test for test in mirror(file) if (ROOT / test).exists()]
        tests.update(found)
        unknown = unknown or (file.startswith("companion/") and not found)
    if unknown or not tests:
        tests.update(test for test in CORE if (ROOT / test).exists())
    return sorted(tests.union(ALWAYS))


if __name__ == "__main__":
    chosen = affected(changed())
    late = [test for test in chosen if Path(test).stem in SLOW]
    if late:
        print(f"left to make test, too slow: {' '.join(late)}", file=sys.stderr)
    print(*(test for test in chosen if test not in late))

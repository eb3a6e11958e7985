"""What make runs: the tests that a change asks for, and stages that say one line."""

from __future__ import annotations

import sys

import pytest

from tools import affected
from tools.stage import stage

MERGES = ["tests/library/test_merges.py", "tests/oracles/test_merges.py"]


@pytest.mark.parametrize(
    ("file", "tests"),
    [
        (
            "companion/torch/merges.py",
            MERGES,
        ),
        (
            "companion/reference/merges.py",
            MERGES,
        ),
        (
            "companion/data/dates.py",
            ["tests/library/data/test_data.py", "tests/library/data/test_dates.py"],
        ),
        ("companion/data/mnist.py", ["tests/library/data/test_data.py"]),
        ("companion/book/bench/timing.py", ["tests/book/test_bench.py"]),
        ("companion/book/results.py", ["tests/book/test_results.py"]),
        ("experiments/fusion.py", ["tests/book/test_outlook.py"]),
        ("book/02_idea.ipynb", ["tests/book/test_glossary.py", "tests/book/test_pages.py"]),
        ("tests/book/test_tools.py", ["tests/book/test_tools.py"]),
    ],
)
def test_a_change_asks_for_the_tests_of_the_mirror(file, tests):
    assert affected.affected([file]) == sorted([*tests, *affected.ALWAYS])


@pytest.mark.parametrize("files", [[], ["README.md"], ["companion/torch/__init__.py"]])
def test_without_a_mirror_the_equation_is_tested(files):
    found = affected.affected(files)
    assert {"tests/library/test_blocks.py", *affected.ALWAYS} <= set(found)
    assert all((affected.ROOT / test).exists() for test in found)


def test_a_stage_says_its_last_line_or_everything(capfd):
    code = "print('one'); print('=== two ==='); raise SystemExit({})"
    assert stage("fine", [sys.executable, "-c", code.format(0)]) == 0
    line = capfd.readouterr().out
    assert line.startswith("fine ") and "two [0" in line and line.count("\n") == 1
    assert stage("broken", [sys.executable, "-c", code.format(3)]) == 3
    assert "FAILED\none\n=== two ===\n" in capfd.readouterr().out

"""What the tests are asked while they run, as plugins of pytest."""

from __future__ import annotations

import builtins
import os
import time
from typing import Any

import pytest

#: Name of the set to which every marked function of the library adds itself.
MARKS = "__companion_marks__"


class Recorder:
    """Note of each test: outcome, CPU seconds, and the functions that it reached."""

    def __init__(self) -> None:
        self.tests: dict[str, dict[str, Any]] = {}
        self.marks: set[str] = set()
        self.everywhere: set[str] = set()  # reached while modules and their fixtures were made
        setattr(builtins, MARKS, self.marks)

    def pytest_collection_finish(self) -> None:
        self.everywhere |= self.marks

    def pytest_runtest_logreport(self, report: Any) -> None:
        test = self.tests.setdefault(report.nodeid, {"outcome": "passed"})
        if report.outcome != "passed":
            test["outcome"] = report.outcome

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Any:
        before = set(self.marks)
        result = yield
        if fixturedef.scope != "function":
            self.everywhere |= self.marks - before
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Any:
        self.marks.clear()
        start = _cpu_seconds()
        result = yield
        test = self.tests.setdefault(item.nodeid, {"outcome": "skipped"})
        test["seconds"] = round(_cpu_seconds() - start, 3)
        test["reaches"] = sorted(self.marks)
        return result


class Chosen:
    """Run the chosen tests alone, in their order; remember which failed first."""

    def __init__(self, ids: list[str]) -> None:
        self.order = {name: i for i, name in enumerate(ids)}
        self.failed = ""
        self.how = ""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        wanted = [item for item in items if item.nodeid in self.order]
        items[:] = sorted(wanted, key=lambda item: self.order[item.nodeid])

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid
            crash = getattr(report.longrepr, "reprcrash", None)
            self.how = getattr(crash, "message", "")[:160]

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and not self.failed:
            self.failed = f"{report.nodeid} (import)"


def _cpu_seconds() -> float:
    """Of this process and of those that it waited for."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system

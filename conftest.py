"""What pytest does in this repository: its limits, its order, and what notebooks compare.

Pictures as such and what frameworks log are left out. Numbers that come out of training follow the
rounding of the processor. Cells with the tag "by-processor" print such numbers: they are compared
on the kind of processor that the page was made on, and elsewhere only have to run, assertions
included.
"""

from __future__ import annotations

from typing import Any

from tests.limits import HANG_SECONDS
from tools.processor import KEY, processor


def pytest_configure(config: Any) -> None:
    if config.pluginmanager.hasplugin("nbval"):
        config.option.nbval_cell_timeout = HANG_SECONDS
        config.option.nbval_kernel_startup_timeout = HANG_SECONDS
    # pytest-randomly draws the order alone; seeds are those of tests/conftest.py in every run.
    config.option.randomly_reset_seed = False


def pytest_collectstart(collector: Any) -> None:
    # A figure's text/plain is its message, and that is compared.
    if getattr(collector, "skip_compare", None) is not None:
        collector.skip_compare += ("stderr", "text/html", "image/svg+xml")


def pytest_collection_modifyitems(items: list[Any]) -> None:
    for item in items:
        cell = getattr(item, "cell", None)
        if cell is None or "by-processor" not in cell.metadata.get("tags", ()):
            continue
        if item.parent.nb.metadata.get(KEY) != processor():
            item.options["check"] = False


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: Any) -> None:
    seed = getattr(config.option, "randomly_seed", None)
    if exitstatus and isinstance(seed, int):
        terminalreporter.write_line(f"the same order again: --randomly-seed={seed}")

"""All that is measured, of whichever frameworks are installed; the limits need PyTorch."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec

from companion import _checks
from companion.book.bench.roofline import add_roofline
from companion.book.bench.timing import Measurement, Row

#: With what an id begins is also the module that measures it; what has to be installed for that.
GROUPS = {
    "limit": ("torch",),
    "torch": ("torch",),
    "tensorflow": ("tensorflow",),
    "both": ("torch", "tensorflow"),
}


def select(only: Sequence[str] = ()) -> dict[str, Measurement]:
    """Return the measurements that are asked for, by id, and make this process use one thread.

    Parameters
    ----------
    only: beginnings of ids, as ``["torch/skip"]``; default all of the frameworks that are
        installed. The limits come along where they can be measured, since other rows are told
        beside them.

    Raises
    ------
    ValueError: a beginning that no id has.
    RuntimeError: TensorFlow runs already, on more threads than one.
    ImportError: a framework that ``only`` names is not installed, or none is.
    """
    for beginning in only:
        if beginning.split("/")[0] not in GROUPS:
            raise ValueError(f"only must begin with one of {list(GROUPS)}, got {beginning!r}")
    installed = _installed()
    asked = {beginning.split("/")[0] for beginning in only} or set(installed)
    groups = [g for g in GROUPS if g in asked or (g == "limit" and g in installed)]
    # OpenMP reads this where a thread starts, so also in processes that are started.
    os.environ["OMP_NUM_THREADS"] = "1"
    for framework in sorted({framework for group in groups for framework in GROUPS[group]}):
        importlib.import_module(f"companion.{framework}").use_threads(1)
    known = measurements(groups)
    for beginning in only:
        if not any(name.startswith(beginning) for name in known):
            raise ValueError(f"only must begin one of {list(known)}, got {beginning!r}")
    return {n: m for n, m in known.items() if not only or n.startswith(("limit", *only))}


def measure(chosen: dict[str, Measurement], rounds: int | None = None) -> list[Row]:
    """Return the rows of some measurements, told beside the limits; their ids go to stderr.

    Parameters
    ----------
    rounds: of each comparison, at least 3; default each one's own.

    Raises
    ------
    ValueError: rounds below 3. RuntimeError: a measurement in a process of its own failed.
    """
    if rounds is not None:
        rounds = _checks.positive_int("rounds", rounds, minimum=3)
    rows = []
    for name, measurement in chosen.items():
        print(f"... {name}", file=sys.stderr)
        rows.append(measurement(rounds))
    return add_roofline(rows)


def ids() -> list[str]:
    """Return the ids of all rows that can be measured here."""
    return list(measurements(_installed()))


def measurements(groups: Iterable[str]) -> dict[str, Measurement]:
    """Return all measurements of some groups, by id."""
    modules = [importlib.import_module(f"companion.book.bench.{group}") for group in groups]
    return {name: call for module in modules for name, call in module.measurements().items()}


def _installed() -> list[str]:
    """Return the groups whose frameworks are installed; raise where there is none."""
    found = [group for group in GROUPS if all(map(find_spec, GROUPS[group]))]
    if not found:
        raise ImportError("bench needs a framework: pip install 'residual-companion[torch]'")
    return found

"""All that is measured, of whichever frameworks are installed; the limits need PyTorch."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from companion import _checks
from companion.book.bench.roofline import add_roofline
from companion.book.bench.timing import Comparison, Program, run_comparison

Row = dict[str, Any]
#: Takes the number of rounds, or None for its own, and returns rows.
Measurement = Callable[[int | None], list[Row]]


def _module(name: str) -> Any:
    return importlib.import_module(f"companion.book.bench.{name}")


def _limits() -> dict[str, Measurement]:
    return {"limit": lambda rounds: _module("torch").limit_rows(rounds=rounds or 15)}


def _in_torch() -> dict[str, Measurement]:
    own = _module("own_process")
    return {
        **_measurements([*_module("torch").comparisons(), own.memory_comparison()]),
        "torch/depth": lambda rounds: [own.depth_row(rounds=rounds or 5)],
        "torch/depth/default": lambda rounds: [own.depth_row(rounds=rounds or 5, kept=False)],
        "torch/checkpoint/1202": lambda rounds: [own.checkpoint_row(rounds=rounds or 3)],
    }


def _in_tensorflow() -> dict[str, Measurement]:
    return _measurements(_module("tensorflow").comparisons())


def _in_both() -> dict[str, Measurement]:
    statement = "cifar20, an epoch of 8 steps of 32 images in fit: TensorFlow against PyTorch"
    build = lambda: (epochs("tensorflow"), epochs("torch"))  # noqa: E731
    return _measurements([Comparison("both/fit/cifar20", statement, build, 1.1, rounds=6)])


def epochs(framework: str) -> Program:
    """Return a training run of CIFAR-20 on noise, one epoch of 8 steps of 32 images a call."""
    module = importlib.import_module(f"companion.{framework}")
    rng = np.random.default_rng(0)
    x = rng.random((256, 32, 32, 3), np.float32)
    data = SimpleNamespace(x_train=x, y_train=rng.integers(0, 10, 256), num_classes=10)
    recipe = {"epochs": 1000, "batch_size": 32, "learning_rate": 0.01, "progress": False}
    run = module.train(module.cifar_resnet(20, seed=0), data, **recipe)
    return lambda: next(run)


def _measurements(comparisons: Sequence[Comparison]) -> dict[str, Measurement]:
    return {c.id: lambda rounds, c=c: [run_comparison(c, rounds)] for c in comparisons}  # type: ignore[misc]


#: What is measured in turn, by the beginning of its rows' ids: the frameworks that it needs, and
#: what returns the measurements.
GROUPS: dict[str, tuple[tuple[str, ...], Callable[[], dict[str, Measurement]]]] = {
    "limit": (("torch",), _limits),
    "torch": (("torch",), _in_torch),
    "tensorflow": (("tensorflow",), _in_tensorflow),
    "both": (("torch", "tensorflow"), _in_both),
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
    groups = {beginning.split("/")[0] for beginning in only} or set(_possible())
    if _missing("limit") is None:
        groups.add("limit")
    # OpenMP reads this where a thread starts, so also in processes that are started.
    os.environ["OMP_NUM_THREADS"] = "1"
    for framework in sorted({framework for group in groups for framework in GROUPS[group][0]}):
        importlib.import_module(f"companion.{framework}").use_threads(1)
    known = _of(group for group in GROUPS if group in groups)
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
    rows: list[Row] = []
    for name, measurement in chosen.items():
        print(f"... {name}", file=sys.stderr)
        rows += measurement(rounds)
    return add_roofline(rows)


def ids() -> list[str]:
    """Return the ids of all rows that can be measured here; the two limits count as one."""
    return list(_of(_possible()))


def _of(groups: Any) -> dict[str, Measurement]:
    return {name: call for group in groups for name, call in GROUPS[group][1]().items()}


def _possible() -> list[str]:
    """Return the groups whose frameworks are installed; raise where there is none."""
    errors = {group: _missing(group) for group in GROUPS}
    if None not in errors.values():
        raise next(error for error in errors.values() if error)
    return [group for group, error in errors.items() if error is None]


def _missing(group: str) -> ImportError | None:
    """Return why a group cannot be measured here, or nothing."""
    try:
        for framework in GROUPS[group][0]:
            importlib.import_module(f"companion.{framework}")
    except ImportError as error:
        return error
    return None

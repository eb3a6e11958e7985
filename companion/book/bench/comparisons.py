"""All that is measured, of whichever frameworks are installed; the limits need PyTorch."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from companion import _checks
from companion.book.bench.roofline import add_roofline
from companion.book.bench.timing import Comparison, Stepwise, run_comparison

Row = dict[str, Any]


def _torch() -> Any:
    return importlib.import_module("companion.book.bench.torch")


def _tensorflow() -> Any:
    return importlib.import_module("companion.book.bench.tensorflow")


Measurement = Callable[[int | None], list[Row]]


def _limits() -> dict[str, Measurement]:
    def measure(rounds: int | None) -> list[Row]:
        rows: list[Row] = _torch().limit_rows(**_given(rounds))
        return rows

    return {"limit": measure}


def _in_torch() -> dict[str, Measurement]:
    module = _torch()
    return {
        **_compared(module.comparisons()),
        "torch/depth": lambda rounds: [module.depth_row(kept=True, **_given(rounds))],
        "torch/depth/default": lambda rounds: [module.depth_row(kept=False, **_given(rounds))],
        "torch/checkpoint/1202": lambda rounds: [module.checkpoint_row(**_given(rounds))],
    }


def _in_tensorflow() -> dict[str, Measurement]:
    return _compared(_tensorflow().comparisons())


def _fit(framework: str, epochs: int, pause: Callable[[Any], None]) -> None:
    """Train CIFAR-20 on images that are noise, 8 steps of 32 an epoch, with a pause after each."""
    module = importlib.import_module(f"companion.{framework}")
    rng = np.random.default_rng(0)
    data = SimpleNamespace(
        x_train=rng.random((256, 32, 32, 3), np.float32),
        y_train=rng.integers(0, 10, 256),
        num_classes=10,
    )
    recipe = {"epochs": epochs, "batch_size": 32, "learning_rate": 0.01, "progress": False}
    module.fit(module.cifar_resnet(20, seed=0), data, after_epoch=pause, **recipe)


def _in_both() -> dict[str, Measurement]:
    rounds = 6

    def measure(given: int | None) -> list[Row]:
        epochs = 3 * (rounds if given is None else given) + 4  # more than are asked for
        case = Comparison(
            "both/fit/cifar20",
            "cifar20, an epoch of 8 steps of 32 images in fit: TensorFlow against PyTorch",
            lambda: (
                Stepwise(lambda pause: _fit("tensorflow", epochs, pause)),
                Stepwise(lambda pause: _fit("torch", epochs, pause)),
            ),
            target=1.1,
            rounds=rounds,
        )
        return [run_comparison(case, given)]

    return {"both/fit/cifar20": measure}


#: What is measured in turn, by the beginning of its rows' ids.
GROUPS: dict[str, Callable[[], dict[str, Measurement]]] = {
    "limit": _limits,
    "torch": _in_torch,
    "tensorflow": _in_tensorflow,
    "both": _in_both,
}
#: The frameworks that a group needs.
NEEDS = {
    "limit": ("torch",),
    "torch": ("torch",),
    "tensorflow": ("tensorflow",),
    "both": ("torch", "tensorflow"),
}


def run(
    only: Sequence[str] = (),
    rounds: int | None = None,
    tell: Callable[[str], None] | None = None,
    before: Callable[[], None] | None = None,
) -> list[Row]:
    """Measure, on one thread, and return the rows.

    Parameters
    ----------
    only: beginnings of the ids of the rows to measure, as ``["torch/skip"]``; default all of the
        frameworks that are installed. The limits come along where they can be measured, since other
        rows are told beside them.
    rounds: of each comparison, at least 3; default each one's own.
    tell: called with the id of what begins. before: called once the request is known to be good.

    Raises
    ------
    ValueError: turns below 3, or a beginning that no row has.
    RuntimeError: TensorFlow runs already, on more threads than one.
    ImportError: a framework that ``only`` names is not installed.
    """
    if rounds is not None:
        rounds = _checks.positive_int("rounds", rounds, minimum=3)
    chosen = _chosen(tuple(only))
    if before is not None:
        before()
    rows: list[Row] = []
    for name, measure in chosen.items():
        if tell is not None:
            tell(name)
        rows += measure(rounds)
    return add_roofline(rows)


def _chosen(only: tuple[str, ...]) -> dict[str, Measurement]:
    for beginning in only:
        if beginning.split("/")[0] not in GROUPS:
            raise ValueError(f"only must begin with one of {list(GROUPS)}, got {beginning!r}")
    groups = {beginning.split("/")[0] for beginning in only} or set(_possible())
    if _missing("limit") is None:
        groups.add("limit")
    _one_thread(groups)
    known: dict[str, Measurement] = {}
    for group, measurements in GROUPS.items():
        if group in groups:
            known.update(measurements())
    for beginning in only:
        if not any(name.startswith(beginning) for name in known):
            raise ValueError(f"only must begin one of {list(known)}, got {beginning!r}")
    return {n: m for n, m in known.items() if not only or n.startswith(("limit", *only))}


def ids() -> list[str]:
    """Return the ids of all rows that can be measured here; the two limits count as one."""
    return [name for group in _possible() for name in GROUPS[group]()]


def _possible() -> list[str]:
    """Return the groups whose frameworks are installed; raise where there is none."""
    missing = {group: _missing(group) for group in GROUPS}
    errors = [error for error in missing.values() if error is not None]
    if len(errors) == len(GROUPS):
        raise errors[0]
    return [group for group in GROUPS if missing[group] is None]


def _missing(group: str) -> ImportError | None:
    """Return why a group cannot be measured here, or nothing."""
    try:
        for framework in NEEDS[group]:
            importlib.import_module(f"companion.{framework}")
    except ImportError as error:
        return error
    return None


def _compared(comparisons: Sequence[Comparison]) -> dict[str, Measurement]:
    def measurement(case: Comparison) -> Measurement:
        return lambda rounds: [run_comparison(case, rounds)]

    return {case.id: measurement(case) for case in comparisons}


def _given(rounds: int | None) -> dict[str, int]:
    return {} if rounds is None else {"rounds": rounds}


def _one_thread(groups: set[str]) -> None:
    # OpenMP reads this where a thread starts, so also in those of a training run.
    os.environ["OMP_NUM_THREADS"] = "1"
    for framework in sorted({framework for group in groups for framework in NEEDS[group]}):
        importlib.import_module(f"companion.{framework}").use_threads(1)

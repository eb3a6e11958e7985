"""The stored runs behind the book's tables: rows, chosen by what they say of themselves.

Each file of ``companion/book/runs`` names the module of ``companion/book/experiments`` that wrote
it. Both are part of the package, so that a notebook runs wherever the package is installed.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from companion import _checks, _files

#: Where the runs are stored.
FOLDER = Path(__file__).with_name("runs")

_PACKAGES = ("numpy", "torch", "tensorflow-cpu", "tensorflow", "keras", "onnxruntime")


def facts(name: str) -> dict[str, Any]:
    """Return what is the same for all rows: script, versions, machine.

    Raises
    ------
    ValueError: no such file, or a damaged one.
    """
    found: dict[str, Any] = _read(name)["facts"]
    return found


def runs(name: str, **which: Any) -> list[dict[str, Any]]:
    """Return rows of a stored run, seeds in order.

    Parameters
    ----------
    name: of the file, without ".json".
    which: values that a row must have, as ``depth=44, residual=True``.

    Raises
    ------
    ValueError: no such file, a damaged one, or no such row.
    """
    rows = [r for r in _read(name)["runs"] if all(r.get(k) == v for k, v in which.items())]
    if not rows:
        raise ValueError(f"which must choose a row of {name}, got {which}, which chooses none")
    return sorted(rows, key=lambda row: row.get("seed", 0))


def column(name: str, key: str, **which: Any) -> np.ndarray:
    """Return one number of every row that :func:`runs` would return, in its order.

    Raises
    ------
    ValueError: as :func:`runs`, or a row without that number.
    """
    rows = runs(name, **which)
    for row in rows:
        _checks.option("key", key, tuple(row))
    return np.array([row[key] for row in rows])


def mean_std(values: Any, digits: int = 2) -> str:
    """Return mean and standard deviation of several runs, as "0.92 ± 0.01".

    Parameters
    ----------
    digits: after the point, default 2.

    Raises
    ------
    ValueError: fewer than two values.
    """
    return _plus_minus(values, lambda found: found.std(ddof=1), digits)


def mean_error(values: Any, digits: int = 2) -> str:
    """Return mean and standard error of the mean of several runs, as "0.92 ± 0.01".

    How far the mean itself is to be trusted: the standard deviation over the square root of the
    number of runs. :func:`mean_std` says how far single runs lie apart.

    Parameters
    ----------
    digits: after the point, default 2.

    Raises
    ------
    ValueError: fewer than two values.
    """
    return _plus_minus(values, _error, digits)


def _plus_minus(values: Any, spread: Callable[[np.ndarray], float], digits: int) -> str:
    values = np.asarray(values)
    _checks.positive_int("number of values", values.size, minimum=2)
    return f"{values.mean():.{digits}f} ± {spread(values):.{digits}f}"


@dataclass(frozen=True)
class Difference:
    """What a treatment changes, over pairs of runs that share a seed.

    Attributes
    ----------
    mean: of the differences. error: standard error of that mean.
    ahead: in how many pairs the treatment is ahead. pairs: how many there are.
    margin: of error, half the width of the interval that holds the mean in 95 of 100 such
        experiments: the error times Student's t of pairs - 1 degrees of freedom, which is 4.3 for
        three pairs and 2.6 for six. It takes the differences for normally distributed.
    sure: whether that interval leaves out zero.
    """

    mean: float
    error: float
    ahead: int
    pairs: int

    @property
    def margin(self) -> float:
        from scipy.special import stdtrit  # rows can be read without it

        return float(stdtrit(self.pairs - 1, 0.975)) * self.error

    @property
    def sure(self) -> bool:
        return abs(self.mean) > self.margin

    def __str__(self) -> str:
        return f"{self.mean:+.3f} ± {self.error:.3f}"


def difference(treated: Any, control: Any) -> Difference:
    """Compare runs pair by pair: same seed, same initial weights, same batches.

    Parameters
    ----------
    treated, control: one number for each seed, in the same order of seeds.

    Raises
    ------
    ValueError: fewer than two pairs, or not as many of one as of the other.
    """
    treated, control = np.asarray(treated, float), np.asarray(control, float)
    if treated.shape != control.shape or treated.ndim != 1:
        raise ValueError(
            "treated and control must be two rows of as many numbers, "
            f"got shapes {treated.shape} and {control.shape}"
        )
    _checks.positive_int("number of pairs", treated.size, minimum=2)
    apart = treated - control
    return Difference(float(apart.mean()), _error(apart), int((apart > 0).sum()), int(treated.size))


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / math.sqrt(values.size))


def store(path: Path, script: str, rows: list[dict[str, Any]], **more: Any) -> None:
    """Write rows and the facts of this machine as JSON, atomically.

    Parameters
    ----------
    script: what wrote them. more: further facts.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _files.write_json(path, {"facts": {"script": script, **machine(), **more}, "runs": rows})


def machine() -> dict[str, Any]:
    """Return the facts that times depend on: processor, system, threads, versions."""
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {
        "processor": cpu_info("model name") or platform.processor(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "threads": 1,
        "versions": versions,
    }


def cpu_info(entry: str) -> str | None:
    """Return what Linux says of the first processor, as "model name"; elsewhere nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(entry)), None)


def _read(name: str) -> dict[str, Any]:
    known = sorted(path.stem for path in FOLDER.glob("*.json"))
    path = FOLDER / f"{_checks.option('name', name, tuple(known))}.json"
    found = _files.read_json(path)
    if not {"facts", "runs"} <= set(found):
        raise ValueError(f"{path} is damaged: no facts or no runs")
    return found

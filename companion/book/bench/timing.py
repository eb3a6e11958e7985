"""Two programs timed in turns, and how sure the ratio is."""

from __future__ import annotations

import gc
import os
import pickle
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from companion import _checks, _files

Program = Callable[[], Any]


@dataclass(frozen=True)
class Comparison:
    """Two programs to compare.

    Attributes
    ----------
    id: by which the row is found, parts joined by "/".
    statement: what is compared with what, in words.
    build: returns program and base, ready to be called; each call is one measurement.
    target: the ratio that is asked for, at most; ``None`` where the number is only told.
    rounds: how often both run.
    multiply_adds: counts those of one call of either, without the zeros of paddings.
    extra: what else the row holds.
    """

    id: str
    statement: str
    build: Callable[[], tuple[Program, Program]]
    target: float | None = None
    rounds: int = 11
    multiply_adds: Callable[[], int] | None = None
    extra: Mapping[str, Any] | None = None


def run_comparison(case: Comparison, rounds: int | None = None) -> dict[str, Any]:
    """Return the row of a case: ratio, its quartiles, and the noise of the same turns.

    Parameters
    ----------
    rounds: default those of the case, at least 3; one more comes before, which warms up.

    Returns
    -------
    ``ratio``: median over the turns of program / base, which runs twice a turn; ``low``, ``high``:
    its quartiles. ``noise``: how far from 1 the outer quartile of base / base is. ``differs``:
    whether the ratio is further from 1 than the noise. ``seconds``, ``base_seconds``: medians of
    one call. ``met``: whether the ratio is within the target.
    """
    rounds = _checks.positive_int("rounds", case.rounds if rounds is None else rounds, minimum=3)
    program, base = case.build()
    order: list[tuple[int, Program]] = [(0, base), (1, program), (2, base)]
    taken: list[list[float]] = [[], [], []]
    collecting = gc.isenabled()
    try:
        for turn in range(rounds + 1):
            gc.collect()
            gc.disable()
            # Each turn starts at another place, so that no program always comes after the same one.
            for which, call in order[turn % 3 :] + order[: turn % 3]:
                taken[which].append(cpu_seconds(call))
            gc.enable()
    finally:
        (gc.enable if collecting else gc.disable)()
        for call in (program, base):
            getattr(call, "close", lambda: None)()
    first, second, again = (seconds[1:] for seconds in taken)
    row: dict[str, Any] = {
        "id": case.id,
        "statement": case.statement,
        "rounds": rounds,
        **compared(second, [(a + b) / 2 for a, b in zip(first, again, strict=True)]),
    }
    noise = compared(again, first)
    row["noise"] = max(abs(noise["low"] - 1), abs(noise["high"] - 1))
    row["differs"] = abs(row["ratio"] - 1) > row["noise"]
    row.update(target=case.target, met=case.target is None or row["ratio"] <= case.target)
    row.update(seconds=median(second), base_seconds=median([*first, *again]))
    if case.multiply_adds is not None:
        row["multiply_adds"] = case.multiply_adds()
    return {**row, **(case.extra or {})}


def compared(seconds: Sequence[float], base: Sequence[float]) -> dict[str, float]:
    """Return median and quartiles of the ratios, turn by turn."""
    ratios = [a / b for a, b in zip(seconds, base, strict=True)]
    low, _, high = quantiles(ratios, n=4, method="inclusive")
    return {"ratio": median(ratios), "low": low, "high": high}


def cpu_seconds(call: Program) -> float:
    """Return the CPU seconds of this process in a call, or what an :class:`Subprocess` returns."""
    if isinstance(call, Subprocess):
        return float(call())
    start = time.process_time()
    call()
    return time.process_time() - start


class Subprocess:
    """A call in a new process, whose memory nothing before it has touched.

    Parameters
    ----------
    function: of a module that can be imported, on the other arguments. Where it is timed, it has to
        return the CPU seconds that count.

    Raises
    ------
    RuntimeError: at a call, where the process fails; what it said is on stderr.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._function, self._arguments = function, arguments

    def __call__(self) -> Any:
        # Not multiprocessing, which would run the caller's script once more.
        code = (
            "import pickle, sys; out, sys.stdout = sys.stdout.buffer, sys.stderr; "
            "function, arguments = pickle.load(sys.stdin.buffer); "
            "pickle.dump(function(*arguments), out)"
        )
        task = pickle.dumps((self._function, self._arguments))
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, input=task, stdout=subprocess.PIPE, check=False)
        if done.returncode:
            name = getattr(self._function, "__name__", "the function")
            raise RuntimeError(f"{name} failed in its process, exit code {done.returncode}")
        return pickle.loads(done.stdout)


class Stepwise:
    """A training run that does one epoch a call, so that two runs can take turns.

    Parameters
    ----------
    train: is called with a function that it calls after each epoch, on a thread of its own.

    Raises
    ------
    RuntimeError: at a call, the run is over. An error of the run itself is raised at the call.
    """

    def __init__(self, train: Callable[[Callable[[Any], None]], Any]) -> None:
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._closed, self._over = False, False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(train,), daemon=True)
        self._thread.start()

    def _run(self, train: Callable[[Callable[[Any], None]], Any]) -> None:
        try:
            self._wait()
            train(self._pause)
        except _Closed:
            pass
        except BaseException as error:  # it belongs to whoever waits
            self._error = error
        self._over = True
        self._done.release()

    def _wait(self) -> None:
        self._go.acquire()
        if self._closed:
            raise _Closed

    def _pause(self, state: Any = None) -> None:
        self._done.release()
        self._wait()

    def __call__(self) -> None:
        if self._over:
            raise RuntimeError("the training run is over: give it more epochs")
        self._go.release()
        self._done.acquire()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the run where it waits."""
        self._closed = True
        self._go.release()
        self._thread.join()


class _Closed(Exception):
    pass


def machine() -> dict[str, Any]:
    """Return the facts that times depend on: processor, system, threads, versions."""
    packages = ("numpy", "torch", "tensorflow-cpu", "tensorflow", "keras", "onnxruntime")
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
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


def store(path: str | os.PathLike[str], rows: list[dict[str, Any]], script: str) -> None:
    """Write the rows with the facts of the machine as JSON, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _files.write_json(path, {"facts": {"script": script, **machine()}, "runs": rows})

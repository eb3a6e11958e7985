"""Two programs timed in turns, and how sure the ratio is."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

from companion import _checks
from companion.measures import cpu_seconds

Program = Callable[[], Any]
Row = dict[str, Any]
#: Takes the number of rounds, or None for its own.
Measurement = Callable[[int | None], Row]


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
    extra: Mapping[str, Any] = field(default_factory=dict)

    def run(self, rounds: int | None = None) -> Row:
        """Return the row: ratio, its quartiles, and the noise of the same rounds.

        Parameters
        ----------
        rounds: default its own, at least 3; one more comes before, which warms up.

        Returns
        -------
        ``ratio``: median over the rounds of program / base, which runs twice a round; ``low``,
        ``high``: its quartiles. ``noise``: how far from 1 the outer quartile of base / base is.
        ``differs``: whether the ratio is further from 1 than the noise. ``seconds``,
        ``base_seconds``: medians of one call. ``met``: whether the ratio is within the target.
        """
        rounds = self.rounds if rounds is None else rounds
        rounds = _checks.positive_int("rounds", rounds, minimum=3)
        first, second, again = _taken(*self.build(), rounds)
        ratios = compared(second, [(a + b) / 2 for a, b in zip(first, again, strict=True)])
        own = compared(again, first)
        noise = max(abs(own["low"] - 1), abs(own["high"] - 1))
        counted = {"multiply_adds": self.multiply_adds()} if self.multiply_adds else {}
        return {
            "id": self.id,
            "statement": self.statement,
            "rounds": rounds,
            **ratios,
            "noise": noise,
            "differs": abs(ratios["ratio"] - 1) > noise,
            "target": self.target,
            "met": self.target is None or ratios["ratio"] <= self.target,
            "seconds": median(second),
            "base_seconds": median([*first, *again]),
            **counted,
            **self.extra,
        }


def _taken(program: Program, base: Program, rounds: int) -> list[list[float]]:
    """Return the seconds of base, program, and base again, in each round but the first."""
    order: list[tuple[int, Program]] = [(0, base), (1, program), (2, base)]
    taken: list[list[float]] = [[], [], []]
    collecting = gc.isenabled()
    try:
        for turn in range(rounds + 1):
            gc.collect()
            gc.disable()
            # Each starts at another place, so that no program always comes after the same one.
            for which, call in order[turn % 3 :] + order[: turn % 3]:
                taken[which].append(seconds_of(call))
            gc.enable()
    finally:
        (gc.enable if collecting else gc.disable)()
    return [seconds[1:] for seconds in taken]


def compared(seconds: Sequence[float], base: Sequence[float]) -> dict[str, float]:
    """Return median and quartiles of the ratios, round by round."""
    ratios = [a / b for a, b in zip(seconds, base, strict=True)]
    low, _, high = quantiles(ratios, n=4, method="inclusive")
    return {"ratio": median(ratios), "low": low, "high": high}


def seconds_of(call: Program) -> float:
    """Return the CPU seconds of this process in a call, or what a :class:`Subprocess` returns."""
    if isinstance(call, Subprocess):
        return float(call())
    with cpu_seconds() as spent:
        call()
    return spent[0]


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

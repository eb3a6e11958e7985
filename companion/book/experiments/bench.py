"""The package against itself: what is timed, in turns, is listed by companion.book.bench.

Ratios of CPU seconds on one thread, each beside the noise of its own rounds, and the limits of the
machine. About nine CPU minutes; run it on a quiet machine, since others' memory traffic counts:

    python -m companion.book.experiments.bench

A part of it, into another file: python -m companion bench --only torch/skip --out some.json
"""

from __future__ import annotations

from companion.book import bench
from companion.book.experiments import common

if __name__ == "__main__":
    rows = bench.measure(bench.select())
    common.store("bench", "companion/book/experiments/bench.py", rows)

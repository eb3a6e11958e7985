"""The package against itself: what is timed, in turns, is listed by companion.book.bench.

Ratios of CPU seconds on one thread, each beside the noise of its own turns, and the limits of the
machine. About nine CPU minutes; run it on a quiet machine, since others' memory traffic counts:

    python -m experiments.bench

With arguments, as ``--only torch/skip --rounds 5 --out some.json``, it is the command of
companion.book.bench, and the book's own results stay as they are.
"""

from __future__ import annotations

import sys

from companion.book import bench
from experiments.common import RESULTS

if __name__ == "__main__":
    arguments = sys.argv[1:] or ["--out", str(RESULTS / "bench.json")]
    raise SystemExit(bench.main(arguments, script="experiments/bench.py"))

"""What the networks cost on this machine: programs timed in turns, beside the machine's limits.

A ratio is the time of a program over that of its base, so below 1 is faster. Times are CPU seconds
of the process on one thread. In each comparison a base also runs against itself: the difference
that comes out is the noise, and no difference within it is claimed.

    python -m companion bench
"""

from companion.book.bench.comparisons import ids, measure, select
from companion.book.bench.timing import Comparison, Subprocess

__all__ = ["Comparison", "Subprocess", "ids", "measure", "select"]

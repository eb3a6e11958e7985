"""What the networks cost on this machine: programs timed in turns, beside the machine's limits.

A ratio is the time of a program over that of its base, so below 1 is faster. Times are CPU seconds
of the process on one thread. In each run a base also runs against itself: the difference that
comes out is the noise, and no difference within it is claimed.
"""

from companion.book.bench.command import main
from companion.book.bench.comparisons import ids, run
from companion.book.bench.timing import Comparison, Stepwise, run_comparison, store

__all__ = ["Comparison", "Stepwise", "ids", "main", "run", "store", "run_comparison"]

"""The stored runs: each module trains, measures, and writes its rows to companion/book/runs.

    python -m companion.book.experiments.depth

This file runs before any of them, and so before a framework is imported: every library works on
one thread, and so does each process that a module starts.
"""

import os

os.environ.update(
    OMP_NUM_THREADS="1",
    TF_NUM_INTRAOP_THREADS="1",
    TF_NUM_INTEROP_THREADS="1",
    TF_CPP_MIN_LOG_LEVEL="3",
    CUDA_VISIBLE_DEVICES="-1",
)

"""Telling glibc's malloc not to return freed memory to the system."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Tell glibc's malloc to keep freed memory for the process's next allocations.

    A step of training frees its activations and soon allocates as much again. glibc may return them
    to the system in between, which then has to clear every page once more. PyTorch allocates each
    tensor anew and so gains; how much, the book's page on costs measures.

    The price is memory: the process never shrinks, and with large images its peak grows too; the
    same page has numbers. Call it before the work begins; it cannot be undone. Large allocations
    on other threads than the first are not affected.

    Returns
    -------
    Whether the C library can be told so: ``True`` with glibc, as on most Linux systems.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl and Windows
        return False
    return bool(mallopt(_TRIM_THRESHOLD, -1) and mallopt(_MMAP_MAX, 0))

"""What becomes of memory that a program has freed."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Let this process keep freed memory for its next request.

    A step of training frees its activations and soon asks for as much again. glibc may hand them
    back to the system in between, which then has to clear every page once more. PyTorch asks for
    each tensor anew and so gains; how much, the book's page on costs measures.

    The price is memory: the process never shrinks, and with large images its largest size grows
    too; the same page has numbers. Call it before the work begins; it cannot be undone. Large
    pieces of other threads than the first are not concerned.

    Returns
    -------
    Whether the C library knows how: ``True`` with glibc, as on most Linux systems.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl and Windows
        return False
    return bool(mallopt(_TRIM_THRESHOLD, -1) and mallopt(_MMAP_MAX, 0))

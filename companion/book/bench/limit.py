"""What the machine can do at most: the peak of matrix products and the bandwidth of memory."""

from __future__ import annotations

import numpy as np
import torch

from companion.book.bench.timing import Measurement, Program, Row, seconds_of


def measurements() -> dict[str, Measurement]:
    return {
        "limit/sgemm": lambda rounds: sgemm(rounds=rounds or 15),
        "limit/triad": lambda rounds: triad(rounds=rounds or 15),
    }


def sgemm(size: int = 2048, rounds: int = 15) -> Row:
    """Return the row of products of square float32 matrices, of the library that is faster here."""
    a, b, c = (torch.randn(size, size) for _ in range(3))
    one, other, out = (tensor.numpy() for tensor in (a, b, c))
    about = f"10^9 operations a second, products of {size} x {size} matrices in"
    rows = [
        rate("limit/sgemm", f"{about} {library}", call, 2 * size**3, rounds)
        for library, call in (
            ("PyTorch", lambda: torch.mm(a, b, out=c)),
            ("NumPy", lambda: np.matmul(one, other, out=out)),
        )
    ]
    return max(rows, key=lambda row: row["best"])  # nearer to what the processor can do


def triad(megabytes: int = 128, rounds: int = 15) -> Row:
    """Return the row of x = y + 3 z, on arrays of so many MiB: too large for any cache."""
    x, y, z = (torch.ones(megabytes * 2**18) for _ in range(3))
    about = "10^9 bytes a second, x = y + 3 z, two arrays read and one written"
    call = lambda: torch.add(y, z, alpha=3, out=x)  # noqa: E731
    return rate("limit/triad", about, call, 3 * x.nbytes, rounds)


def rate(name: str, statement: str, call: Program, work: float, rounds: int) -> Row:
    """Return the row of a limit: work a second, in units of 10^9.

    Parameters
    ----------
    call: does ``work`` operations, or moves as many bytes.

    Returns
    -------
    ``best`` is the limit, since nothing makes a processor faster than it is.
    """
    call()
    best = work / min(seconds_of(call) for _ in range(rounds)) / 1e9
    return {"id": name, "statement": statement, "rounds": rounds, "best": best}

"""What both frameworks' ``optimize_for_inference`` ask of precision, calibration and runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from companion import _checks

PRECISIONS = ("float32", "bfloat16", "int8")
RUNTIMES = ("framework", "onnxruntime")
CPUINFO = Path("/proc/cpuinfo")
#: What Linux calls instructions that multiply in 16 or 8 bits, on x86 and ARM.
INSTRUCTIONS = {
    "bfloat16": {"amx_bf16", "avx512_bf16", "bf16"},
    "int8": {"amx_int8", "avx512_vnni", "avx_vnni", "asimddp", "i8mm"},
}


def calibration_images(precision: str, calibration: Any, runtime: str) -> np.ndarray | None:
    """Return the images (N, H, W, C) in float32 that int8 takes its scales from; else None.

    Raises
    ------
    ValueError: a precision that onnxruntime is not asked for, calibration that is missing, not
        wanted, or no finite batch of images.
    """
    if runtime != "framework" and precision != "float32":
        raise ValueError(
            f"precision must be 'float32' where runtime is {runtime!r}, got {precision!r}"
        )
    if precision != "int8":
        if calibration is not None:
            raise ValueError(f"calibration must be None where precision is {precision!r}, got some")
        return None
    if calibration is None:
        raise ValueError("calibration must be images where precision is 'int8', got None")
    images = np.asarray(calibration)
    if images.ndim != 4 or images.dtype.kind != "f":
        raise ValueError(
            f"calibration must be images (N, H, W, C) of floats, got shape {images.shape} of "
            f"{images.dtype}"
        )
    _checks.finite_batch("calibration", images.shape, bool(np.isfinite(images).all()))
    return images.astype(np.float32, copy=False)


def check_dtypes(found: set[str], accepted: tuple[str, ...], where: str) -> None:
    """Raise ``ValueError`` where the model has or computes floats of another type."""
    others = sorted(found - set(accepted))
    if others:
        raise ValueError(
            f"model must be in {' or '.join(accepted)} where {where}, got {', '.join(others)}"
        )


def has_instructions(precision: str) -> bool:
    """Whether the processor multiplies numbers of the precision; true where Linux does not say."""
    try:
        lines = CPUINFO.read_text("utf-8").splitlines()
    except OSError:
        return True
    flags = {
        flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split()
    }
    return not flags or bool(flags & INSTRUCTIONS[precision])


def slow_message(precision: str) -> str:
    """Return the warning for a processor that computes in this precision by detours."""
    return (
        f"this processor has no instructions for {precision}: the copy will be slower than one in "
        "float32, or hardly faster"
    )

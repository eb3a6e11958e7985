"""On which kind of processor a notebook ran: another rounds, and so trains, differently."""

from __future__ import annotations

import platform
from pathlib import Path

#: The notebook's entry for it.
KEY = "processor"


def processor() -> str:
    """Return the maker and the instructions that PyTorch uses, as "AuthenticAMD AVX512"."""
    import torch

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    makers = [line.split(":", 1)[1].strip() for line in lines if line.startswith("vendor_id")]
    maker = makers[0] if makers else platform.machine()
    return f"{maker} {torch.backends.cpu.get_cpu_capability()}"

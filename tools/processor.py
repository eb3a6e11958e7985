"""On which kind of processor a notebook ran: another rounds, and so trains, differently."""

from __future__ import annotations

import platform

#: The notebook's entry for it.
KEY = "processor"


def processor() -> str:
    """Return the maker and the instructions that PyTorch uses, as "AuthenticAMD AVX512"."""
    import torch

    from companion.book.results import cpu_info

    maker = cpu_info("vendor_id") or platform.machine()
    return f"{maker} {torch.backends.cpu.get_cpu_capability()}"

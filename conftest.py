"""What the comparison of notebooks leaves out: pictures as such, and what frameworks log."""

from __future__ import annotations

import os
from typing import Any

# Before anything imports TensorFlow; companion.tensorflow says why.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


def pytest_collectstart(collector: Any) -> None:
    # A figure's text/plain is its message, and that is compared.
    if getattr(collector, "skip_compare", None) is not None:
        collector.skip_compare += ("stderr", "text/html", "image/svg+xml")

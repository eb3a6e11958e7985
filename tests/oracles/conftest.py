"""What the oracle tests share besides the harness."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from companion.weights import initializers


@pytest.fixture
def undrawn(monkeypatch):
    """Start networks at zero: where only shapes are looked at, 25 million draws are not needed."""

    def zeros(layer, key, array, seed):
        return np.broadcast_to(np.zeros(1, array.dtype), array.shape)

    monkeypatch.setattr(initializers, "_start", zeros, raising=False)
    monkeypatch.setattr(torch.nn.init, "normal_", lambda tensor, *args, **options: tensor)

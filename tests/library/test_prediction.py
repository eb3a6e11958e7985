"""Predictions are made where the model is."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from companion.torch.prediction import to_tensor

torch.set_num_threads(1)


def test_batches_go_to_the_device_of_the_model():
    model = nn.Linear(3, 2, device="meta")
    assert to_tensor(np.zeros((2, 3), np.float32), model).device.type == "meta"

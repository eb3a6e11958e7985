"""Layouts and names: the one place that knows how each framework stores a layer."""

from companion.weights.leaves import Leaf
from companion.weights.moving import SCHEMES, initialise, named_arrays, transfer
from companion.weights.published import from_keras, from_torchvision, to_torchvision

__all__ = [
    "SCHEMES",
    "Leaf",
    "from_keras",
    "from_torchvision",
    "initialise",
    "named_arrays",
    "to_torchvision",
    "transfer",
]

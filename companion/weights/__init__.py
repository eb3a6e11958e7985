"""Layouts and names: the one place that knows how each framework stores a layer."""

from companion.weights.files import about, load, save
from companion.weights.initializers import SCHEMES, initialize
from companion.weights.layer_weights import LayerWeights
from companion.weights.matching import NotLoaded
from companion.weights.pretrained import from_keras, from_torchvision, to_torchvision
from companion.weights.transfer import named_arrays, transfer

__all__ = [
    "SCHEMES",
    "LayerWeights",
    "NotLoaded",
    "about",
    "from_keras",
    "from_torchvision",
    "initialize",
    "load",
    "named_arrays",
    "save",
    "to_torchvision",
    "transfer",
]

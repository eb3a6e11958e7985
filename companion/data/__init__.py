"""Real data that ships inside a dependency: nothing to download, nothing made up."""

from companion.data.brain import Slices, brain
from companion.data.dates import DatePairs, dates
from companion.data.digits import digits8
from companion.data.mnist import Dataset, downsampled, mnist
from companion.data.photographs import Photographs, add_gaussian_noise, patches, photographs
from companion.data.speech import Sequences, japanese_vowels

__all__ = [
    "Dataset",
    "DatePairs",
    "Photographs",
    "Sequences",
    "Slices",
    "brain",
    "dates",
    "digits8",
    "downsampled",
    "japanese_vowels",
    "mnist",
    "add_gaussian_noise",
    "patches",
    "photographs",
]

"""Real data that ships inside a dependency: nothing to download, nothing made up."""

from companion.data.brain import SegmentationDataset, brain
from companion.data.dates import DatePairs, dates
from companion.data.digits import digits8
from companion.data.mnist import Dataset, downsampled, mnist
from companion.data.photographs import Photographs, add_gaussian_noise, photographs, random_patches
from companion.data.speech import SequenceDataset, japanese_vowels

__all__ = [
    "Dataset",
    "DatePairs",
    "Photographs",
    "SequenceDataset",
    "SegmentationDataset",
    "brain",
    "dates",
    "digits8",
    "downsampled",
    "japanese_vowels",
    "mnist",
    "add_gaussian_noise",
    "random_patches",
    "photographs",
]

"""Slices of a brain with grey and white matter marked: the MNI152 template inside nilearn."""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from companion import _checks
from companion.data import _shipped

# By slices of 2 mm: 8 for training, 2 left out, 4 for testing, 2 left out, and so on.
_TRAIN, _GAP, _TEST = 8, 2, 4
_PERIOD = _TRAIN + _GAP + _TEST + _GAP
_LOWEST, _SLICES = 8, 72


@dataclass(frozen=True)
class SegmentationDataset:
    """Image slices with a label for every pixel, and their split.

    Attributes
    ----------
    x_train, x_test: (N, H, W, 1) float32, 1 being the brightest voxel; noise may leave [0, 1].
    y_train, y_test: (N, H, W) int64: 0 background and fluid, 1 grey matter, 2 white matter.
    z_train, z_test: (N,) int64, height in mm above the origin of MNI space.
    name, licence, origin: what it is, under which terms, and where it comes from.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    z_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    z_test: np.ndarray
    name: str
    licence: str
    origin: str
    num_classes: int

    def validation(self) -> SegmentationDataset:
        """Return the training part split again: its middle slab becomes the test part.

        Choose settings on this. The nearest slab that still trains is 18 mm away.
        """
        middle = np.zeros(len(self.x_train), dtype=bool)
        start = len(middle) // _TRAIN // 2 * _TRAIN
        middle[start : start + _TRAIN] = True
        return replace(
            self,
            x_train=self.x_train[~middle],
            y_train=self.y_train[~middle],
            z_train=self.z_train[~middle],
            x_test=self.x_train[middle],
            y_test=self.y_train[middle],
            z_test=self.z_train[middle],
            name=f"{self.name}, validation split",
        )


def brain(noise: float = 0.08, seed: int = 0) -> SegmentationDataset:
    """Load axial slices of the MNI152 T1 template, with the tissue of each pixel.

    The template is the average of 152 young adults' heads, brought to one shape, without the skull.
    Every second slice, 2 mm apart, from -64 to 78 mm; pixels of 2 mm, the mean of 2 x 2 voxels;
    the front of the head is up, its left is left. A pixel's label is the most probable of grey
    matter, white matter and neither, by the template's own maps.

    The split takes slabs in turn: 8 slices train, 4 test, and the 2 between are left out, so 6 mm
    lie between a test slice and the nearest training slice. Neighbours are nearly the same picture
    (correlation 0.80 at 2 mm, 0.50 at 6 mm). What is learnt is still one brain: nothing here shows
    how a network does on another head. And one half of it: this release is exactly symmetric, so
    mirrored slices are no new data.

    Source: V. Fonov and others (2011), Unbiased average age-appropriate atlases for pediatric
    studies, NeuroImage 54 (1), 313-327, doi:10.1016/j.neuroimage.2010.07.033; ICBM 2009a nonlinear
    symmetric. Licence: use, copying, modification and distribution permitted with the notice
    kept, "Copyright (C) 1993-2004 Louis Collins, McConnell Brain Imaging Centre, Montreal
    Neurological Institute, McGill University".

    Parameters
    ----------
    noise: standard deviation of the Gaussian noise added to every pixel, as a fraction of the
        brightest voxel; 0 for none. Without noise a table from grey level to tissue has a Dice of
        0.96 in both tissues, and nothing is left to learn; at 0.08 it has 0.83 in grey and 0.77 in
        white matter, which a network has to beat. (Noise of real magnitude images is Rician.)
    seed: of the noise, an integer of at least 0.

    Returns
    -------
    SegmentationDataset with x_train (40, 112, 96, 1) and x_test (16, 112, 96, 1), three classes.

    Raises
    ------
    ValueError: noise below 0 or not finite, or another kind of seed.
    ModuleNotFoundError: nilearn is missing; ``pip install 'residual-companion[medical]'``.
    """
    noise = _checks.number("noise", noise)
    rng = np.random.default_rng(_checks.positive_int("seed", seed, minimum=0))
    t1, grey, white = (_slices(which) for which in ("t1", "gm", "wm"))
    labels = np.stack([1 - grey - white, grey, white]).argmax(0).astype(np.int64)
    images = (t1 + noise * rng.standard_normal(t1.shape)).astype(np.float32)[..., None]

    heights = _LOWEST + 2 * np.arange(_SLICES) - 72  # the file's first voxel lies at -72 mm
    place = np.arange(_SLICES) % _PERIOD
    train = place < _TRAIN
    test = (place >= _TRAIN + _GAP) & (place < _TRAIN + _GAP + _TEST)
    return SegmentationDataset(
        images[train],
        labels[train],
        heights[train],
        images[test],
        labels[test],
        heights[test],
        name="MNI152 brain template, axial slices",
        licence="free with this notice kept: Copyright (C) 1993-2004 Louis Collins, McConnell "
        "Brain Imaging Centre, Montreal Neurological Institute, McGill University",
        origin="V. Fonov and others (2011): ICBM 2009a nonlinear symmetric template, "
        "doi:10.1016/j.neuroimage.2010.07.033; shipped with nilearn",
        num_classes=3,
    )


def _slices(which: str) -> np.ndarray:
    """Return axial slices (72, 112, 96) in [0, 1], front up and left to the left."""
    inside = f"datasets/data/mni_icbm152_{which}_tal_nlin_sym_09a_converted.nii.gz"
    volume = _volume(_shipped.file("nilearn", inside, "residual-companion[medical]"))
    # (x from the left, y from the back, z from below), in voxels of 1 mm; cut to even sizes
    volume = volume[2:194, 5:229, _LOWEST : _LOWEST + 2 * _SLICES : 2]
    pixels = volume.reshape(96, 2, 112, 2, _SLICES).mean((1, 3)) / 255
    return pixels.transpose(2, 1, 0)[:, ::-1]


def _volume(path: Path) -> np.ndarray:
    """Read a NIfTI-1 file of bytes: sizes at offset 40, start of the voxels at 108, x fastest."""
    raw = gzip.decompress(path.read_bytes())
    _, *sizes = struct.unpack_from("<4h", raw, 40)
    (start,) = struct.unpack_from("<f", raw, 108)
    return np.frombuffer(raw, np.uint8, offset=int(start)).reshape(sizes, order="F")

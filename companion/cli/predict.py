"""``predict``: the classes that a finished run sees, and how sure it is."""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from companion.cli import parser
from companion.cli.models import trained
from companion.cli.parser import Commands
from companion.cli.registry import dataset
from companion.cli.runs import Run

EXAMPLES = """
examples:
  python -m companion predict runs/a --index 0 17 33    of the test part
  python -m companion predict runs/a mine.npy     (N, H, W, C), from 0 to 1
"""


def add(commands: Commands) -> None:
    does = "print the class and the probabilities of each image"
    new = parser.command(commands, "predict", does, "", epilog=EXAMPLES)
    new.add_argument("folder", metavar="FOLDER", type=Path, help="of the run")
    new.add_argument("file", metavar="FILE.npy", type=Path, nargs="?", help="images to classify")
    new.add_argument("--index", metavar="N", type=int, nargs="+", help="images of the test part")
    parser.add_framework(new, "compute in this one; default, the run's own")
    parser.add_json(new)
    new.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if (options.file is None) == (options.index is None):
        raise ValueError("predict needs either FILE.npy or --index N")
    found = Run.open(options.folder)
    data = dataset(found.settings.data)
    labels: list[int | None]
    if options.index is None:
        x = _images(options.file, data.x_test.shape[1:])
        names, labels = list(range(len(x))), [None] * len(x)
    else:
        names = [_within(index, len(data.x_test)) for index in options.index]
        x, labels = data.x_test[names], data.y_test[names].tolist()
    framework, model = trained(found, data, options.framework)
    probabilities = _softmax(framework.predict(model, x))
    classes = "  ".join(f"P({c})" for c in range(data.num_classes))
    facts, lines = [], [f"image  class  {classes}"]
    for name, label, row in zip(names, labels, probabilities, strict=True):
        facts.append({"image": name, "class": int(row.argmax()), "probabilities": row.tolist()})
        line = f"{name:5d}  {row.argmax():5d}  " + "".join(f"{p:.2f}  " for p in row)
        if label is not None:
            facts[-1]["label"] = label
            line += "" if label == row.argmax() else f"(is {label})"
        lines.append(line.rstrip())
    parser.show(facts, lines, options.json)
    return 0


def _images(path: Path, image: tuple[int, ...]) -> np.ndarray:
    """Return the images in a file, refused where they are not like those that trained."""
    try:
        x: Any = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} must be an array that numpy.save wrote: {error}") from error
    shape = getattr(x, "shape", ())
    if len(shape) != 4 or shape[1:] != image or x.dtype.kind not in "fiub":
        height, width, channels = image
        raise ValueError(
            f"{path} must hold images (N, {height}, {width}, {channels}), got shape {shape}"
        )
    if not (len(x) and x.min() >= 0 and x.max() <= 1):
        raise ValueError(f"{path} must hold values from 0 to 1, as the images that trained")
    return x.astype(np.float32)


def _within(index: int, images: int) -> int:
    if not 0 <= index < images:
        raise ValueError(f"index must be from 0 to {images - 1}, got {index}")
    return index


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)

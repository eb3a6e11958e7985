"""``predict``: the classes that a finished run sees, and how sure it is."""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from companion.cli import parser
from companion.cli.devices import add_device, on_device
from companion.cli.load import dataset
from companion.cli.runs import Run
from companion.cli.settings import add_options, given

DOES = "print the class and the probabilities of each image"
ABOUT = ""
EXAMPLES = """
examples:
  python -m companion predict runs/a --index 0 17 33    of the test part
  python -m companion predict runs/a mine.npy     (N, H, W, C), from 0 to 1
"""


def add(new: parser.Parser) -> None:
    new.add_argument("folder", metavar="FOLDER", type=Path, help="of the run")
    new.add_argument("file", metavar="FILE.npy", type=Path, nargs="?", help="images to classify")
    new.add_argument("--index", metavar="N", type=int, nargs="+", help="images of the test part")
    add_options(new, "framework")
    add_device(new)
    parser.add_json(new)


def run(options: argparse.Namespace) -> int:
    if (options.file is None) == (options.index is None):
        raise ValueError("predict needs either FILE.npy or --index N")
    found = Run.open(options.folder)
    data = dataset(found.settings["data"])
    if options.index is None:
        x = _images(options.file, data.x_test.shape[1:])
        names, labels = range(len(x)), None
    else:
        names = options.index
        for i in names:
            if not 0 <= i < len(data.x_test):
                raise ValueError(f"index must be from 0 to {len(data.x_test) - 1}, got {i}")
        x, labels = data.x_test[names], data.y_test[names].tolist()
    settings = {**found.settings, **given(options)}
    with on_device(options.device, settings) as put:
        module, model = found.trained(data, **given(options))
        logits = module.predict(put(model), x)
    rows = []
    for i, p in enumerate(_softmax(logits)):
        row = {"image": names[i], "class": int(p.argmax()), "probabilities": p.tolist()}
        rows.append(row if labels is None else {**row, "label": labels[i]})
    head = "image  class  " + "  ".join(f"P({c})" for c in range(data.num_classes))
    parser.show(rows, [head, *map(_line, rows)], options.json)
    return 0


def _line(row: dict[str, Any]) -> str:
    wrong = f"  (is {row['label']})" if row.get("label", row["class"]) != row["class"] else ""
    probabilities = "  ".join(f"{p:.2f}" for p in row["probabilities"])
    return f"{row['image']:5d}  {row['class']:5d}  {probabilities}{wrong}"


def _softmax(logits: np.ndarray) -> np.ndarray:
    # With the largest at 0 no exponential overflows.
    powers = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _images(path: Path, image: tuple[int, ...]) -> np.ndarray:
    """Return the images in a file, refused where they are not like those that trained."""
    try:
        x: Any = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} must be an array that numpy.save wrote: {error}") from error
    shape = getattr(x, "shape", ())
    if len(shape) != 4 or shape[1:] != image or x.dtype.kind not in "fiub":
        sizes = ", ".join(map(str, image))
        raise ValueError(f"{path} must hold images (N, {sizes}), got shape {shape}")
    if not (len(x) and x.min() >= 0 and x.max() <= 1):
        raise ValueError(f"{path} must hold values from 0 to 1, as the images that trained")
    return x.astype(np.float32)

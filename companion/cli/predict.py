"""``predict``: the classes that a finished run sees, and how sure it is."""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from companion.cli import parser
from companion.cli.evaluate import trained
from companion.cli.parser import Commands
from companion.cli.runs import Run
from companion.cli.settings import dataset

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
    if options.index is None:
        x, labels = _images(options.file, data.x_test.shape[1:]), None
    else:
        wrong = [i for i in options.index if not 0 <= i < len(data.x_test)]
        if wrong:
            raise ValueError(f"index must be from 0 to {len(data.x_test) - 1}, got {wrong[0]}")
        x, labels = data.x_test[options.index], data.y_test[options.index].tolist()
    module, model = trained(found, data, options.framework)
    powers = np.exp(_shifted(module.predict(model, x)))
    probabilities = powers / powers.sum(-1, keepdims=True)
    facts, lines = [], ["image  class  " + "  ".join(f"P({c})" for c in range(data.num_classes))]
    for i, row in enumerate(probabilities):
        name, best = (i if labels is None else options.index[i]), int(row.argmax())
        fact = {"image": name, "class": best, "probabilities": row.tolist()}
        line = f"{name:5d}  {best:5d}  " + "".join(f"{p:.2f}  " for p in row)
        if labels is not None:
            fact["label"] = labels[i]
            line += "" if labels[i] == best else f"(is {labels[i]})"
        facts.append(fact)
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
        sizes = ", ".join(map(str, image))
        raise ValueError(f"{path} must hold images (N, {sizes}), got shape {shape}")
    if not (len(x) and x.min() >= 0 and x.max() <= 1):
        raise ValueError(f"{path} must hold values from 0 to 1, as the images that trained")
    return x.astype(np.float32)


def _shifted(logits: np.ndarray) -> np.ndarray:
    """Return logits with the largest at 0, so that no exponential overflows."""
    return logits.astype(np.float64) - logits.max(-1, keepdims=True)

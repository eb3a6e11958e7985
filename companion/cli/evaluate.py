"""``evaluate``: how a finished run does on images that it has not seen."""

from __future__ import annotations

import argparse
from pathlib import Path

from companion.cli import parser
from companion.cli.devices import add_device, on_device
from companion.cli.load import dataset
from companion.cli.runs import Run
from companion.cli.settings import add_options, given

DOES = "print loss and accuracy of a finished run on the test part"
ABOUT = ""
EXAMPLES = """
examples:
  python -m companion evaluate runs/a
  python -m companion evaluate runs/a --framework tensorflow    the same weights
"""


def add(new: parser.Parser) -> None:
    new.add_argument("folder", metavar="FOLDER", type=Path, help="of the run")
    add_options(new, "framework")
    add_device(new)
    parser.add_json(new)


def run(options: argparse.Namespace) -> int:
    found = Run.open(options.folder)
    data = dataset(found.settings["data"])
    settings = {**found.settings, **given(options)}
    with on_device(options.device, settings) as put:
        module, model = found.trained(data, **given(options))
        loss, accuracy = module.evaluate(put(model), data.x_test, data.y_test)
    images = len(data.x_test)
    line = f"{data.name}, {images} test images: loss {loss:.4f}, accuracy {accuracy:.4f}"
    parser.show({"images": images, "loss": loss, "accuracy": accuracy}, [line], options.json)
    return 0

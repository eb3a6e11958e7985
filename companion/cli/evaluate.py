"""``evaluate``: how a finished run does on images that it has not seen."""

from __future__ import annotations

import argparse
from pathlib import Path

from companion.cli import parser
from companion.cli.models import trained
from companion.cli.parser import Commands
from companion.cli.registry import dataset
from companion.cli.runs import Run

EXAMPLES = """
examples:
  python -m companion evaluate runs/a
  python -m companion evaluate runs/a --framework tensorflow    the same weights
"""


def add(commands: Commands) -> None:
    does = "print loss and accuracy of a finished run on the test part"
    new = parser.command(commands, "evaluate", does, "", epilog=EXAMPLES)
    new.add_argument("folder", metavar="FOLDER", type=Path, help="of the run")
    parser.add_framework(new, "compute in this one; default, the run's own")
    parser.add_json(new)
    new.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    found = Run.open(options.folder)
    data = dataset(found.settings.data)
    framework, model = trained(found, data, options.framework)
    loss, accuracy = framework.evaluate(model, data.x_test, data.y_test)
    facts = {"images": len(data.x_test), "loss": loss, "accuracy": accuracy}
    line = f"{data.name}, {len(data.x_test)} test images: loss {loss:.4f}, accuracy {accuracy:.4f}"
    parser.show(facts, [line], options.json)
    return 0

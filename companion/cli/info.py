"""``info``: the layers of a network and what they cost; of a run also where it stands."""

from __future__ import annotations

import argparse
import importlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from companion.cli import parser
from companion.cli.parser import Commands
from companion.cli.runs import Run
from companion.cli.settings import DEFAULTS, NETWORKS, Design, dataset, framework

ABOUT = """
A multiply-add is counted once, for one image; additions are those of the
merges. A network is shown for the images it was published for (ImageNet:
224 x 224) unless --data says otherwise."""

EXAMPLES = """
examples:
  python -m companion info resnet50
  python -m companion info cifar_resnet --depth 20 --no-residual --data mnist
  python -m companion info runs/a
"""


def add(commands: Commands) -> None:
    does = "print the layers of a network or a run, their parameters and multiply-adds"
    new = parser.command(
        commands, "info", does, ABOUT, epilog=EXAMPLES, argument_default=argparse.SUPPRESS
    )
    new.add_argument("of", metavar="FOLDER|NETWORK", help="a run, or a network by its name")
    parser.add_framework(new, f"default {DEFAULTS['framework']}, or the run's own")
    parser.add_design(new)
    parser.add_json(new)
    new.set_defaults(run=run, json=False)


def run(options: argparse.Namespace) -> int:
    given = {name: value for name, value in vars(options).items() if name in DEFAULTS}
    if options.of in NETWORKS:
        lines: list[str] = []
        name, data = given.pop("framework", DEFAULTS["framework"]), given.pop("data", None)
        design = Design(options.of, **given)
        facts: dict[str, Any] = {"network": asdict(design)}
        image, classes = NETWORKS[options.of].image or (), NETWORKS[options.of].classes
    elif not Path(options.of).exists():
        names = ", ".join(NETWORKS)
        raise ValueError(f"{options.of!r} is neither a run's folder nor one of {names}")
    else:
        found = Run.open(Path(options.of))
        facts, lines = _run(found)
        name = given.pop("framework", found.settings.framework)
        if given:
            raise ValueError(f"{min(given)} must be left out: {options.of} is a run with its own")
        design, data = found.settings.design, found.settings.data
    if data is not None:
        whole = dataset(data)
        image, classes = whole.x_train.shape[1:], whole.num_classes
    costs = _costs(name, design, image, classes)
    facts |= {"image": list(image), "classes": classes, "layers": [asdict(c) for c in costs]}
    parser.show(facts, [*lines, *_table(costs, image)], options.json)
    return 0


def _run(found: Run) -> tuple[dict[str, Any], list[str]]:
    """Return the settings of a run and where it stands, for programs and for people."""
    settings, done = found.settings.as_dict(), len(found.history().loss)
    stands = f"stands at epoch {done} of {settings['epochs']}"
    lines = [f"{found.folder} {'finished' if found.finished else stands}"]
    lines += [f"  {name:16}{value}" for name, value in settings.items() if value is not None]
    facts = {"settings": settings, "epochs_done": done, "finished": found.finished}
    return facts, [*lines, ""]


def _costs(name: str, design: Design, image: tuple[int, ...], classes: int) -> list[Any]:
    model = design.build(framework(name), image[-1], classes, seed=0)
    x: Any = np.zeros((1, *image), np.float32)
    if name == "torch":
        import torch

        x = torch.from_numpy(x).permute(0, 3, 1, 2)
    return importlib.import_module(f"companion.{name}.costs").layer_costs(model, x)


def _table(costs: list[Any], image: tuple[int, ...]) -> list[str]:
    """Return a line for each layer, and one for them all."""
    rows = [(c.name, c.kind, c.parameters, c.multiply_adds, c.additions) for c in costs]
    sums = (sum(row[i] for row in rows) for i in (2, 3, 4))
    rows.append(("in all", "x".join(map(str, image)), *sums))
    wide, kind = (max(len(row[i]) for row in rows) for i in (0, 1))
    return [
        f"{'layer':{wide}}  {'kind':{kind}}  {'parameters':>11}  {'multiply-adds':>14}  additions",
        *(f"{a:{wide}}  {b:{kind}}  {p:11,}  {m:14,}  {n:9,}" for a, b, p, m, n in rows),
    ]

"""``info``: the layers of a network and what they cost; of a run also where it stands."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from companion.cli import parser
from companion.cli.load import dataset, network
from companion.cli.runs import Run
from companion.cli.settings import DESIGN, NETWORKS, add_options, checked, given

DOES = "print the layers of a network or a run, their parameters and multiply-adds"
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


def add(new: parser.Parser) -> None:
    new.add_argument("of", metavar="FOLDER|NETWORK", help="a run, or a network by its name")
    add_options(new, "framework", "depth", "width", "residual", "block", "data")
    parser.add_json(new)


def run(options: argparse.Namespace) -> int:
    chosen, of = given(options), options.of
    lines: list[str] = []
    if of in NETWORKS:
        settings = checked({"model": of, **chosen})
        data = chosen.get("data")
        facts: dict[str, Any] = {"network": {name: settings[name] for name in DESIGN}}
    elif Path(of).exists():
        found = Run.open(Path(of))
        facts, lines = _run(found)
        settings = {**found.settings, **chosen}
        data = settings["data"]
        if own := chosen.keys() - {"framework"}:
            raise ValueError(f"{min(own)} must be left out: {of} is a run with its own")
    else:
        raise ValueError(f"{of!r} is neither a run's folder nor one of {', '.join(NETWORKS)}")
    if data is None:
        image, classes = NETWORKS[of].image or (), NETWORKS[of].classes
    else:
        whole = dataset(data)
        image, classes = whole.x_train.shape[1:], whole.num_classes
    costs = _costs(settings, image, classes)
    facts |= {"image": list(image), "classes": classes, "layers": [asdict(c) for c in costs]}
    parser.show(facts, [*lines, *_table(costs, image)], options.json)
    return 0


def _run(found: Run) -> tuple[dict[str, Any], list[str]]:
    """Return the settings of a run and where it stands, for programs and for people."""
    settings, done = found.settings, len(found.history().loss)
    stands = "finished" if found.finished else f"stands at epoch {done} of {settings['epochs']}"
    lines = [f"  {name:16}{value}" for name, value in settings.items() if value not in (None, {})]
    facts = {"settings": settings, "epochs_done": done, "finished": found.finished}
    return facts, [f"{found.folder} {stands}", *lines, ""]


def _costs(settings: Mapping[str, Any], image: tuple[int, ...], classes: int) -> list[Any]:
    module, model = network(settings, image[-1], classes)
    x: Any = np.zeros((1, *image), np.float32)
    if settings["framework"] == "torch":
        import torch

        x = torch.from_numpy(x).permute(0, 3, 1, 2)
    costs: list[Any] = importlib.import_module(f"{module.__name__}.costs").layer_costs(model, x)
    return costs


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

"""``evaluate``: how a finished run does on images that it has not seen."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from companion.cli import parser
from companion.cli.parser import Commands
from companion.cli.runs import Run
from companion.cli.settings import dataset, framework

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
    module, model = trained(found, data, options.framework)
    loss, accuracy = module.evaluate(model, data.x_test, data.y_test)
    images = len(data.x_test)
    line = f"{data.name}, {images} test images: loss {loss:.4f}, accuracy {accuracy:.4f}"
    parser.show({"images": images, "loss": loss, "accuracy": accuracy}, [line], options.json)
    return 0


def trained(found: Run, data: Any, name: str | None = None) -> tuple[Any, Any]:
    """Return the framework's sub-package and the trained network of a run.

    Parameters
    ----------
    name: of the framework; default, the run's own. The weights are exact in both.

    Raises
    ------
    ValueError: a run that is not finished, or weights that are not those of its network.
    """
    from companion.weights.layer_weights import layer_weights

    arrays, chosen = found.weights(), found.settings
    module = framework(name or chosen.framework, chosen.threads)
    channels, seed = data.x_train.shape[-1], chosen.recipe.seed
    model = chosen.design.build(module, channels, data.num_classes, seed)
    layers = list(layer_weights(model))
    own = {f"{layer.name}.{key}": a for layer in layers for key, a in layer.arrays.items()}
    for key in (*own, *arrays):
        forms = [(a.shape, a.dtype) for a in (own.get(key), arrays.get(key)) if a is not None]
        if len(forms) != 2 or forms[0] != forms[1]:
            raise ValueError(
                f"{found.folder / 'weights.npz'} is damaged or of another network: {key!r} differs"
            )
    for layer in layers:
        for key in layer.arrays:
            layer.assign(key, arrays[f"{layer.name}.{key}"])
    return module, model

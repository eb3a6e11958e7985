"""``train``: a new run, or the rest of one that was interrupted."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from pathlib import Path
from typing import Any

from companion.allocator import keep_freed_memory
from companion.cli import parser
from companion.cli.parser import Commands
from companion.cli.runs import RESUME, Run, free
from companion.cli.settings import DEFAULTS, NETWORKS, Settings, dataset, framework, settings
from companion.recipe import Checkpoint, check_training

ABOUT = """
FOLDER gets settings.json, history.json, curve.png and weights.npz. After every
epoch the run is stored. Killed at any moment, it goes on from its last whole
epoch and ends with the same numbers as if nothing had happened.

Under torchrun several processes share every batch. The numbers are those of
one process but for rounding."""

USAGE = """python -m companion train --out FOLDER [options]
       python -m companion train --resume FOLDER"""

EXAMPLES = """
examples:
  python -m companion train --out runs/a --model cifar_resnet --depth 14
  python -m companion train --out runs/b --data digits8 --learning-rate 0.2
  python -m companion train --resume runs/a
  torchrun --nproc_per_node=2 -m companion train --out runs/c
"""


def add(commands: Commands) -> None:
    does = "train a network on digits, with the same steps in both frameworks"
    networks = textwrap.fill(f"networks: {', '.join(NETWORKS)}", 79, subsequent_indent="  ")
    new = parser.command(
        commands,
        "train",
        does,
        ABOUT,
        usage=USAGE,
        epilog=EXAMPLES + networks,
        argument_default=argparse.SUPPRESS,
    )
    where = new.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", metavar="FOLDER", type=Path, help="of the new run; new or empty")
    where.add_argument("--resume", metavar="FOLDER", type=Path, help="of a run to finish")
    parser.add_framework(new, f"default {DEFAULTS['framework']}")
    new.add_argument("--model", metavar="NETWORK", help=f"default {DEFAULTS['model']}")
    parser.add_design(new)
    for name, about in {
        "epochs": "passes over the training part",
        "batch_size": "images a step, all processes together",
        "learning_rate": "peak of its one cycle",
        "weight_decay": "of weights, not of biases and norms",
        "label_smoothing": "probability given to all classes",
        "shift": "pixels that an image is moved by at most",
        "optimizer": "sgd or adam",
        "seed": "of first weights, order and shifts",
        "threads": "runs repeat at the same number",
    }.items():
        default = DEFAULTS[name]
        new.add_argument(
            f"--{name.replace('_', '-')}",
            metavar={int: "N", float: "X", str: "NAME"}[type(default)],
            type=type(default),
            help=f"{about}, default {default}",
        )
    new.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    given = {name: value for name, value in vars(options).items() if name in DEFAULTS}
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return _begin(options, given, Alone())
    from companion.torch.distributed import joined  # torchrun is PyTorch's

    with joined() as team:
        if team.rank > 0:
            return _follow(team)
        leader = Leader(team)
        try:
            return _begin(options, given, leader)
        finally:
            leader.dismiss()


class Alone:
    """The only process of a run."""

    def check(self, chosen: Settings) -> None:
        """Raise ``ValueError`` where the processes cannot train so."""

    def call(self, chosen: Settings) -> None:
        """Let the other processes begin."""


class Leader(Alone):
    """The process that has the folder; the others learn from it what there is to do."""

    def __init__(self, team: Any) -> None:
        self.team, self.waited_for = team, True

    def check(self, chosen: Settings) -> None:
        if chosen.framework != "torch":
            raise ValueError(
                f"framework must be 'torch' in {self.team.size} processes of torchrun, "
                f"got {chosen.framework!r}"
            )
        self.team.check(chosen.recipe)

    def call(self, chosen: Settings) -> None:
        self.waited_for = False
        self.team.from_first(chosen)

    def dismiss(self) -> None:
        """Send the others home if they still wait: nothing was to do, or it cannot be done."""
        if self.waited_for:
            self.team.from_first(None)


def _follow(team: Any) -> int:
    """Train as the leader says, who tells the user all that there is to tell."""
    chosen: Settings | None = team.from_first(None)
    if chosen is not None:
        module, model, data = _prepared(chosen, Alone())
        try:
            module.fit(model, data, progress=False, **chosen.recipe.as_dict())
        except FloatingPointError:
            return 2
    return 0


def _begin(options: argparse.Namespace, given: dict[str, Any], process: Alone) -> int:
    if hasattr(options, "resume"):
        return _resume(Run.open(options.resume), given, process)
    free(options.out)
    chosen = settings(given)
    # What does not fit together is found before a folder is made, or else at the first step.
    parts = _prepared(chosen, process)
    made = not options.out.exists()
    found = Run.create(options.out, chosen)
    with found.locked():
        try:
            return _fit(found, None, process, *parts)
        except OSError:  # a full disk: what is there can go on
            raise
        except Exception:
            found.abandon(made)
            raise


def _resume(found: Run, given: dict[str, Any], process: Alone) -> int:
    stored = found.settings.as_dict()
    for name, value in given.items():
        if stored[name] != value:
            raise ValueError(
                f"{name} must be {stored[name]!r}, with which the run in {found.folder} began, "
                f"got {value!r}"
            )
    with found.locked():
        if found.finished:
            found.weights()  # the checkpoint goes only where they are whole
            found.tidy()
            print(f"{found.folder} is finished: nothing to do")
            return 0
        state = found.state()
        print(f"{found.folder} goes on after epoch {len(state.history.loss) if state else 0}")
        if found.aged:
            print(f"companion: the last digits may differ: {found.aged}", file=sys.stderr)
        return _fit(found, state, process, *_prepared(found.settings, process))


def _prepared(chosen: Settings, process: Alone) -> tuple[Any, Any, Any]:
    """Return the framework, the network and the data, all known to fit together."""
    process.check(chosen)
    data = dataset(chosen.data)
    check_training(data, chosen.recipe)
    module = framework(chosen.framework, chosen.threads)
    if chosen.framework == "torch":
        keep_freed_memory()
    channels, seed = data.x_train.shape[-1], chosen.recipe.seed
    return module, chosen.design.build(module, channels, data.num_classes, seed), data


def _fit(
    found: Run, state: Checkpoint | None, process: Alone, module: Any, model: Any, data: Any
) -> int:
    from companion.weights import named_arrays

    recipe = found.settings.recipe.as_dict()
    process.call(found.settings)
    try:
        history = module.fit(model, data, resume=state, after_epoch=found.keep, **recipe)
        found.finish(history, named_arrays(model))
    except (KeyboardInterrupt, OSError):
        print(f"{found.folder} keeps its whole epochs: {RESUME} {found.folder}")
        raise
    print(f"training loss {history.loss[-1]:.4f}, accuracy {history.accuracy[-1]:.4f}")
    print(f"python -m companion evaluate {found.folder}")
    return 0

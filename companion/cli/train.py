"""``train``: a new run, or the rest of one that was interrupted."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from companion.allocator import keep_freed_memory
from companion.cli import parser
from companion.cli.parser import Commands
from companion.cli.runs import RESUME, Run, require_empty
from companion.cli.settings import DEFAULTS, NETWORKS, Settings, dataset, framework, settings
from companion.recipe import Checkpoint, History, check_batch_size, check_training

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
    new.add_argument(
        "--keep-freed-memory",
        action="store_true",
        help="faster steps of PyTorch for more memory; for glibc",
    )
    new.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if getattr(options, "keep_freed_memory", False):
        keep_freed_memory()
    with _processes() as world, contextlib.ExitStack() as held:
        if world.rank > 0:  # rank 0 has the folder, and says what there is to say
            return _train_along(world)
        run, checkpoint, parts = None, None, None
        try:
            run, checkpoint, parts = _prepare(options, world.size, held)
        finally:  # the others wait for their work; without settings there is none
            world.broadcast_object(run.settings if run and parts else None)
        return _train(run, checkpoint, *parts) if parts else 0


def _processes() -> contextlib.AbstractContextManager[Any]:
    """Join the processes of ``torchrun``, see :class:`companion.torch.distributed.World`."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from companion.torch.distributed import process_group

        return process_group()
    alone = SimpleNamespace(rank=0, size=1, broadcast_object=lambda value: value)
    return contextlib.nullcontext(alone)


def _prepare(
    options: argparse.Namespace, processes: int, held: contextlib.ExitStack
) -> tuple[Run, Checkpoint | None, tuple[Any, Any, Any] | None]:
    """Return the run, locked, its checkpoint, and the parts of :func:`_load`, None if finished."""
    given = {name: value for name, value in vars(options).items() if name in DEFAULTS}
    if hasattr(options, "out"):
        require_empty(options.out)
        chosen = settings(given)
        # What does not fit together is found before a folder is made, or else at the first step.
        parts = _load(chosen, processes)
        return held.enter_context(Run.create(options.out, chosen)), None, parts
    run = Run.open(options.resume)
    run.check_settings(given)
    held.enter_context(run.locked())
    if run.finished:
        run.weights()  # the checkpoint goes only where they are whole
        run.remove_temporary()
        print(f"{run.folder} is finished: nothing to do")
        return run, None, None
    checkpoint = run.checkpoint()
    print(f"{run.folder} goes on after epoch {checkpoint.epoch if checkpoint else 0}")
    if run.version_changes:
        print(f"companion: the last digits may differ: {run.version_changes}", file=sys.stderr)
    return run, checkpoint, _load(run.settings, processes)


def _load(chosen: Settings, processes: int) -> tuple[Any, Any, Any]:
    """Return the framework, the network and the data, all known to fit together."""
    recipe = chosen.recipe
    if processes > 1 and chosen.framework != "torch":
        raise ValueError(
            f"framework must be 'torch' in {processes} processes of torchrun, "
            f"got {chosen.framework!r}"
        )
    check_batch_size(recipe, processes)
    data = dataset(chosen.data)
    check_training(data, recipe)
    module = framework(chosen.framework, chosen.threads)
    model = chosen.design.build(module, data.x_train.shape[-1], data.num_classes, recipe.seed)
    return module, model, data


def _train(run: Run, checkpoint: Checkpoint | None, module: Any, model: Any, data: Any) -> int:
    from companion.weights import named_arrays

    history = checkpoint.history if checkpoint else History()
    try:
        for epoch in module.train(model, data, resume=checkpoint, **run.settings.recipe.as_dict()):
            run.save_checkpoint(epoch)
            history = epoch.history
        run.finish(history, named_arrays(model))
    except (KeyboardInterrupt, OSError):
        print(f"{run.folder} keeps its whole epochs: {RESUME} {run.folder}")
        raise
    print(f"training loss {history.loss[-1]:.4f}, accuracy {history.accuracy[-1]:.4f}")
    print(f"python -m companion evaluate {run.folder}")
    return 0


def _train_along(world: Any) -> int:
    """Train as rank 0 does, without a folder; it says what goes wrong here too."""
    chosen = world.broadcast_object(None)
    if chosen is not None:
        module, model, data = _load(chosen, world.size)
        with contextlib.suppress(ValueError, FloatingPointError):
            module.fit(model, data, progress=False, **chosen.recipe.as_dict())
    return 0

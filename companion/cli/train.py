"""``train``: a new run, or the rest of one that was interrupted."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from companion.allocator import keep_freed_memory
from companion.checkpoint import Checkpoint, History
from companion.cli.devices import add_device, on_device
from companion.cli.load import dataset, network
from companion.cli.parser import Parser
from companion.cli.runs import RESUME, Run, require_empty
from companion.cli.settings import NETWORKS, RECIPE, add_options, checked, given
from companion.recipe import Recipe, check_batch_size, check_training

DOES = "train a network on digits, with the same steps in both frameworks"
ABOUT = """
FOLDER gets settings.json, history.json, weights.safetensors and, where
matplotlib is installed, curve.png. A run killed at any moment goes on from its
last whole epoch, as if nothing had happened; on another device or in several
processes, but for rounding."""
USAGE = """python -m companion train --out FOLDER [options]
       python -m companion train --resume FOLDER"""
EXAMPLES = """
examples:
  python -m companion train --out runs/a --model cifar_resnet --depth 14
  python -m companion train --out runs/b --data digits8 --learning-rate 0.2
  python -m companion train --resume runs/a
  torchrun --nproc_per_node=2 -m companion train --out runs/c
""" + textwrap.fill(f"networks: {', '.join(NETWORKS)}", 79, subsequent_indent="  ")


def add(new: Parser) -> None:
    new.usage = USAGE
    where = new.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", metavar="FOLDER", type=Path, help="of the new run; new or empty")
    where.add_argument("--resume", metavar="FOLDER", type=Path, help="of a run to finish")
    add_options(new)
    add_device(new)
    new.add_argument(
        "--keep-freed-memory",
        action="store_true",
        help="faster steps of PyTorch for more memory; for glibc",
    )


def run(options: argparse.Namespace) -> int:
    if options.keep_freed_memory:
        keep_freed_memory()
    with _processes() as world, contextlib.ExitStack() as held:
        if world.rank > 0:  # rank 0 has the folder, and says what there is to say
            return _train_along(world, options.device)
        work = None
        try:
            work = _begin(options, world.size, held)
        finally:  # the others wait for their work; without settings there is none
            world.broadcast_object(work[0].settings if work else None)
        return _train(*work) if work else 0


def _processes() -> contextlib.AbstractContextManager[Any]:
    """Join the processes of ``torchrun``, see :class:`companion.torch.distributed.World`."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from companion.torch.distributed import process_group

        return process_group()
    alone = SimpleNamespace(rank=0, size=1, broadcast_object=lambda value: value)
    return contextlib.nullcontext(alone)


def _begin(
    options: argparse.Namespace, processes: int, held: contextlib.ExitStack
) -> tuple[Run, Checkpoint | None, Any, Any, Any] | None:
    """Return the run, locked, its checkpoint, framework, network and data; None if finished."""
    if options.out is not None:
        require_empty(options.out)
        settings = checked(given(options))
        # What does not fit together is found before a folder is made, not at the first step.
        parts = _load(settings, processes, options.device, held)
        return held.enter_context(Run.create(options.out, settings)), None, *parts
    run = Run.open(options.resume)
    run.check_settings(given(options))
    held.enter_context(run.locked())
    if run.finished:
        run.weights()  # the checkpoint goes only where they are whole
        run.remove_temporary()
        print(f"{run.folder} is finished: nothing to do")
        return None
    checkpoint = run.checkpoint()
    print(f"{run.folder} goes on after epoch {checkpoint.epoch if checkpoint else 0}")
    if changes := run.version_changes():
        print(f"companion: the last digits may differ: {changes}", file=sys.stderr)
    return run, checkpoint, *_load(run.settings, processes, options.device, held)


def _load(
    settings: Mapping[str, Any], processes: int, device: str, held: contextlib.ExitStack
) -> tuple[Any, Any, Any]:
    """Return the framework's sub-package, the network and the data, known to fit together.

    The network is on the device, which ``held`` keeps in use.
    """
    framework = settings["framework"]
    if processes > 1 and framework != "torch":
        raise ValueError(
            f"framework must be 'torch' in {processes} processes of torchrun, got {framework!r}"
        )
    recipe = Recipe(**_recipe(settings))
    check_batch_size(recipe, processes)
    data = dataset(settings["data"])
    check_training(data, recipe)
    put = held.enter_context(on_device(device, settings, processes))
    channels, precision = data.x_train.shape[-1], settings["precision"]
    module, model = network(settings, channels, data.num_classes, precision)
    return module, put(model), data


def _train(run: Run, checkpoint: Checkpoint | None, module: Any, model: Any, data: Any) -> int:
    from companion.weights import named_arrays

    history = checkpoint.history if checkpoint else History()
    try:
        for epoch in module.train(model, data, resume=checkpoint, **_recipe(run.settings)):
            run.save_checkpoint(epoch)
            history = epoch.history
        run.finish(history, named_arrays(model))
    except (KeyboardInterrupt, OSError):
        print(f"{run.folder} keeps its whole epochs: {RESUME} {run.folder}")
        raise
    print(f"training loss {history.loss[-1]:.4f}, accuracy {history.accuracy[-1]:.4f}")
    print(f"python -m companion evaluate {run.folder}")
    return 0


def _train_along(world: Any, device: str) -> int:
    """Train as rank 0 does, without a folder; it says what goes wrong here too."""
    settings = world.broadcast_object(None)
    if settings is not None:
        with contextlib.ExitStack() as held:
            module, model, data = _load(settings, world.size, device, held)
            with contextlib.suppress(ValueError, FloatingPointError):
                module.fit(model, data, progress=False, **_recipe(settings))
    return 0


def _recipe(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: settings[name] for name in RECIPE}

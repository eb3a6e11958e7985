"""Where a network computes. It is no setting of a run, which may go on somewhere else."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from companion.cli.load import framework


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        metavar="NAME",
        default="auto",
        help="auto, cpu, cuda, cuda:1, mps; auto, cpu, gpu in Keras",
    )


@contextlib.contextmanager
def on_device(
    name: str, settings: Mapping[str, Any], processes: int = 1
) -> Iterator[Callable[[Any], Any]]:
    """Yield what puts a network of the settings' framework on a device, to be used in the block.

    ``"auto"`` is a graphics card where there is one: in PyTorch CUDA's, then Apple's. TensorFlow
    chooses by itself. Of several processes each has a card of its own, or all are on the CPU.

    Raises
    ------
    ValueError: a name that the framework does not have, or a device that is not there.
    """
    framework(settings)  # threads can be chosen only before a device is looked at
    if settings["framework"] == "torch":
        device = _in_torch(name, processes)
        yield lambda model: model.to(device)
        return
    with _in_tensorflow(name):
        yield lambda model: model


def _in_torch(name: str, processes: int) -> str:
    torch = importlib.import_module("torch")
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise ValueError(
            f"device must be 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps' for torch, got {name!r}"
        )
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    enough = cards >= int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    if name == "auto":
        alone = "mps" if mps and processes == 1 else "cpu"
        return "cuda" if cards and enough else alone
    if processes > 1 and (name not in ("cpu", "cuda") or (name == "cuda" and not enough)):
        raise ValueError(
            f"device must be 'auto', 'cpu', or 'cuda' with a card for each of the {processes} "
            f"processes, got {name!r} and {cards} cards"
        )
    here = ["cpu", *(f"cuda:{i}" for i in range(cards)), *(["mps"] if mps else [])]
    if (f"{name}:0" if name == "cuda" else name) not in here:
        raise ValueError(f"device must be one that is here ({', '.join(here)}), got {name!r}")
    return name


def _in_tensorflow(name: str) -> contextlib.AbstractContextManager[Any]:
    if name not in ("auto", "cpu", "gpu"):
        raise ValueError(f"device must be 'auto', 'cpu' or 'gpu' for tensorflow, got {name!r}")
    tf = importlib.import_module("tensorflow")
    if name == "gpu" and not tf.config.list_physical_devices("GPU"):
        raise ValueError("device must be one that is here (cpu), got 'gpu'")
    return contextlib.nullcontext() if name == "auto" else tf.device(f"/{name.upper()}:0")

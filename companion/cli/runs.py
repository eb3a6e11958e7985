"""The folder of a training run.

    settings.json          all that decides how it comes out, and the versions it began with
    checkpoint.npz         where it stands after the last whole epoch; gone once it is finished
    history.json           loss, accuracy, seconds and learning rate of each epoch
    curve.png              the same to look at, where matplotlib is installed
    weights.safetensors    by layer, in the layout that both frameworks read; written last

Every file is replaced in one step, and each epoch is one file: a run that is killed at any moment
stands at its last whole epoch.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from companion import __version__
from companion import _files as files
from companion.checkpoint import Checkpoint, History
from companion.cli.load import network
from companion.cli.settings import DEFAULTS, checked
from companion.recipe import Recipe
from companion.weights.files import assign, encoded, read

RESUME = "python -m companion train --resume"


@dataclass(frozen=True)
class Run:
    """A run and its folder. Make one with :meth:`create` or :meth:`open`."""

    folder: Path
    settings: dict[str, Any]
    versions: dict[str, str]

    @classmethod
    @contextlib.contextmanager
    def create(cls, folder: Path, settings: Mapping[str, Any]) -> Iterator[Run]:
        """Begin a run in a new or empty folder, locked; nothing is left of it if it cannot train.

        Where it stores an epoch or is interrupted, or a disk is full, it stays and can go on.
        ValueError: the folder holds something; it stays as it is. OSError: it cannot be written.
        """
        require_empty(folder)
        made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        run = cls(folder, dict(settings), _versions(settings["framework"]))
        path = folder / "settings.json"
        try:
            try:
                files.create(path, files.as_json({"versions": run.versions, **settings}))
            except FileExistsError:  # of another process that began in the same moment
                require_empty(folder)
                raise
            with run.locked():
                try:
                    yield run
                except OSError:  # a full disk: what is there can go on
                    raise
                except Exception:
                    if not (run._stored.exists() or run.finished):
                        path.unlink()
                    raise
        except Exception:
            if made:
                with contextlib.suppress(OSError):  # it is not empty
                    folder.rmdir()
            raise

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Return the run in a folder. ValueError: there is none, or its settings are not whole."""
        path = folder / "settings.json"
        if not path.is_file():
            raise ValueError(f"{folder} holds no run: it has no settings.json")
        table = files.read_json(path)
        with files.reading(path):
            if odd := {"versions", *DEFAULTS} ^ set(table):
                raise ValueError(f"{min(odd)!r} is missing, or unknown")
            versions = dict(table.pop("versions"))
            return cls(folder, checked(table), versions)

    @property
    def finished(self) -> bool:
        return self._weights.exists()

    @property
    def _weights(self) -> Path:
        return self.folder / "weights.safetensors"

    @property
    def _stored(self) -> Path:
        return self.folder / "checkpoint.npz"

    def check_settings(self, given: Mapping[str, Any]) -> None:
        """Raise ``ValueError`` where an option differs from those that the run began with."""
        for name, value in given.items():
            if self.settings[name] != value:
                raise ValueError(
                    f"{name} must be {self.settings[name]!r}, with which the run in {self.folder} "
                    f"began, got {value!r}"
                )

    def version_changes(self) -> str:
        """Return what has another version now than when the run began, or nothing."""
        now = {**self.versions, **_versions(self.settings["framework"])}
        return "; ".join(f"{k} {v}, now {now[k]}" for k, v in self.versions.items() if now[k] != v)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training here, until the block or the process ends.

        ValueError: another process trains here.
        """
        with open(self.folder / "settings.json", "rb") as file:
            with contextlib.suppress(ImportError):  # Windows has no fcntl
                import fcntl

                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise ValueError(f"{self.folder} is in use: another process trains") from None
            yield

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Store where the run stands, in place of where it stood."""
        about = {"recipe": checkpoint.recipe.as_dict(), "history": checkpoint.history.as_dict()}
        arrays = {"about": np.array(json.dumps(about)), **checkpoint.arrays}
        files.write_arrays(self._stored, arrays)

    def checkpoint(self) -> Checkpoint | None:
        """Return where the run stands, None before its first whole epoch."""
        if not self._stored.exists():
            return None
        arrays = files.read_arrays(self._stored)
        with files.reading(self._stored):
            about = json.loads(str(arrays.pop("about")))
            return Checkpoint(Recipe(**about["recipe"]), _history(about["history"]), arrays)

    def history(self) -> History:
        """Return the history of the whole epochs, finished or not."""
        if not self.finished:
            checkpoint = self.checkpoint()
            return History() if checkpoint is None else checkpoint.history
        path = self.folder / "history.json"
        columns = files.read_json(path)
        with files.reading(path):
            return _history(columns)

    def finish(self, history: History, weights: Mapping[str, np.ndarray]) -> None:
        """Write what the run leaves behind; the weights come last and say that all is there."""
        files.write_json(self.folder / "history.json", history.as_dict())
        if importlib.util.find_spec("matplotlib"):
            files.write(self.folder / "curve.png", _curve(history, self.settings["residual"]))
        about = {"settings": json.dumps(self.settings)}
        files.write(self._weights, encoded(weights, about))
        self.remove_temporary()

    def remove_temporary(self) -> None:
        """Remove what a finished run does not need: its checkpoint, files that are half written."""
        for path in (self._stored, *self.folder.glob(".*.part")):
            path.unlink(missing_ok=True)

    def weights(self) -> dict[str, np.ndarray]:
        """Return the weights. ValueError: the run is not finished, or they are damaged."""
        if not self.finished:
            done, epochs = len(self.history().loss), self.settings["epochs"]
            raise ValueError(
                f"{self.folder} stands at epoch {done} of {epochs}: {RESUME} {self.folder}"
            )
        return read(self._weights)[0]

    def trained(self, data: Any, **other: Any) -> tuple[Any, Any]:
        """Return the framework's sub-package and the trained network.

        ``other`` are settings in the place of its own: the weights are exact in either framework.
        ValueError: the run is not finished, or its weights are not those of its network.
        """
        arrays, settings = self.weights(), {**self.settings, **other}
        module, model = network(settings, data.x_train.shape[-1], data.num_classes)
        assign(model, arrays, str(self._weights))
        return module, model


def require_empty(folder: Path) -> None:
    """Raise ``ValueError`` unless a run can begin in the folder: it must be new or empty."""
    if (folder / "settings.json").exists():
        raise ValueError(f"{folder} holds a run: choose another folder, or {RESUME} {folder}")
    if folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty: choose a new folder")


def _versions(framework: str) -> dict[str, str]:
    """Return the versions of what computes. TensorFlow's package has several names."""
    names = {"torch": ("torch",), "tensorflow": ("tensorflow", "tensorflow-cpu", "keras")}
    found = {"companion": __version__, "numpy": np.__version__}
    for name in names[framework]:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _history(columns: Mapping[str, Any]) -> History:
    """Return the history that was stored as columns."""
    history = History(**{name: tuple(map(float, values)) for name, values in columns.items()})
    if len({len(column) for column in history.as_dict().values()}) != 1:
        raise ValueError("its columns are not equally long")
    return history


def _curve(history: History, residual: bool) -> bytes:
    """Draw loss and accuracy by epoch, dashed for a network without shortcuts."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    drawing = Figure(figsize=(7.2, 2.7), layout="constrained")
    for axes, name in zip(drawing.subplots(1, 2), ("loss", "accuracy"), strict=True):
        values = getattr(history, name)
        axes.plot(range(1, len(values) + 1), values, "-o" if residual else "--o")
        axes.set(xlabel="epoch", ylabel=f"training {name}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=150, facecolor="white")
    return buffer.getvalue()

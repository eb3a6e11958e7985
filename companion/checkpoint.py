"""What a training run leaves behind: its history, and checkpoints from which it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from companion.recipe import Recipe


@dataclass(frozen=True)
class History:
    """What a training run left behind, one entry per epoch.

    Attributes
    ----------
    loss: mean training loss over the epoch; cross-entropy in nats, label smoothing included.
    accuracy: mean training accuracy over the epoch, in [0, 1], over labels that are not ignored
        (-1); 0 where the loss is a squared error.
    seconds: wall-clock time of the epoch.
    learning_rate: at the epoch's last step; of the first group, where the optimizer has several.
    """

    loss: tuple[float, ...] = ()
    accuracy: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()
    learning_rate: tuple[float, ...] = ()

    def append(self, loss: float, accuracy: float, seconds: float, learning_rate: float) -> History:
        """Return the history with one more epoch."""
        return History(
            (*self.loss, float(loss)),
            (*self.accuracy, float(accuracy)),
            (*self.seconds, float(seconds)),
            (*self.learning_rate, float(learning_rate)),
        )

    def as_dict(self) -> dict[str, tuple[float, ...]]:
        """Return the four columns as a dictionary, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A training run after a whole epoch: all that ``train`` and ``fit`` need to resume it.

    The order of the examples and their shifts follow from the recipe's seed and the epoch's number,
    the learning rate from the step's: they need no storing. Nor is the device part of it: a run may
    resume on another one, whose rounding and random numbers are its own.

    Attributes
    ----------
    recipe: of the run.
    history: of the epochs behind it.
    arrays: copies of every weight, batch statistic and moment of the optimizer, and the state of
        the random generator, under names that the framework gives. Another framework takes none of
        them.
    """

    recipe: Recipe
    history: History
    arrays: Mapping[str, np.ndarray]

    @property
    def epoch(self) -> int:
        """How many epochs are behind it."""
        return len(self.history.loss)

    def check(self, recipe: Recipe, expected: Mapping[str, Any], but: tuple[str, ...] = ()) -> None:
        """Raise unless it is of a run with this recipe and arrays like these.

        Parameters
        ----------
        but: arrays whose names begin so may differ, or be missing.

        Raises
        ------
        ValueError: another recipe, a history that is no whole number of its epochs, or arrays of
            other names, shapes or types.
        """
        ours, theirs = self.recipe.as_dict(), recipe.as_dict()
        for name in ("optimizer", *ours):  # which others follow from
            if ours[name] != theirs[name]:
                raise ValueError(
                    f"{name} must be {ours[name]!r}, with which the run to resume began, "
                    f"got {theirs[name]!r}"
                )
        lengths = {len(column) for column in self.history.as_dict().values()}
        if len(lengths) != 1 or max(lengths) > recipe.epochs:
            raise ValueError(
                f"resume must have at most {recipe.epochs} epochs behind it, each in every column "
                f"of its history, got {sorted(lengths)}"
            )
        for name in (*expected, *self.arrays):
            if name.startswith(but):
                continue
            here, there = (_form(arrays.get(name)) for arrays in (expected, self.arrays))
            if here != there:
                raise ValueError(
                    "resume must hold the arrays of this framework's model and optimizer, "
                    f"got {there} for {here} at {name!r}"
                )


def _form(array: Any) -> str:
    """Say what an array looks like, in the same words for every framework's."""
    if array is None:
        return "nothing"
    kind = str(array.dtype).removeprefix("torch.")
    return f"{kind} {tuple(array.shape)}"

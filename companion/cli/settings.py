"""All that decides how a run comes out, as one flat table: options, and ``settings.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from companion import _checks
from companion.cli.registry import DATA, FRAMEWORKS, Design, design
from companion.recipe import Recipe

DEFAULTS: dict[str, Any] = {
    "framework": "torch",
    "model": "mnist_resnet",
    "depth": None,
    "width": None,
    "residual": True,
    "data": "mnist",
    "threads": 1,
    **Recipe().as_dict(),
}


@dataclass(frozen=True)
class Settings:
    """Which network learns what, how, and with which arithmetic."""

    framework: str
    data: str
    threads: int
    design: Design
    recipe: Recipe

    def as_dict(self) -> dict[str, Any]:
        """Return the flat table that :func:`settings` takes."""
        first = {"framework": self.framework, **asdict(self.design), "data": self.data}
        return {**first, "threads": self.threads, **self.recipe.as_dict()}


def settings(given: Mapping[str, Any]) -> Settings:
    """Return the settings, with defaults for what is not given.

    Raises
    ------
    ValueError: an unknown name, or a value out of its range.
    """
    unknown = sorted(set(given) - set(DEFAULTS))
    if unknown:
        raise ValueError(f"settings must be among {', '.join(DEFAULTS)}, got {unknown[0]!r}")
    table = {**DEFAULTS, **given}
    return Settings(
        framework=_checks.option("framework", table.pop("framework"), FRAMEWORKS),
        data=_checks.option("data", table.pop("data"), DATA),
        threads=_checks.positive_int("threads", table.pop("threads")),
        design=design(*(table.pop(name) for name in ("model", "depth", "width", "residual"))),
        recipe=Recipe(**table),
    )

"""Argument checks that all three implementations share.

Each function returns the accepted value or raises a ``ValueError`` that names the argument, what
came, and what is accepted. No framework is imported here: only plain values and shapes come in.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any


def positive_int(name: str, value: Any, minimum: int = 1) -> int:
    """Return ``value`` as an int of at least ``minimum``; booleans and floats are refused."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        number = minimum - 1
    if number < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {value!r}")
    return number


def odd_int(name: str, value: Any) -> int:
    """Return ``value`` as an odd positive int: only odd kernels can be padded symmetrically."""
    number = positive_int(name, value)
    if number % 2 == 0:
        raise ValueError(f"{name} must be odd, so that padding is symmetric, got {value!r}")
    return number


def multiple_of(name: str, value: Any, factor: int) -> int:
    """Return ``value`` as a positive int that ``factor`` divides."""
    number = positive_int(name, value)
    if number % factor:
        raise ValueError(f"{name} must be a multiple of {factor}, got {value!r}")
    return number


def number(name: str, value: Any, minimum: float = 0.0, maximum: float = math.inf) -> float:
    """Return ``value`` as a finite float in [minimum, maximum]."""
    if minimum == -math.inf:
        bounds = "that is finite"
    elif maximum == math.inf:
        bounds = f"of at least {minimum:g}"
    else:
        bounds = f"from {minimum:g} to {maximum:g}"
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        result = math.nan
    if isinstance(value, (bool, str)) or not (
        math.isfinite(result) and minimum <= result <= maximum
    ):
        raise ValueError(f"{name} must be a number {bounds}, got {value!r}")
    return result


def option(name: str, value: Any, accepted: Sequence[Any]) -> Any:
    """Return ``value`` if it is one of ``accepted``."""
    if not any(type(value) is type(choice) and value == choice for choice in accepted):
        choices = ", ".join(map(repr, accepted))
        raise ValueError(f"{name} must be one of {choices}, got {value!r}")
    return value


def boolean(name: str, value: Any) -> bool:
    """Return ``value`` if it is True or False, and not merely truthy."""
    return option(name, value, (True, False))


def rank(name: str, shape: Sequence[Any], dimensions: int, layout: str) -> None:
    """Raise unless ``shape`` has ``dimensions`` entries and no empty one."""
    shape = tuple(shape)
    if len(shape) != dimensions:
        raise ValueError(f"{name} must have {dimensions} dimensions {layout}, got shape {shape}")
    if any(isinstance(size, int) and size == 0 for size in shape):
        raise ValueError(f"{name} must not be empty, got shape {shape}")


def channels(name: str, got: Any, expected: int) -> None:
    """Raise unless the channel axis has the expected length."""
    if got is not None and got != expected:
        raise ValueError(f"{name} must have {expected} channels, got {got}")


def axis(value: Any) -> int:
    """Return the axis of the channels: any but the batch's, counted from either end."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        number = 0
    if number == 0:
        raise ValueError(f"axis must be an integer other than 0, the batch, got {value!r}")
    return number


def channels_on_axis(name: str, shape: Sequence[Any], axis: int, expected: int) -> None:
    """Raise unless ``shape`` has the axis, of the expected length; ``None`` matches anything."""
    shape = tuple(shape)
    known = -len(shape) <= axis < len(shape)
    if not known or shape[axis] not in (None, expected):
        raise ValueError(f"{name} must have {expected} channels on axis {axis}, got shape {shape}")


def equal_shapes(
    names: str, first: Sequence[Any], second: Sequence[Any], except_axis: int | None = None
) -> None:
    """Raise unless two shapes are equal, or equal on every axis but one.

    Both frameworks would broadcast a shortcut with one channel over a branch with many, silently.
    Unknown sizes (``None``, in a symbolic Keras graph) match anything.

    Parameters
    ----------
    names: of both, as ``"shortcut and branch"``. except_axis: may differ; from the end if negative.
    """
    first, second = tuple(first), tuple(second)
    there = except_axis is None or -len(first) <= except_axis < len(first)
    free = None if except_axis is None else except_axis % max(1, len(first))
    if (
        there
        and len(first) == len(second)
        and all(
            i == free or a is None or b is None or a == b
            for i, (a, b) in enumerate(zip(first, second, strict=True))
        )
    ):
        return
    if free is not None:
        raise ValueError(
            f"{names} must agree on all axes but {except_axis}, got {first} and {second}"
        )
    message = f"{names} must have the same shape, got {first} and {second}"
    if names == "shortcut and branch":
        message += "; a shortcut that changes channels or stride needs option 'A', 'B' or 'C'"
    raise ValueError(message)


def several_values(name: str, values_per_channel: Any) -> None:
    """Raise where a batch norm in training would see one value per channel (variance zero)."""
    if isinstance(values_per_channel, int) and values_per_channel == 1:
        raise ValueError(
            f"{name} must hold more than one value per channel in training, got 1; "
            "use a larger batch or image, or inference mode"
        )


def finite_batch(name: str, shape: Sequence[int], finite: bool) -> None:
    """Raise unless ``shape`` has no empty axis and the values were found finite."""
    if 0 in shape:
        raise ValueError(f"{name} must not be empty, got shape {tuple(shape)}")
    if not finite:
        raise ValueError(f"{name} must be finite, got NaN or infinity")


def same_length(name: str, values: Any, length: int) -> None:
    """Raise unless ``values`` has ``length`` entries."""
    if len(values) != length:
        raise ValueError(f"{name} must have one entry for each of {length} examples")


def square_stride(name: str, value: Any) -> int:
    """Return an int from a positive int or from a pair of equal ones."""
    if isinstance(value, (tuple, list)):
        if len(value) != 2 or value[0] != value[1]:
            raise ValueError(f"{name} must be an integer or two equal ones, got {value!r}")
        value = value[0]
    return positive_int(name, value)


def seed(value: Any) -> int | None:
    """Return a seed: None, or an integer of at least 0."""
    return None if value is None else positive_int("seed", value, minimum=0)


def image_shape(name: str, value: Any, layout: str) -> tuple[int, int, int]:
    """Return three positive ints."""
    if not isinstance(value, (tuple, list)) or len(value) != 3:
        raise ValueError(f"{name} must be {layout}, got {value!r}")
    first, second, third = (positive_int(f"each entry of {name}", size) for size in value)
    return first, second, third


def finite_number(name: str, value: Any) -> float:
    """Return ``value`` as a finite float of either sign."""
    return number(name, value, minimum=-math.inf)


def probability(name: str, value: Any) -> float:
    """Return ``value`` as a float in (0, 1]."""
    result = number(name, value, 0, 1)
    if result == 0:
        raise ValueError(f"{name} must be above 0, got {value!r}")
    return result


def factors(name: str, value: Any) -> dict[str, float]:
    """Return a mapping of names to numbers above 0."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name} must map names of parameters to numbers, got {value!r}")
    result = {key: number(f"{name} of {key!r}", factor) for key, factor in value.items()}
    for key, factor in result.items():
        if factor == 0:
            raise ValueError(f"{name} must be above 0, got 0 for {key!r}, which can be frozen")
    return result


def groups(value: Any, in_channels: int, out_channels: int) -> int:
    """Return a number of groups that divides both channel counts."""
    count = positive_int("groups", value)
    if in_channels % count or out_channels % count:
        raise ValueError(
            f"groups must divide in_channels and out_channels ({in_channels}, {out_channels}), "
            f"got {value!r}"
        )
    return count


def depth(value: Any, step: int, rest: int) -> int:
    """Return how many times n a depth of step n + rest, n >= 1, holds ``step`` layers."""
    number = positive_int("depth", value, minimum=step + rest)
    if (number - rest) % step:
        examples = ", ".join(str(step * n + rest) for n in range(1, 5))
        raise ValueError(f"depth must be {step}n+{rest} ({examples}, ...), got {number}")
    return (number - rest) // step


def divisible(name: str, sides: Sequence[Any], factor: int) -> None:
    """Raise unless ``factor`` divides every known side."""
    if any(isinstance(side, int) and side % factor for side in sides):
        raise ValueError(f"the sides of {name} must be multiples of {factor}, got {tuple(sides)}")

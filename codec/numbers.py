"""Checks of numbers that people pass, and numbers that JSON knows."""

from __future__ import annotations

import math
import operator
from numbers import Real
from typing import Any

import numpy as np

from ..bitstream import ArgumentError
from .quality.curve import MAX_QUALITY

EFFORTS = range(10)

_MOST_BITS = 1023
"""Of a whole number: a float holds it as well."""


def whole(name: str, number: object) -> int:
    """Return a whole number of any type that has them: 60, 60.0, NumPy's integers and floats.

    Raises:
        ArgumentError: it is none.
    """
    if isinstance(number, bool | np.bool_):
        raise ArgumentError(f"{name} {number!r} is not a whole number")
    try:
        found = operator.index(number)  # type: ignore[arg-type]
    except TypeError:
        if isinstance(number, Real) and float(number).is_integer():
            return int(float(number))
        raise ArgumentError(f"{name} {number!r} is not a whole number") from None
    if found.bit_length() > _MOST_BITS:  # Python does not even print much larger ones
        raise ArgumentError(f"{name} is a number of {found.bit_length()} bits, which is too large")
    return found


def keep_whole(options: object, *names: str) -> None:
    """Turn fields of a frozen dataclass into ints: 8.0 is 8. None stays.

    Raises:
        ArgumentError: one of them is no whole number.
    """
    for name in names:
        if (number := getattr(options, name)) is not None:
            object.__setattr__(options, name, whole(name, number))


def check_above_zero(name: str, number: object) -> None:
    """Refuse what is not a finite number above 0.

    Raises:
        ArgumentError: it is none.
    """
    if isinstance(number, int) and not isinstance(number, bool):
        number = whole(name, number)  # not too large for a float
    if isinstance(number, bool) or not isinstance(number, Real) or not 0 < float(number) < math.inf:
        raise ArgumentError(f"{name} {number!r} is not a number above 0")


def effort_of(number: object) -> int:
    """Return an effort.

    Raises:
        ArgumentError: it is not a whole number within 0...9.
    """
    effort = whole("effort", number)
    if effort not in EFFORTS:
        raise ArgumentError(f"effort {effort} is outside {EFFORTS[0]}...{EFFORTS[-1]}")
    return effort


def quality_of(number: object) -> int:
    """Return a quality.

    Raises:
        ArgumentError: it is not a whole number within 0...100.
    """
    quality = whole("quality", number)
    if not 0 <= quality <= MAX_QUALITY:
        raise ArgumentError(f"quality {quality} is outside 0...{MAX_QUALITY}")
    return quality


def for_json(value: Any) -> Any:  # noqa: ANN401
    """Replace what JSON does not know, NaN and infinity, by None, in lists and dicts as well."""
    if isinstance(value, dict):
        return {key: for_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [for_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

"""Checks of numbers that people pass."""

from __future__ import annotations

import operator

from ..bitstream import InvalidField


def whole(name: str, number: object) -> int:
    """Return a whole number of any type that has them: 60, 60.0, NumPy's integers.

    Raises:
        InvalidField: it is none.
    """
    try:
        if isinstance(number, float) and number.is_integer():
            return int(number)
        return operator.index(number)  # type: ignore[arg-type]
    except TypeError:
        raise InvalidField(f"{name} {number!r} is not a whole number") from None


EFFORTS = range(10)


def effort_of(number: object) -> int:
    """Return an effort.

    Raises:
        InvalidField: it is not a whole number within 0...9.
    """
    effort = whole("effort", number)
    if effort not in EFFORTS:
        raise InvalidField(f"effort {effort} is outside {EFFORTS[0]}...{EFFORTS[-1]}")
    return effort


def quality_of(number: object) -> int:
    """Return a quality.

    Raises:
        InvalidField: it is not a whole number within 0...100.
    """
    quality = whole("quality", number)
    if not 0 <= quality <= 100:
        raise InvalidField(f"quality {quality} is outside 0...100")
    return quality

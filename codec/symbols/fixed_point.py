"""Units of the integers that graphs and tables hold; `models/integer/` has the rules."""

from __future__ import annotations

from ..quality.curve import MAX_QUALITY

UNIT = 64
"""Activations are multiples of 1/64."""

ACTIVATION_MAX = 1023
"""Largest magnitude of an activation, in its unit."""

ACCUMULATOR_LIMIT = 2**24
"""Sums stay below it: up to there float32 holds every integer."""

KNOTS = 11
"""Points between which what depends on quality is interpolated."""

KNOT_SPAN = MAX_QUALITY // (KNOTS - 1)
"""Qualities from a knot to the next."""

KNOT_UNIT = 16
"""Gains at the knots are sixteenths of those between them."""

CONTEXT_UNIT = 8
"""Means of the context are multiples of 1/8 of a symbol."""

INWARD_UNIT, OUTWARD_UNIT = 2**8, 2**12
"""Factors of the norm, into activations and out of them, are multiples of 1/256 and 1/4096."""

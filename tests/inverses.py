"""Pushing and popping are inverses: one check for every prior and every coder."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hvae_codec.bitstream import EntropyCoder, coder_of, words_of


def check_inverse(
    push: Callable[[EntropyCoder], object],
    pop: Callable[[EntropyCoder], Any],
    expected: ArrayLike,
    *,
    words: int = 2000,
) -> float:
    """Push above random words and pop again: all of it comes back, and the words are as they were.

    Args:
        push: pushes onto a coder. It may pop on its way (bits-back).
        pop: pops from a coder, and returns an array.
        expected: what it should return.
        words: how many lie below.

    Returns:
        The bits that pushing added.
    """
    below = np.random.default_rng(5).integers(1, 2**32, words, np.uint32)
    coder = coder_of(below)
    before = coder.num_valid_bits()
    push(coder)
    pushed = words_of(coder)
    assert not np.array_equal(pushed, below)
    again = coder_of(pushed)
    assert np.array_equal(pop(again), expected)
    assert np.array_equal(words_of(again), below)
    return coder.num_valid_bits() - before

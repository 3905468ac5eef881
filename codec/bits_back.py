"""A stack of symbols for priors that take bits back: what they pop first must be there."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..bitstream import Coder, PmfTables, bulk_words
from .errors import PayloadTooShort
from .symbols import AnsStack


class BitsBackStack(AnsStack):
    """An encoder's stack, whose words a prior may borrow but not use up.

    A stack that runs dry makes up what is popped: that would cost more than it saves. So no pop
    may reach the last 64 bits of a stack. If none did when a tile was encoded, none does when it is
    decoded, where the stack goes through the same states.

    Attributes:
        initial_bits: how many of the bits that lay there were in use at most.
    """

    def __init__(self, coder: Coder, tables: PmfTables):
        super().__init__(coder, tables)
        self.initial_bits = 0
        self._bits = coder.num_valid_bits()

    def _popped(self, symbols: np.ndarray) -> Tensor:
        self.initial_bits = max(self.initial_bits, self._bits - self.coder.num_valid_bits())
        if bulk_words(self.coder) == 0:
            raise PayloadTooShort(
                f"the latents of a tile take {-(-self._bits // 8)} bytes, fewer than this prior of "
                "the context borrows from them: encode a larger image, at a higher quality, or "
                "with another prior"
            )
        return super()._popped(symbols)

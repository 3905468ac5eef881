"""The priors of the context that need PyTorch, as the codec calls them.

Gaussian diffusion, factorised, mixture and VampPrior: the papers' priors, for research. They code
tile by tile on the CPU, by `push` and `pop` on a stack of symbols.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from ..codec.networks.weight_file import WeightFile
from ..codec.symbols.stack import SymbolStack
from ..codec.tiles.conditions import CodingConditions
from .priors.interface import ResearchPrior
from .priors.stack import TensorStack
from .settings import own_settings
from .weight_models import models_of


class ResearchPriors:
    """The priors of a weight file."""

    @own_settings()
    def __init__(self, file: WeightFile):
        self.context = models_of(file).context

    def _prior(self, name: str) -> ResearchPrior:
        return cast(ResearchPrior, self.context.priors[name])

    @own_settings()
    @torch.inference_mode()
    def push(
        self, name: str, stack: SymbolStack, u: NDArray[np.int32], conditions: CodingConditions
    ) -> None:
        """Push the context (C, h, w) of a tile."""
        context = torch.from_numpy(u.astype(np.float64))[None]
        mask = torch.from_numpy(conditions.context_mask.copy())
        at = torch.tensor([conditions.quality])
        self._prior(name).push(TensorStack(stack), context, at, self.context.norm, mask)

    @own_settings()
    @torch.inference_mode()
    def pop(
        self, name: str, stack: SymbolStack, size: tuple[int, int], conditions: CodingConditions
    ) -> NDArray[np.float32]:
        """Pop the context (C, h, w) of a tile of `size` (h, w) patches."""
        mask = torch.from_numpy(conditions.context_mask.copy())
        at = torch.tensor([conditions.quality])
        popped = self._prior(name).pop(TensorStack(stack), size, at, self.context.norm, mask)
        return popped[0].numpy().astype(np.float32)

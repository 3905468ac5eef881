import math

import pytest
import torch
from torch import nn

from hvae_codec.models.descent import descend


@pytest.mark.parametrize(
    ("slope", "taken", "moved"),
    [
        (3.0, True, 0.2),  # cut to a norm of 2
        (1.0, True, 0.1),
        (math.nan, False, 0.0),
        (math.inf, False, 0.0),
    ],
)
def test_a_step_is_cut_or_left_out(slope: float, taken: bool, moved: float) -> None:
    weight = nn.Parameter(torch.zeros(()))
    optimiser = torch.optim.SGD([weight], lr=0.1)
    norm, was_taken = descend(-slope * weight, [weight], optimiser, clip=2.0)
    assert was_taken == taken
    assert weight.item() == pytest.approx(moved, abs=1e-6)
    assert norm.item() == slope or not math.isfinite(slope)

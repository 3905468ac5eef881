import numpy as np
import pytest
import torch

from hvae_codec.codec.config import PRESETS
from hvae_codec.codec.symbols import schedule
from hvae_codec.models.networks.step import pick, place


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 1), (3, 5), (8, 12)])
def test_tensors_are_picked_and_placed_as_arrays_are(size: tuple[int, int]) -> None:
    x = torch.arange(6.0 * size[0] * size[1]).view(2, 3, *size)
    config = PRESETS["tiny"]
    steps = schedule.context_schedule(config) + schedule.latent_schedule(config)
    for squares in {step.squares for step in steps}:
        picked = pick(x, squares)
        assert np.array_equal(picked.numpy(), schedule.pick(x.numpy(), squares))
        expected = schedule.place(picked.numpy(), squares, size)
        assert np.array_equal(place(picked, squares, *size).numpy(), expected)


def test_what_was_first_asked_for_in_inference_may_have_a_gradient_later() -> None:
    squares = schedule.ANCHORS
    with torch.inference_mode():
        pick(torch.zeros(1, 1, 7, 9), squares)
    x = torch.ones(1, 1, 7, 9, requires_grad=True)
    place(pick(x, squares), squares, 7, 9).sum().backward()
    assert x.grad is not None
    assert int(x.grad.sum()) == 32

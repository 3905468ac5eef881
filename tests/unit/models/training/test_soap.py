"""The optimiser: Adam where there is nothing to rotate, faster than Adam where there is."""

import pytest
import torch

from hvae_codec.models.training.soap import MAX_SIDE, Soap, rotate


def _loss(weight: torch.Tensor, curvature: torch.Tensor) -> torch.Tensor:
    return torch.einsum("oikl,op,pikl->", weight, curvature, weight)


def _after(kind: type[torch.optim.Optimizer], steps: int) -> float:
    """Return the loss on a narrow valley, which lies askew to the axes."""
    torch.manual_seed(1)
    mixing = torch.randn(8, 8)
    curvature = mixing @ mixing.T / 8 + 0.01 * torch.eye(8)
    weight = torch.nn.Parameter(torch.randn(8, 6, 3, 3))
    optimiser = kind([weight], lr=1e-2)  # type: ignore[call-arg]
    for _ in range(steps):
        optimiser.zero_grad()
        _loss(weight, curvature).backward()
        optimiser.step()
    return _loss(weight, curvature).item()


def test_a_skew_valley_is_left_sooner_than_by_adam() -> None:
    assert _after(Soap, 700) < 0.1 * _after(torch.optim.Adam, 700)


@pytest.mark.parametrize("shape", [(5,), (11, 2, 4)])
def test_biases_and_gains_get_adam(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    start, target = torch.randn(shape), torch.randn(shape)
    ends = []
    for kind in (Soap, torch.optim.Adam):
        parameter = torch.nn.Parameter(start.clone())
        optimiser = kind([parameter], lr=1e-2, betas=(0.95, 0.98))
        for _ in range(30):
            optimiser.zero_grad()
            (parameter - target).square().sum().backward()
            optimiser.step()
        ends.append(parameter.detach())
    torch.testing.assert_close(ends[0], ends[1])


def test_rotating_there_and_back_changes_nothing() -> None:
    x = torch.randn(2, 6, 9, 4)
    orthonormal = [torch.linalg.qr(torch.randn(2, n, n)).Q for n in (6, 4)]
    bases = [orthonormal[0], torch.empty(0), orthonormal[1]]
    torch.testing.assert_close(rotate(rotate(x, bases), bases, back=True), x)


def test_bases_stay_orthonormal_and_long_sides_have_none() -> None:
    weight = torch.nn.Parameter(torch.randn(MAX_SIDE + 1, 6, 1, 1))
    optimiser = Soap([weight], lr=1e-3, every=2)
    for _ in range(9):
        weight.grad = torch.randn_like(weight)
        optimiser.step()
    long, taps, basis = optimiser.state[weight]["bases"]
    assert long.numel() == 0
    assert taps.numel() == 0
    torch.testing.assert_close(basis[0].T @ basis[0], torch.eye(6), atol=1e-5, rtol=0)


def test_a_saved_state_goes_on_as_if_nothing_had_happened() -> None:
    def run(cut: bool) -> list[torch.Tensor]:
        torch.manual_seed(1)
        shapes = [(6, 5, 3, 3), (4, 2, 1, 1), (6, 5, 3, 3), (7,), (7,)]
        weights = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
        optimiser = Soap(weights, lr=1e-3, every=3)
        for step in range(10):
            if cut and step == 5:
                saved = optimiser.state_dict()
                optimiser = Soap(weights, lr=1e-3, every=3)
                optimiser.load_state_dict(saved)
            for weight in weights:
                weight.grad = torch.randn_like(weight)
            optimiser.step()
        return [weight.detach() for weight in weights]

    torch.testing.assert_close(run(cut=True), run(cut=False), rtol=0, atol=0)


def test_parameters_may_be_frozen_and_thawed_between_steps() -> None:
    weights = [torch.nn.Parameter(torch.zeros(4, 3, 1, 1)) for _ in range(3)]
    optimiser = Soap(weights, lr=1e-3)
    for frozen in (None, 1, None, 0, None):
        for number, weight in enumerate(weights):
            weight.requires_grad_(number != frozen)
            weight.grad = None if number == frozen else torch.ones_like(weight)
        before = [weight.detach().clone() for weight in weights]
        optimiser.step()
        moved = [not torch.equal(a, b) for a, b in zip(before, weights, strict=True)]
        assert moved == [number != frozen for number in range(3)]


def test_a_layer_of_dead_units_does_not_stop_it() -> None:
    weight = torch.nn.Parameter(torch.zeros(96, 96, 3, 3))
    grad = torch.randn(96, 96, 3, 3)
    grad[3:] = 0
    grad[0] *= 1e-7
    weight.grad = grad
    Soap([weight], lr=1e-3).step()
    assert torch.isfinite(weight).all()


def test_a_stack_moves_as_each_of_its_parameters_would_alone() -> None:
    def run(together: bool) -> list[torch.Tensor]:
        torch.manual_seed(2)
        weights = [torch.nn.Parameter(torch.randn(6, 5, 3, 3)) for _ in range(3)]
        apart = [[weight] for weight in weights]
        optimisers = [Soap(some, lr=1e-2, every=3) for some in ([weights] if together else apart)]
        for _ in range(10):
            for weight in weights:
                weight.grad = torch.randn_like(weight)
            for optimiser in optimisers:
                optimiser.step()
        return [weight.detach() for weight in weights]

    for one, other in zip(run(together=True), run(together=False), strict=True):
        torch.testing.assert_close(one, other)

import copy

import pytest
import torch
from torch import Tensor

from hvae_codec.codec.quality.curve import lmbda_of
from hvae_codec.models.dct_vae import DctVae
from hvae_codec.models.networks.quantizers import Rounder, TrainingQuantizer
from hvae_codec.models.training import losses
from hvae_codec.models.training.losses import (
    balance,
    clamp_straight_through,
    draw_quality,
    objective,
    run,
    validate,
)


@pytest.fixture
def model(tiny_model: DctVae) -> DctVae:
    return copy.deepcopy(tiny_model).train()


def test_the_objective_teaches_every_parameter(model: DctVae, clouds: Tensor) -> None:
    torch.manual_seed(0)
    crops, wide = clouds[:, :, :64, :64].byte(), clouds[:2, :, :96, :96].byte()
    loss, terms = objective(model, crops, wide)
    loss.backward()
    assert torch.isfinite(loss)
    assert (terms.bpp > 0).all()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


@pytest.mark.slow
def test_the_objective_compiles_into_one_graph(model: DctVae, clouds: Tensor) -> None:
    crops, wide = clouds[:2, :, :64, :64].byte(), clouds[:2, :, :96, :96].byte()
    compiled = torch.compile(objective, backend="eager", fullgraph=True)
    losses = []
    for loss_of in (objective, compiled):
        torch.manual_seed(0)
        losses.append(loss_of(model, crops, wide)[0])
    torch.testing.assert_close(*losses)


def test_wide_crops_teach_the_prior_alone(model: DctVae, clouds: Tensor) -> None:
    crops, wide = clouds[:2, :, :64, :64].byte(), clouds[:2, :, :96, :96].byte()
    gradients = []
    for wider in (wide[:0], wide):
        model.zero_grad()
        torch.manual_seed(0)  # same qualities and noise of the crops
        objective(model, crops, wider)[0].backward()
        gradients.append(
            {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        )
    assert any(name.startswith("context.prior") for name in gradients[1])
    for name, gradient in gradients[1].items():
        taught = name.startswith("context.prior")
        assert (name not in gradients[0]) == taught, name
        assert taught or torch.equal(gradient, gradients[0][name]), name


def test_the_prior_learns_at_every_quality_whatever_the_model_serves(
    model: DctVae, clouds: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(losses, "prior_bpp", lambda _, u, quality, norm: seen.append(quality))
    monkeypatch.setattr(losses, "rate_loss", lambda bpp, quality: 0)
    wide = clouds[:4, :, :32, :32].byte()
    for _ in range(8):
        objective(model, wide[:1], wide, within=(40, 50))
    assert torch.cat(seen).min() < 20
    assert torch.cat(seen).max() > 80


def test_busy_crops_pull_by_the_root_of_their_loss() -> None:
    losses = torch.tensor([0.0, 0.5, 2.0, 8.0, 32.0], requires_grad=True)
    balance(losses).sum().backward()
    assert losses.grad is not None
    assert losses.grad.tolist() == pytest.approx([4.0, 4.0, 2.0, 1.0, 0.5])


def test_usual_qualities_are_drawn_more_often_the_rest_too() -> None:
    quality = torch.cat([draw_quality(10, torch.device("cpu")) for _ in range(100)])
    counts = torch.histc(quality, 5, 0, 100) / 200
    # a fifth of the range weighs 1 outside 20...80 and 3 inside, 11 in all
    assert counts.tolist() == pytest.approx([n * 5 / 11 for n in (1, 3, 3, 3, 1)], rel=0.05)


def test_qualities_are_spread_over_the_batch() -> None:
    quality = draw_quality(10, torch.device("cpu"))
    assert quality.tolist() == sorted(quality.tolist())
    assert quality.diff().max() < 100 * 2 / 10 * 11 / 5  # two strata where they are widest


@pytest.mark.parametrize("within", [(40, 60), (0, 56), (44, 100), (0, 15), (85, 85)])
def test_qualities_can_be_kept_within_a_range(within: tuple[int, int]) -> None:
    quality = torch.cat([draw_quality(10, torch.device("cpu"), within) for _ in range(10)])
    assert within[0] <= quality.min() <= within[0] + 0.3 * (within[1] - within[0])
    assert within[1] >= quality.max() >= within[1] - 0.3 * (within[1] - within[0])


def test_higher_quality_costs_more_and_shows_more(tiny_model: DctVae, clouds: Tensor) -> None:
    rows = validate(tiny_model, [clouds[:1], clouds[1:2, :, :96, :64]], [10, 50, 90])
    for values in ([row.bpp for row in rows], [row.psnr for row in rows]):
        assert values == sorted(values)
        assert values[0] < values[-1]
    assert rows[0].quality == 10
    assert rows[0].bpp == pytest.approx(rows[0].context_bpp + sum(rows[0].level_bpp))


def test_the_loss_is_rate_and_distortion(model: DctVae, clouds: Tensor) -> None:
    crops = clouds[:3, :, :64, :64].byte()
    torch.manual_seed(4)
    loss, terms = objective(model, crops, crops[:0])
    torch.manual_seed(4)
    lmbda = lmbda_of(draw_quality(3, torch.device("cpu")))
    assert not terms.context_bpp.any()  # the wide crops pay for it
    expected = (terms.bpp + lmbda * terms.mse) / lmbda.sqrt()
    torch.testing.assert_close(loss, balance(expected).mean())


def test_training_sees_what_validation_sees(tiny_model: DctVae, clouds: Tensor) -> None:
    quality = torch.tensor([20.0, 80.0])
    images = clouds[:2, :, :64, :64]
    with torch.no_grad():
        learning, trained = run(tiny_model, images, quality, TrainingQuantizer())
        rounded, counted = run(tiny_model, images, quality, Rounder())
    torch.testing.assert_close(learning, rounded)
    torch.testing.assert_close(trained.bpp, counted.bpp)
    mse = (rounded.clamp(0, 255) - images).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(counted.mse, mse)


def test_beyond_white_and_black_nothing_is_wrong_and_nothing_pulls() -> None:
    decoded = torch.tensor([300.0, -20.0, 100.0, 260.0], requires_grad=True)
    errors = clamp_straight_through(decoded) - torch.tensor([255.0, 0.0, 90.0, 250.0])
    assert errors.tolist() == [0, 0, 10, 5]
    errors.square().sum().backward()
    assert decoded.grad is not None
    assert decoded.grad.tolist() == [0, 0, 20, 10]

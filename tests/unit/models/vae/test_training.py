from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hvae_codec.codec.errors import ConfigError, WeightsError
from hvae_codec.models.vae import Hvae
from hvae_codec.models.vae.objectives import (
    TrainConfig,
    kl_weight,
    log_mean_exp,
    objective,
    rate_at,
)
from hvae_codec.models.vae.training import NOISE, Trainer, seed_of, train


class Bars:
    """A source of training images."""

    def __init__(self, x: Tensor):
        self.x = x

    def batch(self, step: int, count: int, seed: int) -> Tensor:
        chosen = torch.randint(len(self.x), (count,), generator=torch.Generator().manual_seed(step))
        return self.x[chosen]


def new(small, x: Tensor, config: TrainConfig, **changes: object) -> Trainer:  # noqa: ANN001
    torch.manual_seed(config.seed)
    model = Hvae(small(**changes))
    model.fit(lambda: [x])
    return Trainer(model, config, Bars(x))


FAST = TrainConfig(steps=200, batch=16, rate=1e-2, last_rate=1e-3, warmup=5)


def test_the_bound_improves(small, bars: Tensor) -> None:  # noqa: ANN001
    trainer = new(small, bars, FAST)
    with torch.no_grad():
        before = trainer.model.terms(bars).elbo.mean()
    assert train(trainer)
    with torch.no_grad():
        after = trainer.model.terms(bars).elbo.mean()
    assert after > before + 25  # from the means of the pixels on
    assert not trainer.model.training


@pytest.mark.parametrize("changes", [{}, {"context": "dct", "prior": "diffusion"}])
def test_a_stopped_run_goes_on_as_if_it_had_not(
    small,  # noqa: ANN001
    bars: Tensor,
    tmp_path: Path,
    changes: dict,
) -> None:
    config = TrainConfig(steps=6, batch=4)
    whole = new(small, bars, config, **changes)
    train(whole)
    path = tmp_path / "run.pt"
    first = new(small, bars, config, **changes)
    assert not train(first, path, deadline=lambda: first.progress.step >= 3)
    second = new(small, bars, config, **changes)
    assert train(second, path)
    for a, b in zip(whole.model.state_dict().values(), second.model.state_dict().values(),
                    strict=True):  # fmt: skip
        assert torch.equal(a, b)
    assert [r["loss"] for r in second.progress.history] == [
        r["loss"] for r in whole.progress.history
    ]


def test_a_checkpoint_of_another_run_is_refused(small, bars: Tensor, tmp_path: Path) -> None:  # noqa: ANN001
    path = tmp_path / "run.pt"
    new(small, bars, FAST).save(path)
    other = new(small, bars, TrainConfig(steps=7))
    with pytest.raises(WeightsError, match=r"run\.pt is a run of another configuration"):
        other.load(path)
    path.write_bytes(b"something else")
    with pytest.raises(WeightsError, match=r"run\.pt is not a checkpoint"):
        other.load(path)


def test_updates_without_a_finite_gradient_are_skipped(small, bars: Tensor) -> None:  # noqa: ANN001
    trainer = new(small, bars, TrainConfig(steps=3, batch=4))
    trainer.source = Bars(torch.full_like(bars, torch.nan))
    before = [p.clone() for p in trainer.model.parameters()]
    train(trainer)
    assert trainer.progress.skipped == 3
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True))


def test_annealing() -> None:
    config = TrainConfig(kl_zero=10, kl_ramp=100)
    assert [kl_weight(s, config) for s in (0, 9, 10, 60, 110, 500)] == [0, 0, 0, 0.5, 1, 1]
    assert kl_weight(0, TrainConfig()) == 1


def test_rates() -> None:
    config = TrainConfig(steps=1000, rate=1.0, last_rate=0.1, warmup=10)
    assert rate_at(0, config) == pytest.approx(0.1)
    assert rate_at(500, config) == pytest.approx(0.55)
    assert rate_at(1000, config) == pytest.approx(0.1)


def test_free_bits_leave_small_kl_alone(serial) -> None:  # noqa: ANN001
    model = Hvae(serial())
    x = torch.rand(8, 1, 4, 4).round()

    def parts(free: float) -> tuple[float, float]:
        torch.manual_seed(0)
        loss, terms = objective(model, x, TrainConfig(free_nats=free), 0)
        return float(loss.detach()), float(terms.elbo.detach().mean())

    loss, elbo = parts(0.0)
    assert loss == pytest.approx(-elbo, rel=1e-5)
    loss, elbo = parts(100.0)  # every layer's KL is below that
    torch.manual_seed(0)
    assert loss == pytest.approx(
        300 - float(model.terms(x).reconstruction.detach().mean()), rel=1e-5
    )


def test_importance_weighted_objective(serial) -> None:  # noqa: ANN001
    """Its value for K samples is between the bound and log p(x), in the mean."""
    model = Hvae(serial())
    x = torch.rand(512, 1, 4, 4).round()
    with torch.no_grad():
        one = objective(model, x, TrainConfig(), 0)[0]
        many = objective(model, x, TrainConfig(samples=20), 0)[0]
    assert many < one - 0.1
    assert log_mean_exp(torch.tensor([[0.0, 0.0]])).item() == 0


def test_a_diffusion_prior_has_no_importance_weights(small, bars: Tensor) -> None:  # noqa: ANN001
    model = Hvae(small(context="dct", prior="diffusion"))
    with pytest.raises(ConfigError, match="of which IWAE is none"):
        objective(model, bars, TrainConfig(samples=2), 0)


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_noise_is_not_what_binarised_the_images(seed: int) -> None:
    """Of the seed PyTorch's generator takes 32 bits."""
    for step in (0, 599):
        of_images = seed_of(seed, step)
        drawn = [
            torch.rand(300, generator=torch.Generator().manual_seed(number))
            for number in (of_images, NOISE + of_images)
        ]
        assert not np.isin(drawn[1].numpy(), drawn[0].numpy()).mean() > 0.01


def test_two_seeds_share_no_batch_however_long_they_train() -> None:
    steps = [0, 1, 199_996, 199_997, 1_000_002, 1_000_003, 1_199_999]
    assert len({seed_of(seed, step) for seed in range(4) for step in steps}) == 4 * len(steps)
    assert seed_of(0, 1_200_000) != seed_of(1, 1_200_000 - 1_000_003)


def test_an_mlp_starts_at_the_mean_of_each_pixel(serial) -> None:  # noqa: ANN001
    """Else it spends thousands of steps on the means, with the units of all layers asleep."""
    model = Hvae(serial())
    x = (torch.rand(500, 1, 4, 4) < torch.linspace(0, 1, 16).view(4, 4)).float()
    model.fit(lambda: [x[:200], x[200:]])
    with torch.no_grad():
        start = model.likelihood.mean(torch.zeros(1, 8))
    assert torch.allclose(start[0], x.mean(0).clamp(0.001, 0.999), atol=1e-6)


def test_a_convolution_starts_at_the_mean_of_all_pixels(small, bars: Tensor) -> None:  # noqa: ANN001
    """Else half of the models that sum their latents never woke on OMNIGLOT and MNIST."""
    model = Hvae(small())
    model.fit(lambda: [bars[:20], bars[20:]])
    with torch.no_grad():
        start = model.likelihood.mean(torch.zeros(1, 8, 16, 16))
    assert torch.allclose(start, bars.mean(), atol=1e-6)


def test_signals_pass_all_layers_of_a_deep_mlp(serial) -> None:  # noqa: ANN001
    """Means of q(z_4 | ...) still differ between images; from PyTorch's start by 0.0005."""
    config = serial(image=(1, 28, 28), units=(40,) * 4, mlp_hidden=(200,) * 4)
    hierarchy = Hvae(config).hierarchy
    below, spread = (torch.rand(200, 1, 28, 28) < 0.15).float(), []
    with torch.no_grad():
        for network in hierarchy.posteriors:  # type: ignore[union-attr]
            below = network([below]).mean
            spread.append(float(below.std(0).mean()))
    assert spread[-1] > 0.05

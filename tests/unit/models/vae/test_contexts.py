import pytest
import torch
from scipy.fft import dctn
from torch import Tensor

from hvae_codec.models.networks.dct import dct_matrix
from hvae_codec.models.vae.contexts import Context, Dct


def test_the_matrix_is_the_orthonormal_dct() -> None:
    matrix = dct_matrix(8)
    assert torch.allclose(matrix @ matrix.T, torch.eye(8), atol=1e-6)
    x = torch.randn(8, 8)
    expected = torch.from_numpy(dctn(x.numpy(), norm="ortho"))
    assert torch.allclose(matrix @ x @ matrix.T, expected, atol=1e-5)


def test_all_frequencies_give_the_image_back(bars: Tensor) -> None:
    full = Dct(1, 16, 16)
    full.fit([bars[:20], bars[20:]])
    assert torch.allclose(full.decode(full.encode(bars)), bars, atol=1e-5)


def test_s_brings_the_training_set_to_one(bars: Tensor) -> None:
    dct = Dct(1, 16, 4)
    dct.fit([bars[:20], bars[20:]])
    largest = dct.encode(bars).abs().amax(0)
    assert torch.allclose(largest, torch.ones_like(largest), atol=1e-5)


def test_what_is_cropped_is_the_error(bars: Tensor) -> None:
    """Parseval: the squared error is the energy of the frequencies that were left out."""
    kept, full = Dct(1, 16, 5), Dct(1, 16, 16)
    error = (kept.decode(kept.encode(bars)) - bars).square().sum()
    energy = full.coefficients(bars).square()
    assert error.item() == pytest.approx((energy.sum() - energy[:, :, :5, :5].sum()).item(), 1e-4)


def test_the_lattice(small, bars: Tensor) -> None:  # noqa: ANN001
    context = Context(small(context="dct", context_code="lattice", context_bits=2))
    context.fit([bars])
    u, log_q = context.posterior(bars).draw()
    assert set(u.unique().tolist()) <= {-1.0, -0.5, 0.0, 0.5, 1.0}
    assert not log_q.any()
    exact = context.transform.encode(bars)
    assert (u - exact).abs().max() <= 0.25 + 1e-6


@pytest.mark.parametrize("kind", ["dct", "downsample", "linear"])
def test_noise_is_learned(small, bars: Tensor, kind: str) -> None:  # noqa: ANN001
    context = Context(small(context=kind))
    context.fit([bars])
    q = context.posterior(bars)
    assert q.gaussian is not None and q.gaussian.mean.shape == (64, 1, 4, 4)
    q.draw()[1].sum().backward()
    assert context.log_variance.grad is not None and context.log_variance.grad.abs().min() > 0
    assert context.picture(q.gaussian.mean).shape == bars.shape


def test_a_smaller_image_and_back(small) -> None:  # noqa: ANN001
    context = Context(small(context="downsample"))
    flat = torch.full((2, 1, 16, 16), 0.7)
    mean = context.posterior(flat).mean
    assert torch.allclose(mean, torch.full_like(mean, 0.4))  # 2 * 0.7 - 1
    assert torch.allclose(context.picture(mean), flat)

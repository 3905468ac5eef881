import numpy as np
import pytest
import torch
from scipy.fft import dctn

from hvae_codec.codec.config import ModelConfig
from hvae_codec.codec.symbols.frequencies import context_order, latent_order
from hvae_codec.models.networks.dct import (
    ContextDct,
    block_dct_weight,
    dct_matrix,
    to_rgb,
    to_ycbcr,
)

CONFIG = ModelConfig()


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)) * 255


def scipys_dct(pixels: torch.Tensor) -> np.ndarray:
    return np.asarray(dctn(pixels.double().numpy(), norm="ortho"))


@pytest.mark.parametrize("size", [1, 4, 8, 32])
def test_the_matrix_is_orthonormal(size: int) -> None:
    matrix = dct_matrix(size).double()
    torch.testing.assert_close(
        matrix @ matrix.T, torch.eye(size, dtype=torch.float64), atol=1e-6, rtol=0
    )


def test_analysis_is_scipys_dct_of_each_patch() -> None:
    image = noise(2, 3, 64, 96)
    coefficients = ContextDct(CONFIG).analyse(image)
    assert coefficients.shape == (2, CONFIG.context_channels, 2, 3)
    for channel, (plane, i, j) in enumerate(context_order(CONFIG)):
        for row, column in np.ndindex(2, 3):
            patch = image[1, plane, 32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
            expected = scipys_dct(patch)[i, j]
            # float32 sums of 1024 pixels of 255
            assert coefficients[1, channel, row, column] == pytest.approx(expected, abs=0.02)


def test_synthesis_undoes_analysis_on_low_frequencies() -> None:
    dct = ContextDct(CONFIG)
    coefficients = noise(2, CONFIG.context_channels, 3, 2) - 128
    image = dct.synthesise(coefficients)
    assert image.shape == (2, 3, 96, 64)
    torch.testing.assert_close(dct.analyse(image), coefficients, atol=1e-3, rtol=0)


def test_the_order_goes_from_coarse_to_fine() -> None:
    order = context_order(CONFIG)
    assert order[:3] == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]
    assert len(set(order)) == CONFIG.context_channels == 68
    frequencies = [i * i + j * j for _, i, j in order]
    assert frequencies == sorted(frequencies)


def test_latents_keep_nearly_all_of_luma() -> None:
    order = latent_order(CONFIG.latent_channels)
    luma = {(i, j) for plane, i, j in order if plane == 0}
    assert set(np.ndindex(8, 8)) - luma == {(6, 7), (7, 6), (7, 7)}
    assert len(set(order)) == 140
    rows = block_dct_weight(140)
    torch.testing.assert_close(rows @ rows.T, torch.eye(140), atol=1e-5, rtol=0)


def test_block_weights_are_scipys_dct() -> None:
    block = noise(3, 8, 8)
    coefficients = block_dct_weight(30) @ block.flatten()
    for value, (plane, i, j) in zip(coefficients, latent_order(30), strict=True):
        expected = scipys_dct(block[plane])[i, j]
        assert float(value) == pytest.approx(expected, abs=1e-2)


def test_colour_there_and_back() -> None:
    rgb = noise(1, 3, 8, 8)
    torch.testing.assert_close(to_rgb(to_ycbcr(rgb)), rgb, atol=1e-3, rtol=0)


def test_grey_has_no_chroma() -> None:
    grey = torch.full((1, 3, 2, 2), 200.0)
    luma, *chroma = to_ycbcr(grey)[0]
    torch.testing.assert_close(luma, torch.full((2, 2), 72.0), atol=1e-4, rtol=0)
    assert all(plane.abs().max() < 1e-3 for plane in chroma)

import pytest
import torch
import torch.nn.functional as F

from hvae_codec.models.dct import ContextDct
from hvae_codec.models.dct_vae import DctVae


@pytest.mark.parametrize("size", [(1, 1), (2, 3)])
def test_the_first_filters_see_the_context_as_blocks_of_its_image(
    tiny_model: DctVae, size: tuple[int, int]
) -> None:
    config, stem = tiny_model.config, tiny_model.synthesis.stem
    generator = torch.Generator().manual_seed(0)
    context = torch.randn(2, config.context_channels, *size, generator=generator)
    height, width = (4 * side for side in size)
    latents = torch.randn(2, config.latent_channels, height, width, generator=generator)
    blocks = F.pixel_unshuffle(ContextDct(config).synthesise(context), 8)
    with torch.no_grad():
        expected = stem(torch.cat([latents, blocks], dim=1))
        assert torch.allclose(tiny_model.synthesis._stem(context, latents), expected, atol=1e-5)

"""How much of an image the first m variables hold (DCT-VAE, eq. 8; DVP-VAE, fig. 4)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .coders import First, Generation, Inference
from .model import Hvae

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the five scales (Wang 2003)."""

WINDOW, DEVIATION = 11, 1.5


@torch.no_grad()
def from_first(model: Hvae, x: Tensor, count: int, temperature: float = 1.0) -> Tensor:
    """Rebuild x (B, C, H, W) from the variables of the first `count` layers.

    Args:
        model: the model, in evaluation mode.
        x: images in [0, 1].
        count: layers below this number come from q. With a context 1 is the context alone.
            Without one layer 0 does not exist, and 2 is z_L alone.
        temperature: of the rest, which are drawn from p.

    Returns:
        Means of p(x | z), (B, C, H, W).
    """
    coder = First(count, Inference(), Generation(temperature))
    walked = model.infer(coder, x)
    return model.likelihood.mean(walked.features)


def ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    """Return MS-SSIM of each pair, (B,), for small images as the public code of DCT-VAE has it.

    Five scales by means of 2x2 pixels, and a Gaussian window of at most 11 pixels that shrinks
    with the image.

    Args:
        x: (B, C, H, W) in [0, 1], H = W >= 16.
        y: the same.

    Raises:
        ValueError: an image is too small for five scales.
    """
    if x.shape[-1] < 2 ** (len(WEIGHTS) - 1):
        raise ValueError(f"{x.shape[-1]} pixels are too few for {len(WEIGHTS)} scales")
    value = x.new_ones(x.shape[:2])
    for level, weight in enumerate(WEIGHTS):
        if level:
            x, y = functional.avg_pool2d(x, 2), functional.avg_pool2d(y, 2)
        luminance, contrast = _similarity(x, y)
        factor = contrast * luminance if level == len(WEIGHTS) - 1 else contrast
        value = value * factor.mean(dim=(2, 3)).clamp(min=0) ** weight
    return value.mean(1)


def _similarity(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the luminance and the contrast-structure terms of SSIM at each pixel."""
    channels, side = x.shape[1], min(WINDOW, x.shape[-1])
    place = torch.arange(side).to(x) - (side - 1) / 2
    line = torch.exp(-0.5 * (place / DEVIATION).square())
    line = line / line.sum()
    window = (line[:, None] * line[None]).expand(channels, 1, side, side)

    def local(z: Tensor) -> Tensor:
        return functional.conv2d(z, window, groups=channels)

    c1, c2 = 0.01**2, 0.03**2
    mx, my = local(x), local(y)
    vx, vy = local(x * x) - mx * mx, local(y * y) - my * my
    covariance = local(x * y) - mx * my
    luminance = (2 * mx * my + c1) / (mx * mx + my * my + c1)
    return luminance, (2 * covariance + c2) / (vx + vy + c2)

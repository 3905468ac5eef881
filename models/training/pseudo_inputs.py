"""Noisy pseudo-inputs: the Gaussian diffusion trained as a generative model (DVP-VAE, eq. 9).

A diffusion of real numbers cannot be fitted to exact ones: its density would grow without bounds.
So DVP-VAE samples pseudo-inputs u = f(x) + sigma eps with a learned sigma. Here f are the context's
coefficients in steps, not rounded. What sigma gains in rate it loses in distortion; at the codec's
lambda a squared error of one step^2 costs gain^2 6 / ln 2 bits, where gain is the channel's step
against `quality.step_of`. So under a prior that is flat within a step sigma ends at
1 / (gain sqrt(12)): where gain is 1, at the noise of rounding. The codec codes what is rounded.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ...codec.config import PATCH_PX
from ...codec.quality.curve import CURVATURE
from ..integer.norms import Norm
from ..priors.gaussian_diffusion import GaussianDiffusion

SIGMA_START = 0.5
_LOG_SIGMA_MIN = -10.0  # DVP-VAE, table 7


class PseudoInputs(nn.Module):
    """sigma of each channel of the context, in steps."""

    gain: Tensor

    def __init__(self, gain: Tensor):
        """Begin, for steps of a gain (C,)."""
        super().__init__()
        self.register_buffer("gain", gain)
        self.log_sigma = nn.Parameter(torch.full(gain.shape, math.log(SIGMA_START)))

    def sigma(self) -> Tensor:
        """(C,) in steps."""
        return self.log_sigma.clamp_min(_LOG_SIGMA_MIN).exp()

    def bpp(
        self, prior: GaussianDiffusion, coefficients: Tensor, quality: Tensor, norm: Norm
    ) -> Tensor:
        """Return KL(r(u | x) || p(u)) and the distortion of u in bits, to be minimised together.

        Args:
            prior: a float one.
            coefficients: f(x), (B, C, h, w) real numbers, in steps.
            quality: (B,).
            norm: a `FloatNorm`.

        Returns:
            (B,) bits a pixel.
        """
        sigma = self.sigma()
        u = coefficients + sigma[:, None, None] * torch.randn_like(coefficients)
        known = torch.log2(sigma * math.sqrt(2 * math.pi * math.e))  # entropy of r(u | x)
        distortion = (self.gain * sigma).square() * CURVATURE
        patches = coefficients.shape[2] * coefficients.shape[3]
        cross = prior.bits(u, quality, norm, continuous=True).sum(dim=0)
        return (cross / patches + (distortion - known).sum()) / PATCH_PX**2

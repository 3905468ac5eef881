"""The top-down hierarchical VAE (Sønderby 2016; Child 2021; DVP-VAE, sec. 4).

    x -- bottom-up --> features of each scale       q(z_l | z_>l, x) sees them
                              |
    u, start --> block L --> ... --> block 1 --> z_L ... z_1, h_1

Each block gives the prior p(z_l | z_>l, u) from the features h above, the posterior from h and
the features of the image, and the features below from h and z_l. Prior and posterior share h.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..distributions import Normal
from .blocks import ResBlock, gaussian_of, resize
from .coders import Distribution, GaussianPosterior, LayerCoder, Posterior, unknown_posterior
from .config import VaeConfig

Features = dict[int, Tensor]
"""Features of the image by their side, (B, width, side, side)."""


class BottomUp(nn.Module):
    """Residual blocks for each scale, from the image upwards (DVP-VAE, sec. 4.1)."""

    def __init__(self, config: VaeConfig):
        super().__init__()
        width = config.width
        self.stem = nn.Conv2d(config.image[0], width, 3, padding=1)
        self.sides = [side for side, _ in config.scales]
        damping = (config.blocks * len(self.sides)) ** -0.5
        self.scales = nn.ModuleList(
            nn.Sequential(
                *(ResBlock(width, config.hidden, damping=damping) for _ in range(config.blocks))
            )
            for _ in self.sides
        )

    def forward(self, x: Tensor) -> Features:
        """X (B, C, H, W) in [0, 1] -> features of each scale."""
        h, features = self.stem(2 * x - 1), {}
        for side, blocks in zip(self.sides, self.scales, strict=True):
            h = blocks(resize(h, side))
            features[side] = h
        return features


class TopDown(nn.Module):
    """One stochastic layer (DVP-VAE, fig. 2b)."""

    def __init__(self, config: VaeConfig, side: int):
        super().__init__()
        width, hidden, latent = config.width, config.hidden, config.latent_channels
        self.side, self.latent = side, latent
        seen = 0 if config.context == "none" else config.image[0]
        damping = config.layers**-0.5
        self.prior_block = ResBlock(width + seen, hidden, out=2 * latent + width)
        self.posterior_block = ResBlock(width, hidden, out=2 * latent)
        self.embed = nn.Conv2d(latent, width, 1)
        self.after_block = ResBlock(width, hidden, damping=damping)
        nn.init.zeros_(self.prior_block.last.weight)
        nn.init.zeros_(self.posterior_block.last.weight)

    def prior(self, h: Tensor, picture: Tensor | None) -> tuple[Normal, Tensor]:
        """Return p(z_l | z_>l, u), and what the prior's block adds to h, (B, width, h, w)."""
        joined = h if picture is None else torch.cat([h, resize(picture, self.side)], dim=1)
        raw = self.prior_block(joined)
        return gaussian_of(raw[:, : 2 * self.latent]), raw[:, 2 * self.latent :]

    def posterior(self, h: Tensor, features: Tensor) -> Normal:
        """Return q(z_l | z_>l, x), which sees (h_enc + h_dec) / sqrt(2)."""
        return gaussian_of(self.posterior_block((h + features) / 2**0.5))

    def after(self, h: Tensor, added: Tensor, z: Tensor) -> Tensor:
        """Return the features below, (B, width, h, w)."""
        return self.after_block(h + added + self.embed(z))


class Ladder(nn.Module):
    """All stochastic layers, and the bottom-up path."""

    def __init__(self, config: VaeConfig):
        super().__init__()
        self.bottom_up = BottomUp(config)
        self.layers = nn.ModuleList(TopDown(config, side) for side in reversed(config.sides))
        side = config.sides[-1]
        self.start = nn.Parameter(torch.zeros(1, config.width, side, side))

    def encode(self, x: Tensor) -> Features:
        """X (B, C, H, W) in [0, 1] -> what the posteriors need."""
        return self.bottom_up(x)

    def encode_top(self, x: Tensor) -> Normal:
        """Return q(z_L | x), for a VampPrior."""
        top = self.layers[0]
        assert isinstance(top, TopDown)
        h = self.start.expand(x.shape[0], -1, -1, -1)
        return top.posterior(h, self.bottom_up(x)[top.side])

    def walk(
        self,
        coder: LayerCoder,
        features: Features | None,
        batch: int,
        top: Distribution | None,
        picture: Tensor | None,
    ) -> tuple[list[Tensor], Tensor]:
        """Visit z_L ... z_1.

        Args:
            coder: decides each z.
            features: of the image; None where none is known.
            batch: B.
            top: p(z_L); None where a context gives it.
            picture: the context as a picture, (B, C, D, D).

        Returns:
            z_L ... z_1, and the features h_1, (B, width, side, side).
        """
        h, latents = self.start.expand(batch, -1, -1, -1), []
        for number, layer in enumerate(self.layers, start=1):
            assert isinstance(layer, TopDown)
            h = resize(h, layer.side)
            own, added = layer.prior(h, picture)
            prior = own if number > 1 or top is None else top
            z = coder.code(number, prior, _ask(layer, h, features))
            h = layer.after(h, added, z)
            latents.append(z)
        return latents, h


def _ask(layer: TopDown, h: Tensor, features: Features | None) -> Callable[[], Posterior]:
    if features is None:
        return unknown_posterior
    return lambda: GaussianPosterior(layer.posterior(h, features[layer.side]))

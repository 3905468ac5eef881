"""This codec in the shape of CompressAI's models, so that CompressAI's tools can judge it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..bitstream import ArgumentError
from ..codec import api
from ..codec.encoder import batches
from ..codec.images import to_pixels
from ..codec.networks.weights import load_codec
from ..codec.numbers import quality_of
from ..codec.options import DEFAULT_QUALITY
from ..codec.quality.curve import MAX_QUALITY
from ..codec.tiles.conditions import CodingConditions
from ..codec.tiles.tile_encoder import encode_tiles
from ..codec.tiles.tiling import default_tile_side, tiles_in


class CompressaiAdapter(nn.Module):
    """One quality of this codec with the methods of `compressai.models.CompressionModel`.

    It is tuned for PSNR, and codes all images by the networks (content photo), which alone have
    likelihoods. Images are float (B, 3, H, W) in [0, 1], of any size; inside, they are
    rounded to 8 bits. Nothing is differentiable: this is for evaluation, on the CPU, by whatever
    `codec.networks.runtime` has there.

    >>> from compressai.utils.eval_model.__main__ import inference
    >>> inference(CompressaiAdapter(quality=60), x)  # x: (3, H, W)
    """

    def __init__(self, quality: int = DEFAULT_QUALITY):
        """Make one quality.

        Raises:
            ArgumentError: it is no whole number within 0...99; 100 means lossless and has no
                likelihoods.
        """
        super().__init__()
        quality = quality_of(quality)
        if quality == MAX_QUALITY:
            raise ArgumentError(f"quality {quality} is lossless: it has no likelihoods")
        self.quality = quality
        self.codec = load_codec(tune="psnr")
        # CompressAI asks a module's parameters where it lives
        self.place = nn.Parameter(torch.zeros(()), requires_grad=False)

    def forward(self, x: Tensor) -> dict[str, Any]:
        """Encode and decode, and say how likely each symbol was under the frozen tables.

        Returns:
            `x_hat` (B, 3, H, W) in [0, 1], and `likelihoods` of "context" and "latents", float64
            (n,) over all images: -log2 of them sums to the bits of the symbols, which are those
            of the files but for headers, checks and what ANS rounds.
        """
        out = self.compress(x)
        likelihoods = [self._likelihoods(image) for image in _to_uint8(x)]
        names = ("context", "latents")
        return {
            "x_hat": self.decompress(out["strings"], out["shape"])["x_hat"],
            "likelihoods": {
                name: torch.from_numpy(np.concatenate(parts))
                for name, parts in zip(names, zip(*likelihoods, strict=True), strict=True)
            },
        }

    def compress(self, x: Tensor) -> dict[str, Any]:
        """Encode each image into a whole file.

        Returns:
            `strings`, one list with a file an image, and `shape`, (H, W), which the files hold too.

        Raises:
            ArgumentError: `x` is not (B, 3, H, W).
        """
        options: dict[str, Any] = {"tune": "psnr", "content": "photo"}
        files = [api.encode(image, self.quality, **options) for image in _to_uint8(x)]
        return {"strings": [files], "shape": tuple(x.shape[-2:])}

    def decompress(
        self, strings: Sequence[Sequence[bytes]], shape: Sequence[int]
    ) -> dict[str, Any]:
        """Decode what `compress` gave: `x_hat` (B, 3, H, W) in [0, 1].

        Raises:
            BitstreamError: a file is damaged.
            ArgumentError: `shape` is not that of the images.
        """
        images = [np.asarray(api.decode(file).convert("RGB")) for file in strings[0]]
        x_hat = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
        if tuple(x_hat.shape[-2:]) != tuple(shape):
            raise ArgumentError(f"images have {tuple(x_hat.shape[-2:])}, not {tuple(shape)}")
        return {"x_hat": x_hat}

    def update(self, *arguments: object, **options: object) -> bool:
        """Do nothing: the tables are frozen in the weight file."""
        return False

    def _likelihoods(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pixels, tables = to_pixels(image), self.codec.tables.pmfs
        height, width = image.shape[:2]
        conditions = CodingConditions(self.codec.config, self.quality, is_grey=False)
        kinds: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        tiles = tiles_in(height, width, default_tile_side(height, width))
        for batch in batches(tiles, self.codec.runtime.tiles_at_once):
            windows = [window for _, window in batch]
            for symbols in encode_tiles(self.codec, pixels, windows, conditions):
                latents = [pair for level in symbols.latents for pair in level]
                for kind, pairs in zip(kinds, (symbols.context_pairs, latents), strict=True):
                    kind += [np.exp2(-tables.bits(index, values)) for index, values in pairs]
        return np.concatenate(kinds[0]), np.concatenate(kinds[1])


def _to_uint8(x: Tensor) -> list[np.ndarray]:
    """Round images (B, 3, H, W) in [0, 1] to (H, W, 3) uint8.

    Raises:
        ArgumentError: they have another shape.
    """
    if x.ndim != 4 or x.shape[1] != 3:
        raise ArgumentError(f"images have shape {tuple(x.shape)}, not (B, 3, H, W)")
    rounded = x.detach().mul(255).clamp(0, 255).round().to(torch.uint8)
    return [image.permute(1, 2, 0).contiguous().cpu().numpy() for image in rounded]

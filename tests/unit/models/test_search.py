"""What effort buys, and that it changes nothing but the symbols."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from hvae_codec.bitstream import ArgumentError
from hvae_codec.codec import api
from hvae_codec.codec.encoder import encode_pixels
from hvae_codec.codec.images import Pixels
from hvae_codec.codec.networks.weights import Codec
from hvae_codec.codec.options import EncodeOptions
from hvae_codec.codec.quality.curve import lmbda_of
from hvae_codec.codec.tiles.conditions import CodingConditions
from hvae_codec.codec.tiles.tile_encoder import encode_tiles
from hvae_codec.codec.tiles.tiling import patch_grid

pytestmark = pytest.mark.usefixtures("tiny_in_use")


def loss(data: bytes, pixels: np.ndarray, quality: int) -> float:
    """Bits of the file and lambda times the squared error of what it decodes to."""
    decoded = api.decode_parts(data).pixels.reshape(pixels.shape).astype(np.float64)
    squares = np.square(decoded - pixels)
    error = squares.sum() if pixels.ndim == 2 else squares.mean(axis=2).sum()
    return 8 * len(data) + lmbda_of(quality) * error


@pytest.mark.slow
@pytest.mark.parametrize("quality", [20, 70])
@pytest.mark.parametrize("kind", ["colour", "grey"])
def test_effort_saves_bits_or_error(photograph: np.ndarray, quality: int, kind: str) -> None:
    pixels = photograph[60:160, 180:310]
    pixels = pixels if kind == "colour" else pixels[..., 1].copy()
    losses = []
    for effort in (0, 1, 3):
        data = api.encode(pixels, quality, effort=effort, tune="psnr")
        losses.append(loss(data, pixels, quality))
    assert losses[2] < losses[1] < losses[0]
    assert losses[2] < 0.99 * losses[0]


def test_tiles_are_searched_in_their_surroundings(
    tiny_codec: Codec, photograph: np.ndarray
) -> None:
    pixels = photograph[60:124, 180:276]
    losses = []
    for effort in (0, 1):
        data = encode_pixels(
            tiny_codec, Pixels(pixels), 50, EncodeOptions(tile_px=64, effort=effort, tune="psnr")
        )
        losses.append(loss(data, pixels, 50))
    assert losses[1] < 0.99 * losses[0], losses


@pytest.mark.parametrize("is_grey", [False, True])
def test_the_context_is_searched_as_well(
    tiny_codec: Codec, photograph: np.ndarray, is_grey: bool
) -> None:
    pixels = photograph[60:160, 180:310]
    pixels = Pixels(pixels[..., 1:2].copy() if is_grey else pixels)
    everything = patch_grid(*pixels.size)
    conditions = CodingConditions(tiny_codec.config, 50, is_grey)
    before, after = (
        encode_tiles(tiny_codec, pixels, [everything], conditions, effort)[0].context
        for effort in (0, 2)
    )
    moves = np.abs(after - before)
    assert 0.01 < (moves > 0).mean() < 0.6
    assert moves.max() <= 2
    assert not after[~conditions.context_mask].any()


def test_alpha_and_16_bits_are_searched_as_well(photograph: np.ndarray) -> None:
    pixels = photograph[60:130, 180:250].astype(np.uint16) * 257
    alpha = np.full((70, 70, 1), 65535, np.uint16)
    alpha[:20] = 0
    pixels = np.concatenate([pixels, alpha], axis=2)
    before, after = (api.encode(pixels, 50, effort=effort, tune="psnr") for effort in (0, 1))
    assert before != after
    decoded = api.decode_parts(after).pixels
    assert decoded.dtype == np.uint16
    assert np.array_equal(decoded[..., 3], pixels[..., 3])


@pytest.mark.slow
def test_targets_hold_with_effort(photograph: np.ndarray) -> None:
    pixels = photograph[60:130, 180:250]
    data = api.encode(pixels, max_bytes=2000, effort=1, tune="psnr")
    assert len(data) <= 2000
    quality = api.inspect(data).quality
    assert data == api.encode(pixels, quality, effort=1, tune="psnr")


@pytest.mark.parametrize("effort", [-1, 10])
def test_other_efforts_are_refused(photograph: np.ndarray, effort: int) -> None:
    with pytest.raises(ArgumentError, match=rf"effort {effort} is outside 0\.\.\.9"):
        api.encode(photograph[:9, :9], effort=effort)


def test_effort_is_for_squared_error(photograph: np.ndarray) -> None:
    with pytest.raises(ArgumentError, match="it needs tune psnr"):
        api.encode(photograph[:9, :9], effort=1)


def test_pillow_knows_effort(photograph: np.ndarray) -> None:
    import hvae_codec.pillow  # noqa: F401  (registers)

    pixels, buffer = photograph[60:130, 180:250], io.BytesIO()
    Image.fromarray(pixels).save(buffer, "HVAE", quality=50, effort=1, tune="psnr")
    assert buffer.getvalue() == api.encode(pixels, 50, effort=1, tune="psnr")


def test_a_caller_without_gradients_gets_the_same(photograph: np.ndarray) -> None:
    with torch.inference_mode():
        inside = api.encode(photograph[:40, :40], 50, effort=1, tune="psnr")
    assert inside == api.encode(photograph[:40, :40], 50, effort=1, tune="psnr")


def test_what_is_lossless_needs_no_effort(photograph: np.ndarray) -> None:
    with pytest.raises(ArgumentError, match="quality 100 is lossless"):
        api.encode(photograph[:9, :9], 100, effort=1, tune="psnr")

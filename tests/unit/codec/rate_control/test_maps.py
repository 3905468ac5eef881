"""Quality maps: what encoders make of pictures, and files whose patches differ in quality."""

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from hvae_codec.bitstream import ArgumentError, read_index
from hvae_codec.codec import api
from hvae_codec.codec.config import PATCH_PX
from hvae_codec.codec.decoder import decode_file
from hvae_codec.codec.encoder import encode_pixels
from hvae_codec.codec.images import metadata, to_pixels
from hvae_codec.codec.networks.weights import Codec
from hvae_codec.codec.options import EncodeOptions
from hvae_codec.codec.rate_control import maps
from hvae_codec.codec.rate_control.maps import eye_offsets, fitted, map_offsets, roi_offsets
from hvae_codec.codec.tiles.content import graphic_patches

Files = Any


@pytest.fixture(scope="module")
def offsets() -> np.ndarray:
    return np.array([[9, -6, 0], [3, 3, -12], [0, 6, -3], [12, -9, 0]], np.float32)


@pytest.fixture(scope="module")
def pixels(photograph: np.ndarray) -> np.ndarray:
    return photograph[60:180, 180:270]  # 4x3 patches, not whole ones


def encoded(
    files: Files, pixels: np.ndarray, offsets: np.ndarray, quality: int, tile: int
) -> bytes:
    return encode_pixels(
        files.codec,
        to_pixels(pixels),
        quality,
        EncodeOptions(tile_px=tile * PATCH_PX),
        offsets=offsets,
    )


@pytest.mark.parametrize("tile", [32, 2])
def test_a_file_with_a_map_decodes(
    files: Files, pixels: np.ndarray, offsets: np.ndarray, tile: int
) -> None:
    data = encoded(files, pixels, offsets, 50, tile)
    index = read_index(data)
    assert index.quality_map is not None and np.array_equal(index.quality_map, offsets)
    whole = files.decode(data)
    assert not whole.lost_tiles
    part = files.samples(data, region=(40, 30, 45, 80))
    assert np.abs(part.astype(int) - whole.samples[30:110, 40:85]).max() <= 1
    small = files.samples(data, scale=8).astype(float)
    near = np.asarray(Image.fromarray(pixels).reduce(8)).astype(float)
    assert np.abs(small - near).mean() < 12


def test_a_better_patch_comes_nearer(shipped_files: Files, photograph: np.ndarray) -> None:
    pixels = photograph[:256, 64:320]
    offsets = np.zeros((8, 8), np.float32)
    offsets[:, 4:] = 12
    data = encoded(shipped_files, pixels, offsets, 50, 32)
    plain = shipped_files.encode(pixels, 50)

    def errors(data: bytes) -> np.ndarray:
        error = np.square(shipped_files.samples(data).astype(float) - pixels)
        return np.array([error[:, :112].mean(), error[:, 144:].mean()])

    ratio = errors(data) / errors(plain)
    assert 0.9 < ratio[0] < 1.1
    assert ratio[1] < 0.7  # 12 qualities more are 2.4 times the lambda
    assert len(data) > len(plain)


def test_a_map_that_says_nothing_is_not_written(files: Files, pixels: np.ndarray) -> None:
    plain = files.encode(pixels, 50)
    assert encoded(files, pixels, np.zeros((4, 3), np.float32), 50, 32) == plain


def test_effort_and_grey_work_with_maps(
    files: Files, pixels: np.ndarray, offsets: np.ndarray
) -> None:
    for samples, effort in ((pixels[..., 1], 0), (pixels, 1)):
        picture = to_pixels(samples)
        data = encode_pixels(
            files.codec, picture, 50, EncodeOptions(effort=effort, tune="psnr"), offsets=offsets
        )
        assert not decode_file(files.codec, data, read_index(data)).lost_tiles


def test_patches_stay_where_the_files_model_is_at_home(tiny_codec: Codec) -> None:
    file = tiny_codec.file
    assert file.patch_range_at(50) == (0, 100)  # one model serves all
    found = fitted(np.array([[-80, 3.4], [80, 0]], np.float32), 50, (40, 60))
    assert found is not None and found.tolist() == [[-10, 3], [10, 0]]
    assert fitted(np.full((2, 2), 0.3, np.float32), 50, (0, 100)) is None


def test_the_eye_wants_more_of_smooth_patches_than_of_busy_ones() -> None:
    rng = np.random.default_rng(0)
    samples = np.full((64, 128), 100.0)
    samples += np.linspace(0, 20, 128)  # a sky
    samples[:, 64:] += rng.normal(0, 25, (64, 64))  # leaves
    samples = samples.clip(0, 255).astype(np.uint8)
    offsets = eye_offsets(to_pixels(samples))
    assert offsets.shape == (2, 4)
    assert (offsets[:, :2] > 0).all() and (offsets[:, 2:] < 0).all()
    assert np.array_equal(eye_offsets(to_pixels(samples.astype(np.uint16) * 257)), offsets)


def test_activity_moves_a_patch_by_15_qualities_at_most() -> None:
    noise = np.random.default_rng(0).choice([0, 255], (128, 256)).astype(np.uint8)
    flat = np.full_like(noise, 128)
    for usual, other, offset in ((flat, noise, -15), (noise, flat, 15)):
        picture = usual.copy()
        picture[32:64, 64:96] = other[32:64, 64:96]
        offsets = eye_offsets(to_pixels(picture))
        assert offsets[1, 2] == offset
        assert np.count_nonzero(offsets) == 1


def test_neither_graphics_nor_what_is_hidden_change_a_photograph(photograph: np.ndarray) -> None:
    """What stands beside a photograph has no say in how it is coded."""
    photo = photograph[:128, 200:328]
    alone = eye_offsets(to_pixels(photo))
    assert alone.any()
    page = np.full_like(photo, 255)
    page[::3, ::2] = 0
    both = to_pixels(np.concatenate([photo, page], axis=1))
    graphic = graphic_patches(both, 32)
    assert graphic[:, 4:].all() and not graphic[:, :4].any()
    assert np.array_equal(eye_offsets(both, graphic), np.pad(alone, ((0, 0), (0, 4))))
    alpha = np.zeros((128, 256, 1), np.uint8)
    alpha[:, :128] = 255
    for hidden in (np.zeros_like(photo), np.random.default_rng(0).integers(0, 256, photo.shape)):
        colour = np.concatenate([photo, hidden.astype(np.uint8)], axis=1)
        pixels = to_pixels(np.concatenate([colour, alpha], axis=2))
        assert np.array_equal(eye_offsets(pixels), np.pad(alone, ((0, 0), (0, 4))))


def test_the_eye_leaves_a_picture_alone_that_is_the_same_throughout() -> None:
    rng = np.random.default_rng(0)
    for samples in (np.full((70, 50, 3), 80), rng.integers(0, 256, (96, 96, 3))):
        assert not eye_offsets(to_pixels(samples.astype(np.uint8))).any()


def test_a_mask_of_any_size_is_laid_over_the_picture() -> None:
    mask = np.zeros((100, 80), np.uint8)
    mask[:50] = 255
    offsets = roi_offsets(Image.fromarray(mask), (128, 96))
    assert offsets.shape == (4, 3)
    assert (offsets[:2] == 0).all() and (offsets[2:] == -30).all()
    beyond = roi_offsets(Image.fromarray(mask), (130, 96))  # its last row of patches has 2 rows
    assert beyond.shape == (5, 3) and (beyond[-1] == -30).all()


def test_a_map_as_a_picture_comes_back(
    files: Files, pixels: np.ndarray, offsets: np.ndarray, tiny_in_use: object
) -> None:
    data = api.encode(pixels, 50, map=Image.fromarray((offsets + 128).astype(np.uint8)))
    assert data == encoded(files, pixels, offsets, 50, 32)
    drawn = api.quality_map(data)
    assert np.array_equal(map_offsets(drawn, (pixels.shape[0], pixels.shape[1])), offsets)
    assert api.encode(pixels, 50, map=drawn) == data
    assert api.inspect(data).qualities == (38, 62)
    plain = api.encode(pixels, 50, tune="psnr")
    assert set(np.asarray(api.quality_map(plain)).ravel()) == {128}
    assert api.inspect(plain).qualities == (50, 50)


def test_tune_eye_is_a_map(pixels: np.ndarray, tiny_in_use: object) -> None:
    data = api.encode(pixels, 50, tune="eye")
    assert read_index(data).quality_map is not None
    assert data == api.encode(pixels, 50)
    assert data == api.encode(pixels, 50, map=api.quality_map(data))  # in place of its own
    with pytest.raises(ArgumentError, match="tune ear is not one of eye, psnr"):
        api.encode(pixels, tune="ear")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_is_of_the_upright_picture(orientation: int) -> None:
    stored = np.zeros((64, 96, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(stored)
    image.info["exif"] = exif.tobytes()
    shown = ImageOps.exif_transpose(image)
    assert shown is not None
    mask = Image.new("L", (shown.width // 32, shown.height // 32), 0)
    mask.putpixel((0, 0), 255)  # the patch that is seen at the top left
    options = EncodeOptions(50, tune="psnr", roi=mask)
    offsets = maps.wanted_offsets(to_pixels(image), options, 32)
    assert offsets is not None
    upright = metadata.upright(offsets[..., None], orientation)[..., 0]
    assert upright[0, 0] == 0
    assert (upright.ravel()[1:] < -20).all()

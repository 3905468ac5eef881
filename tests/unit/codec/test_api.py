from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hvae_codec
from hvae_codec.bitstream import BitstreamError, ImageTooLarge, read_container, write_container
from hvae_codec.codec import api, check, encoder
from hvae_codec.codec.errors import ImageError, VerificationFailed
from hvae_codec.codec.weights import WEIGHTS_VARIABLE

pytestmark = pytest.mark.usefixtures("tiny_in_use")


@pytest.fixture
def picture(photograph: np.ndarray) -> Image.Image:
    image = Image.fromarray(photograph[:80, 180:280])
    image.info["icc_profile"] = b"p" * 33
    return image


def test_an_image_comes_back_with_its_metadata(picture: Image.Image) -> None:
    decoded = hvae_codec.decode(hvae_codec.encode(picture, quality=90))
    assert (decoded.mode, decoded.size) == ("RGB", picture.size)
    assert decoded.info == {"icc_profile": b"p" * 33}
    difference = np.asarray(decoded).astype(float) - np.asarray(picture)
    assert np.sqrt(np.square(difference).mean()) < 8


def test_grey_comes_back_grey(picture: Image.Image) -> None:
    assert hvae_codec.decode(hvae_codec.encode(picture.convert("L"))).mode == "L"


def test_a_file_tells_what_it_is(
    picture: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "TILE_PATCHES", 2)
    data = hvae_codec.encode(picture, quality=33)
    path = tmp_path / "picture.hvae"
    path.write_bytes(data)
    opened = hvae_codec.open(path)
    info = opened.info
    assert info == api.inspect(data)
    assert (info.width, info.height, info.quality) == (100, 80, 33)
    assert (info.color, info.bit_depth, info.prior) == ("rgb", 8, "masked-diffusion")
    assert (info.tiles, info.tile_px) == (4, 64)
    assert info.weights_known
    assert info.version == 1
    assert info.lmbda == pytest.approx(4e-4 * 10 ** (3 * 0.33), rel=1e-4)
    assert info.file_bytes == len(data)
    assert info.bpp == pytest.approx(len(data) * 8 / 8000)
    assert info.metadata_bytes == 33
    levels = sum(level.bytes for level in info.levels)
    assert levels == sum(4 * tile.words.size for tile in read_container(data).tiles)
    assert [level.name for level in info.levels[:2]] == ["context", "latents 1"]
    assert info.header_bytes + info.metadata_bytes + levels == len(data)
    assert 20 + 4 * 4 < info.header_bytes < 160  # header, checksums, an index of 9 words a tile
    assert np.array_equal(np.asarray(opened.decode()), np.asarray(hvae_codec.decode(data)))


def test_a_file_of_other_weights_can_be_described(picture: Image.Image) -> None:
    container = read_container(hvae_codec.encode(picture))
    header = replace(container.header, weights=b"\1\2\3\4")
    info = api.inspect(write_container(replace(container, header=header)))
    assert not info.weights_known
    assert info.weights == "01020304"


def test_what_is_not_ours_is_refused() -> None:
    for function in (hvae_codec.decode, api.inspect, api.verify):
        with pytest.raises(BitstreamError, match="begins with"):
            function(b"\x89PNG and so on, and so on")


def test_transparent_images_are_refused(picture: Image.Image) -> None:
    picture.putalpha(100)
    with pytest.raises(ImageError, match="transparent"):
        hvae_codec.encode(picture)


@pytest.mark.parametrize("quality", [60.5, "60", None])
def test_a_quality_that_is_no_whole_number_is_refused(
    picture: Image.Image, quality: object
) -> None:
    with pytest.raises((TypeError, ValueError), match="quality"):
        hvae_codec.encode(picture, quality)  # type: ignore[arg-type]


def test_verification_passes_and_says_what_it_saw(picture: Image.Image) -> None:
    data = hvae_codec.encode(picture, verify=True)
    report = api.verify(data)
    assert (report.tiles, report.differing) == (1, 0)
    assert report.symbols > 8000
    assert report.max_pixel_difference is not None
    assert report.max_pixel_difference <= 1


def test_verification_fails_on_a_device_that_computes_otherwise(
    picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(model: object, dtype: object) -> None:
        model.entropy.trunk.stem.bias += 4096  # type: ignore[attr-defined]

    monkeypatch.setattr(check, "carry_in", broken)
    with pytest.raises(VerificationFailed, match="symbols differ"):
        hvae_codec.encode(picture, verify=True)


def test_a_file_can_be_described_without_any_weights(
    tiny_in_use: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = api.encode(np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path / "absent.safetensors"))
    info = api.inspect(data)
    assert not info.weights_known
    assert (info.width, info.height) == (8, 8)


def test_an_image_that_no_decoder_would_take_is_not_encoded(tiny_in_use: Path) -> None:
    large = np.broadcast_to(np.uint8(7), (14_000, 14_000, 3))
    with pytest.raises(ImageTooLarge):
        api.encode(large)

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import hvae_codec
from hvae_codec.bitstream import (
    ArgumentError,
    BitstreamError,
    ImageTooLarge,
    Truncated,
    WrongWeights,
    read_index,
    read_tile,
    write_container,
)
from hvae_codec.codec import api
from hvae_codec.codec.encoder import encode_pixels
from hvae_codec.codec.images import to_pixels
from hvae_codec.codec.networks.weight_paths import WEIGHTS_VARIABLE
from hvae_codec.codec.networks.weights import load_codec
from hvae_codec.codec.options import EncodeOptions
from hvae_codec.codec.symbols.stack import Sampling

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


def test_text_and_resolution_come_back(picture: Image.Image) -> None:
    picture.info |= {"text": {"Author": "me"}, "dpi": (300, 72)}
    kept = api.decode_parts(hvae_codec.encode(picture)).metadata
    assert (kept["text"], kept["dpi"]) == ({"Author": "me"}, (300, 72))
    stripped = api.decode_parts(hvae_codec.encode(picture, strip=True)).metadata
    assert set(stripped) == {"icc_profile", "dpi"}


def test_a_region_carries_no_thumbnail_of_the_whole(picture: Image.Image) -> None:
    thumbnail = b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0\xff\xd8\xff\xe0pixels\xff\xd9"
    data = hvae_codec.encode(picture, metadata={"exif": thumbnail})
    assert hvae_codec.decode(data).info["exif"] == thumbnail
    assert b"pixels" not in hvae_codec.decode(data, region=(0, 0, 40, 40)).info["exif"]
    assert b"pixels" not in hvae_codec.open(data).decode(region=(0, 0, 40, 40)).info["exif"]


def test_an_image_files_path_or_bytes_will_do(picture: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    picture.save(path)
    data = hvae_codec.encode(picture)
    assert hvae_codec.encode(path) == hvae_codec.encode(path.read_bytes()) == data
    with pytest.raises(OSError, match=r"No such file"):
        hvae_codec.encode(tmp_path / "missing.png")


def test_what_is_left_out_is_a_warning(picture: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    picture.save(path, save_all=True, append_images=[picture])
    with pytest.warns(hvae_codec.LeftOut, match="1 more picture") as caught:
        hvae_codec.encode(path, page=2)
    assert caught[0].message.names == ("1 more picture",)  # type: ignore[union-attr]
    assert caught[0].filename == __file__  # the line that called


def test_metadata_of_arrays_and_odd_letters_can_be_given(picture: Image.Image) -> None:
    given = {"dpi": np.array([72, 96]), "xmp": "<x>\ud800</x>"}
    kept = api.decode_parts(hvae_codec.encode(picture, 100, metadata=given)).metadata
    assert kept == {"dpi": (72, 96), "xmp": b"<x>?</x>"}


def test_metadata_can_be_given(picture: Image.Image) -> None:
    given = {"xmp": b"<x/>", "exif": b"Exif\0\0MM\0*"}
    for image in (picture, np.asarray(picture)):
        decoded = api.decode_parts(hvae_codec.encode(image, metadata=given))
        assert decoded.metadata == given
    assert not api.decode_parts(hvae_codec.encode(picture, metadata={})).metadata
    with pytest.raises(ArgumentError, match="metadata icc is not one of icc_profile, exif, xmp"):
        hvae_codec.encode(picture, metadata={"icc": b""})
    for odd in (3, "text", [("xmp", b"")]):
        with pytest.raises(ArgumentError, match=r"metadata is .* not a dict"):
            hvae_codec.encode(picture, 100, metadata=odd)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given",
    [
        {"text": {"Rating": 5}},
        {"text": "Rating"},
        {"exif": 5},
        {"icc_profile": [1, 2]},
        {"dpi": (-1, -1)},
        {"dpi": (72, float("inf"))},
        {"dpi": 72},
        {"dpi": "72 dpi"},
        {"dpi": (72, 10**400)},
        {"exif": np.zeros(3)},
        {"text": np.zeros(3)},
    ],
)
def test_metadata_of_another_kind_is_refused(picture: Image.Image, given: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=f"metadata {next(iter(given))} is "):
        hvae_codec.encode(picture, 100, metadata=given)


@pytest.mark.parametrize("image", [7, [[0, 1]], None])
def test_what_is_no_image_is_refused(image: Any) -> None:  # noqa: ANN401
    with pytest.raises(hvae_codec.ImageError, match="an array or an image file, not "):
        hvae_codec.encode(image)


@pytest.mark.parametrize(
    "options",
    [
        {"roi": "no-such.png"},
        {"map": 7},
        {"device": None},
        {"device": 1},
    ],
)
def test_options_of_wrong_types_are_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises((hvae_codec.HvaeError, OSError), match=next(iter(options)) + "|No such"):
        hvae_codec.encode(np.zeros((4, 4), np.uint8), **options)


@pytest.mark.parametrize(
    "options", [{"region": 5}, {"region": (1, 2)}, {"sampling": 1}, {"device": None}]
)
def test_wrong_types_are_refused_of_decoding_too(options: dict[str, Any]) -> None:
    data = hvae_codec.encode(np.zeros((4, 4), np.uint8), lossless=True)
    with pytest.raises(ValueError, match=next(iter(options))):
        hvae_codec.decode(data, **options)
    with pytest.raises(ValueError, match="open as text"):
        hvae_codec.decode(io.StringIO("x"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="temperature"):
        hvae_codec.Sampling(temperature="a")  # type: ignore[arg-type]


def test_bytes_of_any_kind_are_an_image_file(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(file, "PNG")
    data = hvae_codec.encode(file.getvalue(), lossless=True)
    assert hvae_codec.encode(bytearray(file.getvalue()), lossless=True) == data
    assert hvae_codec.encode(memoryview(file.getvalue()), lossless=True) == data
    if "HVAE" in Image.OPEN:  # the plugin of Pillow would read it
        monkeypatch.setitem(Image.OPEN, "HVAE", (Image.OPEN["HVAE"][0], lambda _: False))
    with pytest.raises(OSError, match="coded already"):
        hvae_codec.encode(data)


def test_the_package_tells_what_it_has() -> None:
    assert {"encode", "decode", "Sampling", "TargetError"} <= set(dir(hvae_codec))
    for name in dir(hvae_codec):
        assert getattr(hvae_codec, name) is not None


def test_grey_comes_back_grey(picture: Image.Image) -> None:
    assert hvae_codec.decode(hvae_codec.encode(picture.convert("L"))).mode == "L"


def test_a_file_tells_what_it_is(picture: Image.Image, tmp_path: Path) -> None:
    data = encode_pixels(load_codec(), to_pixels(picture), 33, EncodeOptions(tile_px=64))
    path = tmp_path / "picture.hvae"
    path.write_bytes(data)
    opened = hvae_codec.open(path)
    info = opened.info
    assert info == api.inspect(data) == api.inspect(io.BytesIO(data))
    assert (info.width, info.height, info.quality) == (100, 80, 33)
    assert (info.color, info.bit_depth, info.prior) == ("rgb", 8, "masked-diffusion")
    assert (info.tiles, info.tile_px) == (4, 64)
    assert info.weights_known
    assert info.version == 2
    assert info.lmbda == pytest.approx(4e-4 * 1500**0.33, rel=1e-4)
    assert info.file_bytes == info.whole_bytes == len(data)
    assert info.bpp == pytest.approx(len(data) * 8 / 8000)
    assert (info.metadata_bytes, info.alpha_bytes) == (33, 0)
    index = read_index(data)
    assert [level.bytes for level in info.levels] == (4 * index.level_words.sum(axis=0)).tolist()
    assert [level.name for level in info.levels[:2]] == ["context", "latents 1"]
    levels = sum(level.bytes for level in info.levels)
    assert info.header_bytes + info.metadata_bytes + levels == len(data)
    # header, checksums, an index of 7 words and 16 bytes of checks a tile
    assert 20 + 4 * 23 < info.header_bytes < 180
    assert np.array_equal(np.asarray(opened.decode()), np.asarray(hvae_codec.decode(data)))
    part = opened.decode(region=(3, 4, 50, 60))
    assert part.size == (50, 60)
    assert opened.decode(scale=8).size == (13, 10)


def test_a_cut_file_can_be_described_and_decoded_in_part(
    picture: Image.Image, tmp_path: Path
) -> None:
    data = hvae_codec.encode(picture)
    cut = data[: read_index(data).spans[0, 6, 0]]
    path = tmp_path / "cut.hvae"
    path.write_bytes(cut)
    opened = hvae_codec.open(path)
    assert (opened.info.file_bytes, opened.info.whole_bytes) == (len(cut), len(data))
    with pytest.raises(Truncated):
        opened.decode()
    with pytest.raises(Truncated):
        api.verify(path)
    three = np.asarray(opened.decode(levels=3))
    left = api.decode_parts(path, keep_going=True)
    assert np.array_equal(np.asarray(left.image), three)
    assert (left.lost_tiles, left.whole_levels) == ((), 3)
    assert left.metadata == {"icc_profile": b"p" * 33}
    small = np.asarray(hvae_codec.decode(data, scale=8))
    assert np.array_equal(np.asarray(opened.decode(scale=8)), small)
    with pytest.raises(Truncated):
        opened.decode(scale=4)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_modes_come_back(picture: Image.Image, mode: str) -> None:
    image = picture.convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image = image.convert("RGB") if mode in ("CMYK", "P") else image
    decoded = hvae_codec.decode(hvae_codec.encode(image.convert(mode)))
    assert decoded.mode == {"1": "L", "P": "RGB", "CMYK": "RGB"}.get(mode, mode)
    if mode.endswith("A"):
        assert decoded.getchannel("A").tobytes() == image.getchannel("A").tobytes()


def test_sixteen_bits_come_back(picture: Image.Image) -> None:
    deep = np.asarray(picture).astype(np.uint16) * 257
    parts = api.decode_parts(api.encode(deep))
    assert parts.pixels.dtype == np.uint16
    assert parts.image.mode == "RGB"
    difference = np.asarray(parts.image).astype(int) - (parts.pixels / 257)
    assert np.abs(difference).max() <= 0.51  # rounded
    assert hvae_codec.decode(hvae_codec.encode(deep[..., 0])).mode == "I;16"


def test_stripped_metadata_is_gone(picture: Image.Image) -> None:
    picture.info["xmp"] = b"<x/>"
    assert set(api.decode(api.encode(picture)).info) == {"icc_profile", "xmp"}
    assert set(api.decode(api.encode(picture, strip=True)).info) == {"icc_profile"}


def test_a_file_of_other_weights_can_be_described(picture: Image.Image) -> None:
    data = hvae_codec.encode(picture, tune="psnr")
    index = read_index(data)
    header = replace(index.header, weights=b"\1\2\3\4")
    other = write_container(header, index.metadata, [read_tile(data, index, 0)])
    info = api.inspect(other)
    assert not info.weights_known
    assert info.weights == "01020304"
    with pytest.raises(WrongWeights):
        api.decode(other)


def test_what_is_not_ours_is_refused() -> None:
    for function in (hvae_codec.decode, api.inspect, api.verify):
        with pytest.raises(BitstreamError, match="begins with"):
            function(b"\x89PNG and so on, and so on")


@pytest.mark.parametrize("quality", [60.5, "60", [60], float("nan"), True, np.True_])
def test_a_quality_that_is_no_whole_number_is_refused(
    picture: Image.Image, quality: object
) -> None:
    with pytest.raises(ArgumentError, match=r"quality .* is not a whole number"):
        hvae_codec.encode(picture, quality)  # type: ignore[arg-type]


def test_no_quality_is_the_usual_one(picture: Image.Image) -> None:
    data = hvae_codec.encode(picture)
    assert data == hvae_codec.encode(picture, None) == hvae_codec.encode(picture, 60.0)  # type: ignore[arg-type]
    assert api.inspect(data).quality == 60


@pytest.mark.parametrize(
    "device", ["gpu", "", "cuda:x", "cpu:0", "CUDA", "cuda:²", "cuda:" + 20 * "9"]
)
def test_a_device_that_is_none_is_refused(picture: Image.Image, device: str) -> None:
    data = hvae_codec.encode(picture.crop((0, 0, 9, 9)))
    calls = (
        lambda: hvae_codec.encode(picture, device=device),
        lambda: hvae_codec.decode(data, device=device),
        lambda: api.sample((1, 1), device=device),
    )
    for call in calls:
        with pytest.raises(ArgumentError, match=f"device {device} is not cpu or cuda"):
            call()


def test_a_prior_that_is_none_is_refused(picture: Image.Image) -> None:
    with pytest.raises(ArgumentError, match="prior flow is not one of masked-diffusion, "):
        hvae_codec.encode(picture, prior="flow")


def test_a_file_can_be_described_without_any_weights(
    tiny_in_use: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = api.encode(np.zeros((8, 8, 3), np.uint8), content="photo")
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path / "absent.safetensors"))
    info = api.inspect(data)
    assert not info.weights_known
    assert (info.width, info.height) == (8, 8)


def test_an_image_that_no_decoder_would_take_is_not_encoded(tiny_in_use: Path) -> None:
    large = np.broadcast_to(np.uint8(7), (14_000, 14_000, 3))
    with pytest.raises(ImageTooLarge):
        api.encode(large)


@pytest.mark.parametrize("scale", ["8", 3, 0, None, 8.5])
def test_a_scale_that_is_none_is_refused_before_the_file_is_read(scale: Any) -> None:  # noqa: ANN401
    with pytest.raises(ArgumentError, match="scale "):
        hvae_codec.decode("no/such.hvae", scale=scale)


@pytest.mark.parametrize("size", [3, (1, 1, 1), ("a", "b"), (1.5, 1)])
def test_a_size_that_is_none_is_refused(size: Any) -> None:  # noqa: ANN401
    with pytest.raises(ArgumentError, match="size"):
        hvae_codec.sample(size)


def test_options_keep_whole_numbers_as_ints() -> None:
    made = EncodeOptions(quality=60.0, effort=np.int64(0), page=2.0, tile_px=np.float32(64))  # type: ignore[arg-type]
    assert made == EncodeOptions(quality=60, page=2, tile_px=64)
    assert {type(value) for value in (made.quality, made.effort, made.page, made.tile_px)} == {int}


def test_whole_numbers_of_any_type_are_numbers(photograph: np.ndarray) -> None:
    data = hvae_codec.encode(photograph[:64, :64], 20, tile_px=32.0)  # type: ignore[arg-type]
    levels: Any = np.float32(2)
    scale: Any = np.int8(1)
    sampling = Sampling(seed=np.uint8(1), temperature=np.float32(0.5))  # type: ignore[arg-type]
    parts = hvae_codec.decode_parts(data, levels=levels, scale=scale, sampling=sampling)
    same = hvae_codec.decode_parts(data, levels=2, sampling=Sampling(1, 0.5))
    assert np.array_equal(parts.pixels, same.pixels)

"""What an image file keeps of what was decoded, as its readers find it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from hvae_codec.cli import images
from hvae_codec.codec.api import Decoded
from hvae_codec.codec.errors import ImageError
from hvae_codec.codec.image import Pixels

DESCRIPTION = 0x010E


def picture(channels: int, metadata: dict[str, bytes] | None = None, deep: bool = False) -> Decoded:
    rows, columns, channel = np.mgrid[:40, :56, :channels]
    samples = 3 * rows + columns + 20 * channel
    pixels = (samples * 200).astype(np.uint16) if deep else samples.astype(np.uint8)
    return Decoded(Pixels(pixels), metadata or {}, (), whole_levels=1)


@pytest.fixture
def metadata() -> dict[str, bytes]:
    exif = Image.Exif()
    exif[DESCRIPTION] = "where I live"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>caf\xc3\xa9</x:xmpmeta>"
    return {"icc_profile": profile.tobytes(), "exif": exif.tobytes(), "xmp": xmp}


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp", ".avif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_metadata_is_kept(
    tmp_path: Path, metadata: dict[str, bytes], suffix: str, channels: int
) -> None:
    path = tmp_path / f"a{suffix}"
    assert images.write_image(str(path), picture(channels, metadata)) == []
    with Image.open(path) as image:
        assert image.getexif()[DESCRIPTION] == "where I live"
        assert image.info["icc_profile"] == metadata["icc_profile"]
        assert image.info["xmp"] == metadata["xmp"]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
@pytest.mark.parametrize("key", ["icc_profile", "exif", "xmp"])
def test_one_item_is_kept_alone(
    tmp_path: Path, metadata: dict[str, bytes], suffix: str, key: str
) -> None:
    path = tmp_path / f"a{suffix}"
    images.write_image(str(path), picture(3, {key: metadata[key]}))
    with Image.open(path) as image:
        found = {name for name in ("icc_profile", "xmp") if image.info.get(name)}
        found |= {"exif"} if DESCRIPTION in image.getexif() else set()
    assert found == {key}


def test_what_exif_says_of_the_cameras_file_does_not_break_a_tiff(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[DESCRIPTION] = "where I live"
    exif[256], exif[257], exif[284] = 4000, 3000, 2  # width, height, planes apart
    decoded = picture(3, {"exif": exif.tobytes()})
    images.write_image(str(tmp_path / "a.tif"), decoded)
    with Image.open(tmp_path / "a.tif") as image:
        assert np.array_equal(np.asarray(image), decoded.pixels)
        assert image.getexif()[DESCRIPTION] == "where I live"


@pytest.mark.parametrize("suffix", [".bmp", ".jp2", ".ppm", ".tga"])
def test_what_is_left_out_is_named(tmp_path: Path, metadata: dict[str, bytes], suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    left_out = images.write_image(str(path), picture(3, metadata))
    assert left_out == ["ICC profile", "EXIF", "XMP"]
    with Image.open(path) as image:
        assert not {"icc_profile", "exif", "xmp"} & set(image.info)
    assert images.write_image(str(path), picture(3)) == []


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jp2", ".tga"])
def test_alpha_is_kept(tmp_path: Path, suffix: str, channels: int) -> None:
    path = tmp_path / f"a{suffix}"
    decoded = picture(channels)
    images.write_image(str(path), decoded)
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image.getchannel("A")), decoded.pixels[..., -1])


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".ppm", ".gif"])
def test_alpha_is_not_dropped(tmp_path: Path, suffix: str, channels: int) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")
    with pytest.raises(ImageError, match="does not hold alpha"):
        images.write_image(str(path), picture(channels))
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jp2", ".pgm"])
def test_grey_of_16_bits_is_kept(tmp_path: Path, suffix: str) -> None:
    path, decoded = tmp_path / f"a{suffix}", picture(1, deep=True)
    images.write_image(str(path), decoded)
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image), decoded.pixels[..., 0])


@pytest.mark.parametrize("suffix", [".webp", ".avif", ".gif", ".jpg", ".bmp"])
def test_grey_of_16_bits_is_not_cut(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with pytest.raises(ImageError, match="does not hold 16 bits a channel; write PNG or TIFF"):
        images.write_image(str(path), picture(1, deep=True))
    assert not path.exists()


@pytest.mark.parametrize(
    ("suffix", "reason"), [(".ico", "icons"), (".icns", "icons"), (".gif", "256 colours")]
)
def test_another_picture_is_not_written(tmp_path: Path, suffix: str, reason: str) -> None:
    path = tmp_path / f"a{suffix}"
    with pytest.raises(ImageError, match=reason):
        images.write_image(str(path), picture(3))
    assert not path.exists()


@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp", ".ppm"])
def test_a_viewer_sees_the_picture_upright(tmp_path: Path, suffix: str, prefix: bytes) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / f"a{suffix}"  # 40 rows of 56, to be turned; a WebP's EXIF has no prefix
    metadata = {"exif": prefix + exif.tobytes().removeprefix(b"Exif\0\0")}
    images.write_image(str(path), picture(3, metadata))
    with Image.open(path) as image:
        assert ImageOps.exif_transpose(image).size == (40, 56)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_colour_of_16_bits_is_seen_upright(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("imagecodecs")
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / f"a{suffix}"
    left_out = images.write_image(str(path), picture(3, {"exif": exif.tobytes()}, deep=True))
    assert left_out == (["EXIF"] if suffix == ".tif" else [])
    with Image.open(path) as image:
        image.load()  # turns a TIFF
        assert ImageOps.exif_transpose(image).size == (40, 56)


def test_damaged_exif_does_not_keep_16_bits_from_a_tiff(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    decoded = picture(3, {"exif": b"nonsense"}, deep=True)
    assert images.write_image(str(tmp_path / "a.tif"), decoded) == ["EXIF"]
    assert (tmp_path / "a.tif").stat().st_size > 0


def test_jpeg_keeps_full_colour_and_quality(tmp_path: Path) -> None:
    images.write_image(str(tmp_path / "a.jpg"), picture(3))
    picture(3).image.save(tmp_path / "b.jpg", quality=95, subsampling=0)
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()

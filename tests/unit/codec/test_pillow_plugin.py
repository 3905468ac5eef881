import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin, UnidentifiedImageError

import hvae_codec.pillow  # noqa: F401  (registers)
from hvae_codec.bitstream import ArgumentError
from hvae_codec.codec import api
from hvae_codec.codec.errors import LeftOut
from hvae_codec.codec.options import EncodeOptions

pytestmark = pytest.mark.usefixtures("tiny_in_use")


@pytest.fixture
def picture(photograph: np.ndarray) -> Image.Image:
    return Image.fromarray(photograph[:300, 100:500])


@pytest.fixture
def path(picture: Image.Image, tmp_path: Path) -> Path:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    picture.info.update(icc_profile=b"a profile", exif=exif.tobytes(), xmp=b"<x:xmpmeta/>")
    path = tmp_path / "x.hvae"
    picture.save(path)
    return path


def test_what_is_saved_is_what_the_codec_encodes(picture: Image.Image, path: Path) -> None:
    assert path.read_bytes() == api.encode(picture, 60)
    with Image.open(path) as image:
        assert (image.format, image.size, image.mode) == ("HVAE", (400, 300), "RGB")
        assert image.get_format_mimetype() == "image/x-hvae"
        assert image.info == picture.info
        assert image.getexif()[0x010E] == "a description"
        assert np.array_equal(np.asarray(image), np.asarray(api.decode(path)))


def test_opening_loads_no_network(path: Path) -> None:
    program = (
        "import sys, hvae_codec.pillow; from PIL import Image\n"
        f"image = Image.open({str(path)!r})\n"
        "print(image.size, {'torch', 'onnxruntime'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "(400, 300) set()\n", done.stderr


@pytest.mark.parametrize(
    ("shape", "dtype", "mode"),
    [
        ((), np.uint8, "L"),
        ((), np.uint16, "I;16"),
        ((2,), np.uint8, "LA"),
        ((3,), np.uint8, "RGB"),
        ((4,), np.uint8, "RGBA"),
        ((3,), np.uint16, "RGB"),
        ((4,), np.uint16, "RGBA"),
    ],
)
def test_the_mode_is_known_before_the_pixels(
    shape: tuple[int, ...], dtype: type, mode: str, tmp_path: Path
) -> None:
    ramp = np.linspace(0, np.iinfo(dtype).max, 40 * 50).reshape(40, 50).astype(dtype)
    samples = np.broadcast_to(ramp.reshape(40, 50, *(1 for _ in shape)), (40, 50, *shape))
    path = tmp_path / "x.hvae"
    path.write_bytes(api.encode(np.ascontiguousarray(samples)))
    with Image.open(path) as image:
        assert (image.mode, image.size) == (mode, (50, 40))
        assert np.array_equal(np.asarray(image), np.asarray(api.decode(path)))
        assert image.mode == mode


def test_a_stream_is_read_from_and_left_open(path: Path) -> None:
    stream = io.BytesIO(path.read_bytes())
    image = Image.open(stream)
    image.load()
    image.putpixel((0, 0), (1, 2, 3))
    assert image.getpixel((0, 0)) == (1, 2, 3)
    assert not stream.closed


@pytest.mark.parametrize(("side", "scale"), [(6, 32), (10, 16), (20, 8), (30, 4), (100, 1)])
def test_thumbnails_are_decoded_small(
    photograph: np.ndarray,
    tmp_path: Path,
    side: int,
    scale: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "x.hvae"
    Image.fromarray(photograph[:384]).save(path)
    scales = []
    decode = api.decode

    def spy(source: object, **options: Any) -> Image.Image:  # noqa: ANN401
        scales.append(options["scale"])
        return decode(source, **options)  # type: ignore[arg-type]

    fair = decode(path)
    fair.thumbnail((side, side), reducing_gap=None)
    monkeypatch.setattr(api, "decode", spy)
    with Image.open(path) as image:
        image.thumbnail((side, side))
        assert scales == [scale]
        assert image.size == fair.size
        difference = np.asarray(image).astype(float) - np.asarray(fair)
    # 3 of 255 for Pillow's two steps, and for what coarse frequencies alone make of a picture
    assert np.abs(difference).mean() < 3


def test_a_draft_is_as_large_as_it_says(path: Path) -> None:
    for size in ((50, 30), (13, 10), (400, 300)):
        with Image.open(path) as image:
            image.draft(None, size)
            announced = image.size
            assert announced[0] >= size[0]
            assert announced[1] >= size[1]
            image.load()
            assert image.size == announced == image.im.size


def test_a_damaged_file_is_an_error_or_what_is_left_of_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = path.read_bytes()
    cut = io.BytesIO(whole[: len(whole) * 3 // 4])
    with pytest.raises(OSError, match="bytes"):
        Image.open(cut).load()
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    left = Image.open(cut)
    left.load()
    assert left.size == (400, 300)


def test_a_file_that_is_cut_is_told_without_decoding(path: Path) -> None:
    whole = path.read_bytes()
    Image.open(io.BytesIO(whole)).verify()
    for other in (whole[:-1], whole + b"x"):
        image = Image.open(io.BytesIO(other))
        with pytest.raises(OSError, match=r"cut|left over"):
            image.verify()


def test_a_damaged_header_is_an_error_and_another_file_none_of_ours(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[8] ^= 1
    with pytest.raises(OSError, match="header does not match"):
        Image.open(io.BytesIO(data))
    data[0] ^= 1
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(data))


def test_options_of_saving(
    picture: Image.Image, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, metadata = io.BytesIO(), io.BytesIO()
    verified: list[bytes] = []
    monkeypatch.setattr(
        "hvae_codec.codec.encode.verify_encoded", lambda data, _, **how: verified.append(data)
    )
    picture.save(small, "HVAE", quality=5, verify=True)
    assert small.getvalue() == api.encode(picture, 5) == verified.pop()
    exif = Image.Exif()
    exif[0x010E] = "another"
    picture.save(metadata, "HVAE", exif=exif, icc_profile=None, xmp="<text/>")
    back = Image.open(metadata)
    assert back.getexif()[0x010E] == "another"
    assert back.info.keys() == {"exif", "xmp"}
    assert back.info["xmp"] == b"<text/>"
    assert picture.info["icc_profile"] == b"a profile"
    with pytest.raises(ValueError, match="quality 101"):
        picture.save(io.BytesIO(), "HVAE", quality=101)
    with pytest.raises(OSError, match="holds one picture"):
        picture.save(io.BytesIO(), "HVAE", save_all=True)


def test_metadata_and_a_comment_are_taken(picture: Image.Image) -> None:
    def info(**options: Any) -> dict[str, Any]:  # noqa: ANN401
        buffer = io.BytesIO()
        picture.save(buffer, "HVAE", lossless=True, **options)
        return {str(key): value for key, value in Image.open(buffer).info.items()}

    picture.info["comment"] = b"old"
    assert info() == {"text": {"Comment": "old"}}
    assert info(comment="new") == info(comment=b"new") == {"text": {"Comment": "new"}}
    assert info(comment=None) == {}
    given = {"xmp": b"<x/>", "text": {"Author": "me"}}
    assert info(metadata=given) == given
    both = info(metadata=given, comment="new", dpi=(72, 72))
    assert both == given | {"text": {"Author": "me", "Comment": "new"}, "dpi": (72, 72)}
    for odd in ({"metadata": 3}, {"comment": 3}):
        with pytest.raises(ArgumentError):
            info(**odd)


def test_none_leaves_out_the_exif_of_an_old_png(picture: Image.Image) -> None:
    old, saved, text, exif = io.BytesIO(), io.BytesIO(), PngImagePlugin.PngInfo(), Image.Exif()
    exif[0x010E] = "a description"
    data = exif.tobytes()
    text.add_text("Raw profile type exif", f"\nexif\n{len(data):8d}\n{data.hex()}\n")
    picture.save(old, "PNG", pnginfo=text)
    Image.open(old).save(saved, "HVAE", exif=None)
    assert "exif" not in Image.open(saved).info


def test_of_an_animation_the_frame_at_hand_is_saved(picture: Image.Image) -> None:
    gif, saved = io.BytesIO(), io.BytesIO()
    grey = picture.convert("L")
    grey.save(gif, "GIF", save_all=True, append_images=[grey.rotate(180)])
    animation = Image.open(gif)
    animation.seek(1)
    animation.save(saved, "HVAE", quality=90)
    expected = api.decode(api.encode(animation.copy(), 90))
    assert np.array_equal(np.asarray(Image.open(saved)), np.asarray(expected))


def test_another_option_does_not_cost_a_tiff_its_exif(picture: Image.Image) -> None:
    tiff, exif = io.BytesIO(), Image.Exif()
    exif[0x010E] = "a description"
    picture.save(tiff, "TIFF", exif=exif)
    saved = io.BytesIO()
    Image.open(tiff).save(saved, "HVAE", icc_profile=b"a profile")
    with Image.open(saved) as image:
        assert image.info["icc_profile"] == b"a profile"
        assert image.getexif()[0x010E] == "a description"


@pytest.mark.parametrize(
    "options", [{"max_bytes": 400}, {"bpp": 1.0}, {"psnr": 38.0}, {"strip": True, "quality": 7}]
)
def test_all_options_of_encoding_are_passed_on(
    options: dict[str, Any], picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[EncodeOptions] = []

    def encode_with(pixels: object, options: EncodeOptions, metadata: object) -> bytes:
        given.append(options)
        return b""

    monkeypatch.setattr(api, "encode_with", encode_with)
    picture.save(io.BytesIO(), "HVAE", **options)
    assert given == [EncodeOptions(**options)]


def test_what_is_left_out_is_told_as_elsewhere(picture: Image.Image, tmp_path: Path) -> None:
    phone = tmp_path / "phone.jpg"
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    picture.save(phone, "MPO", save_all=True, append_images=[picture], exif=exif)
    with Image.open(phone) as image, pytest.warns(LeftOut, match="1 more picture") as caught:
        image.save(tmp_path / "phone.hvae")
    assert caught[0].filename == __file__
    with Image.open(tmp_path / "phone.hvae") as image:
        assert image.getexif()[0x010F] == "a camera"


def test_a_raw_photograph_is_refused_as_elsewhere(picture: Image.Image, tmp_path: Path) -> None:
    raw = tmp_path / "photo.dng"
    picture.save(raw, "TIFF", tiffinfo={254: 1, 50706: b"\1\4\0\0"})
    with Image.open(raw) as image, pytest.raises(OSError, match="a raw photograph"):
        image.save(tmp_path / "photo.hvae")
    assert not (tmp_path / "photo.hvae").exists()

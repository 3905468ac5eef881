"""Trees, what exists already, what is larger or damaged, and how pictures are written."""

import importlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from hvae_codec.cli.options import ByteCount
from hvae_codec.codec.errors import ImageError
from hvae_codec.codec.images import Pixels, Style, format_of, write_image

Run = Callable[..., Result]


@pytest.fixture
def tree(tmp_path: Path, photo: Path) -> Path:
    root = tmp_path / "tree"
    for name in ("a.png", "below/b.jpg", "below/deep/c.png", "below/.hidden.png", ".git/d.png"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.open(photo).save(path)
    (root / "notes.txt").write_text("no picture")
    return root


def names(folder: Path, suffix: str) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob(f"*{suffix}"))


def test_a_tree_is_mirrored(hvae: Run, tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert hvae("encode", "-r", tree, "--out-dir", out).exit_code == 0
    assert names(out, ".hvae") == ["a.hvae", "below/b.hvae", "below/deep/c.hvae"]
    back = tmp_path / "back"
    assert hvae("decode", "-r", out, "--out-dir", back).exit_code == 0
    assert names(back, ".png") == ["a.png", "below/b.png", "below/deep/c.png"]


def test_a_tree_gets_its_outputs_beside_its_files(hvae: Run, tree: Path) -> None:
    assert hvae("encode", "-r", tree).exit_code == 0
    assert names(tree, ".hvae") == ["a.hvae", "below/b.hvae", "below/deep/c.hvae"]
    inside = tree / "out"
    for _ in range(2):  # what it wrote itself is no input of the second time
        assert hvae("decode", "-r", tree, "--out-dir", inside).exit_code == 0
    assert names(inside, ".png") == ["a.png", "below/b.png", "below/deep/c.png"]


def test_raw_photographs_in_a_tree_are_not_passed_over(hvae: Run, tree: Path) -> None:
    Image.new("RGB", (4, 4)).save(tree / "photo.nef", "TIFF")
    result = hvae("encode", "-r", tree)
    assert result.exit_code == 1
    assert "photo.nef: a raw photograph" in result.stderr


def test_what_a_tree_cannot_mean_is_refused(hvae: Run, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds nothing to do" in hvae("encode", "-r", tmp_path / "empty").stderr
    assert "use --out-dir" in hvae("encode", "-r", tree, "-o", "x.hvae").stderr
    assert "is a folder" in hvae("encode", tree).stderr


def test_two_images_of_one_name(hvae: Run, photo: Path) -> None:
    other = photo.with_suffix(".jpg")
    Image.open(photo).save(other)
    result = hvae("encode", photo, other)
    assert (result.exit_code, "--keep-suffix keeps them apart" in result.stderr) == (2, True)
    assert hvae("encode", photo, other, "--keep-suffix").exit_code == 0
    assert names(photo.parent, ".hvae") == ["photo.jpg.hvae", "photo.png.hvae"]
    folder = photo.parent / "folder"
    folder.mkdir()
    shutil.copy(photo, folder)
    for option in ((), ("--keep-suffix",)):  # which does not help
        result = hvae("encode", photo, folder / photo.name, "--out-dir", folder, *option)
        assert result.exit_code == 2
        assert "--keep-suffix" not in result.stderr
    shutil.rmtree(folder)
    photo.unlink()
    coded = [photo.with_name(name) for name in ("photo.jpg.hvae", "photo.png.hvae")]
    assert hvae("decode", *coded).exit_code == 0
    assert names(photo.parent, ".png") == ["photo.jpg.png", "photo.png"]


def test_outputs_that_exist_are_skipped(hvae: Run, photo: Path) -> None:
    other, there = photo.with_name("other.png"), photo.with_suffix(".hvae")
    Image.open(photo).save(other)
    there.write_bytes(b"there")
    result = hvae("encode", photo, other, "--skip-existing")
    assert result.exit_code == 0
    assert "1 of 2 outputs exist and are skipped" in result.stderr
    assert there.read_bytes() == b"there"
    assert other.with_suffix(".hvae").exists()
    assert hvae("encode", photo, "--skip-existing", "--overwrite").exit_code == 2


def test_time_and_permissions_are_preserved(hvae: Run, photo: Path) -> None:
    os.utime(photo, ns=(10**18, 10**18 + 123456789))
    photo.chmod(0o600)
    coded, back = photo.with_suffix(".hvae"), photo.with_name("back.png")
    assert hvae("encode", photo, "--preserve").exit_code == 0
    assert hvae("decode", coded, back, "--preserve").exit_code == 0
    for path in (coded, back):
        assert path.stat().st_mtime_ns == photo.stat().st_mtime_ns
        assert path.stat().st_mode & 0o777 == 0o600
    photo.chmod(0o666)
    coded.chmod(0o640)
    assert hvae("encode", photo, "-o", coded, "--preserve").exit_code == 0
    assert coded.stat().st_mode & 0o777 == 0o640  # no wider than it was


def test_what_would_be_larger_is_told_or_not_written(hvae: Run, photo: Path) -> None:
    Image.new("1", (8, 8)).save(photo)  # the stand-in writes a larger file
    coded = photo.with_suffix(".hvae")
    size = photo.stat().st_size
    result = hvae("encode", photo, "--skip-larger", "--json")
    assert result.exit_code == 0
    assert f"larger than its {size}" in result.stderr
    assert "(not written)" in result.stderr
    record = json.loads(result.stdout)
    assert (record["output"], record["input_bytes"]) == (None, size)
    assert not coded.exists()
    assert f"larger than its {size}" in hvae("encode", photo).stderr
    assert coded.exists()


def test_what_is_left_of_a_damaged_image_is_encoded(hvae: Run, photo: Path) -> None:
    picture = Image.effect_noise((64, 64), 50)
    picture.save(photo.with_suffix(".jpg"))
    cut = photo.with_name("cut.jpg")
    data = photo.with_suffix(".jpg").read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    assert hvae("encode", cut).exit_code == 1
    assert not cut.with_suffix(".hvae").exists()
    result = hvae("encode", cut, "--keep-going")
    assert result.exit_code == 1
    assert "encoded as far as it goes: the image cannot be read" in result.stderr
    assert cut.with_suffix(".hvae").exists()
    text = photo.with_name("text.png")
    text.write_text("no image")
    assert "not an image" in hvae("encode", text, "--keep-going").stderr
    assert not text.with_suffix(".hvae").exists()


def test_nothing_is_no_picture(hvae: Run, photo: Path) -> None:
    picture = Image.effect_noise((64, 64), 50)
    for suffix in (".jp2", ".webp"):  # one is black where it is cut, of the other nothing comes
        picture.save(photo.with_suffix(suffix))
        cut = photo.with_name(f"cut{suffix}")
        cut.write_bytes(photo.with_suffix(suffix).read_bytes()[:-100])
        result = hvae("encode", cut, "--keep-going")
        assert result.exit_code == 1
        assert "cannot be read" in result.stderr
        assert not cut.with_suffix(".hvae").exists()


def test_a_page_is_chosen_and_the_others_are_named(hvae: Run, photo: Path) -> None:
    pages = photo.with_suffix(".tif")
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    first.save(pages, save_all=True, append_images=[second])
    assert "choose a page" in hvae("encode", pages).stderr
    result = hvae("encode", pages, "--page", 2, "--json")
    assert result.stderr.endswith("  without 1 more picture\n")
    assert json.loads(result.stdout)["left_out"] == ["1 more picture"]


def test_libraries_say_nothing(hvae: Run, photo: Path, capfd: pytest.CaptureFixture) -> None:
    broken = b"Exif\0\0II*\0\x08\0\0\0\xff\xff"
    Image.open(photo).save(photo.with_suffix(".jpg"), exif=broken)
    assert hvae("encode", photo.with_suffix(".jpg"), "--strip", "--quiet").output == ""
    assert capfd.readouterr() == ("", "")


def test_a_folder_that_cannot_be_written_to_is_told_first(
    hvae: Run, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, access = importlib.import_module("hvae_codec.cli.encode"), os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    monkeypatch.setattr(encode, "encode_file", lambda *_: pytest.fail("the work began"))
    result = hvae("encode", photo, "-j", 2)
    assert result.exit_code == 1
    assert "photo.hvae: its folder cannot be written to" in result.stderr


@pytest.mark.parametrize(
    ("text", "count"),
    [
        *[("30000", 30000), ("200K", 200_000), ("200k", 200_000), ("1MiB", 2**20)],
        *[("1.5 MB", 1_500_000), ("2Ki", 2048), ("1G", 10**9), ("7B", 7)],
    ],
)
def test_sizes(text: str, count: int) -> None:
    assert ByteCount().convert(text, None, None) == count


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_alpha_is_laid_on_a_background(suffix: str, tmp_path: Path) -> None:
    picture = Image.new("LA", (4, 2), (200, 0))
    picture.putpixel((1, 0), (200, 255))
    target, style = tmp_path / f"a{suffix}", Style(background=(255, 0, 0))
    written = write_image(target, Pixels(picture, "LA"), {}, format_of(suffix), style)
    assert not written.left_out
    shown = Image.open(target).convert("RGB")
    assert max(abs(a - b) for a, b in zip(shown.getpixel((3, 1)), (255, 0, 0), strict=True)) < 8  # type: ignore[arg-type]


def test_options_of_writing(hvae: Run, photo: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a place"
    Image.open(photo).save(photo, exif=exif)
    coded = photo.with_suffix(".hvae")
    assert hvae("encode", photo, coded).exit_code == 0
    sizes = []
    for quality in (20, 95):
        target = photo.with_name(f"{quality}.jpg")
        assert hvae("decode", coded, target, "-q", quality, "--strip").exit_code == 0
        sizes.append(target.stat().st_size)
        assert Image.open(target).size == (16, 24)
        assert not Image.open(target).getexif()
    assert sizes[0] < sizes[1]
    assert hvae("decode", coded, photo.with_name("8.bmp"), "--depth", 8).exit_code == 0
    assert hvae("decode", coded, "--depth", 16).exit_code == 2
    for wrong in ("nothing", "#12345", "rgba(1,2,3,4)"):
        assert hvae("decode", coded, "--background", wrong).exit_code == 2


def test_a_formats_limits_never_refuse_a_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "x" * 70_000
    metadata = {"exif": exif.tobytes(), "xmp": b"<x>" + b"y" * 70_000, "icc_profile": b"p" * 300}
    target = tmp_path / "a.jpg"
    picture = Pixels(Image.new("RGB", (8, 4)), "RGB")
    assert write_image(target, picture, metadata, "JPEG") == ((4, 8), ["EXIF", "XMP"])
    written = Image.open(target)
    assert written.size == (4, 8)  # upright, since no EXIF tells
    assert written.info["icc_profile"] == b"p" * 300


def test_text_and_resolution_are_written_where_they_can_be(tmp_path: Path) -> None:
    metadata = {"text": {"Author": "me", "Comment": "größer"}, "dpi": (300.0, 300.0)}
    picture = Pixels(Image.new("RGB", (8, 4)), "RGB")
    left = {}
    for suffix, format in ((".png", "PNG"), (".jpg", "JPEG"), (".tif", "TIFF"), (".webp", "WEBP")):
        left[format] = write_image(tmp_path / f"a{suffix}", picture, metadata, format).left_out
    expected = {"PNG": [], "JPEG": ["text"], "TIFF": ["text"], "WEBP": ["text", "resolution"]}
    assert left == expected
    png, jpeg, tiff = (Image.open(tmp_path / f"a{s}") for s in (".png", ".jpg", ".tif"))
    assert png.text == metadata["text"]  # type: ignore[attr-defined]
    assert jpeg.info["comment"].decode() == "größer"
    for image in (png, jpeg, tiff):
        assert image.info["dpi"][0] == pytest.approx(300, abs=0.01)


@pytest.mark.parametrize(
    ("suffix", "side"),
    [
        (".jpg", 65500), (".pdf", 65500), (".webp", 16383), (".avif", 32768), (".gif", 65535),
        (".tga", 65535), (".pcx", 65534), (".sgi", 65535), (".msp", 65535),
    ],
)  # fmt: skip
def test_a_format_says_how_large_a_picture_it_holds(
    suffix: str, side: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for size in ((1, side + 1), (side + 1, 1)):
        samples = np.zeros((*size, 1), np.uint8)
        pixels = Pixels(samples)
        with pytest.raises(ImageError, match=f"at most {side} pixels a side"):
            write_image(tmp_path / f"x{suffix}", pixels, {}, format_of(suffix))
    assert capfd.readouterr().err == ""
    if suffix in (".jpg", ".webp", ".gif", ".tga", ".pcx"):
        write_image(tmp_path / f"x{suffix}", Pixels(samples[:-1]), {}, format_of(suffix))
        assert max(Image.open(tmp_path / f"x{suffix}").size) == side

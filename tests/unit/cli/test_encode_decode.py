import io
import json
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

from hvae_codec.cli import batch
from hvae_codec.cli.encode import encode
from hvae_codec.codec.options import DecodeOptions, EncodeOptions

Run = Callable[..., Result]


def test_there_and_back_beside_the_input(hvae: Run, photo: Path) -> None:
    assert hvae("encode", photo).exit_code == 0
    original = Image.open(photo).tobytes()
    photo.unlink()
    assert hvae("decode", photo.with_suffix(".hvae")).exit_code == 0
    assert Image.open(photo).tobytes() == original


def test_encode_says_one_line_on_stderr(hvae: Run, photo: Path) -> None:
    result = hvae("encode", photo, "-q", 30)
    size = photo.with_suffix(".hvae").stat().st_size
    assert result.stdout == ""
    assert result.stderr.startswith(f"photo.png 24x16 -> photo.hvae  {size} bytes  ")
    assert result.stderr.endswith(" MP/s)\n")
    assert result.stderr.count("\n") == 1


def test_quiet_says_nothing(hvae: Run, photo: Path) -> None:
    assert hvae("encode", photo, "--quiet").output == ""
    assert (
        hvae("decode", photo.with_suffix(".hvae"), photo.parent / "b.png", "--quiet").output == ""
    )


def test_encode_json(hvae: Run, photo: Path) -> None:
    record = json.loads(hvae("encode", photo, "-q", 30, "--json", "--quiet").stdout)
    assert (record["width"], record["height"], record["quality"]) == (24, 16, 30)
    assert record["file_bytes"] == photo.with_suffix(".hvae").stat().st_size


@pytest.mark.parametrize("arguments", [("out.bin",), ("-o", "out.bin")])
def test_output_as_argument_or_option(
    hvae: Run, photo: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo.parent)
    assert hvae("encode", "photo.png", *arguments).exit_code == 0
    assert Path("out.bin").exists()


def test_pipes(hvae: Run, photo: Path) -> None:
    coded = hvae("encode", "-", "-o", "-", data=photo.read_bytes())
    assert coded.exit_code == 0
    back = hvae("decode", "-", "-", data=coded.stdout_bytes)
    image = Image.open(io.BytesIO(back.stdout_bytes))
    assert image.format == "PNG"
    assert image.tobytes() == Image.open(photo).tobytes()


@pytest.mark.parametrize("suffix", [".jpg", ".PNG", ".webp", ".tiff", ".ppm"])
def test_decode_writes_what_the_suffix_says(hvae: Run, coded: Path, suffix: str) -> None:
    path = coded.with_suffix(suffix)
    assert hvae("decode", coded, path).exit_code == 0
    assert Image.open(path).size == (24, 16)


def test_the_format_of_names_that_are_not_given(hvae: Run, coded: Path, tmp_path: Path) -> None:
    assert hvae("decode", coded, "--out-dir", tmp_path / "out", "--format", "jpg").exit_code == 0
    with Image.open(tmp_path / "out" / "coded.jpg") as image:
        assert image.format == "JPEG"
    result = hvae("decode", coded, "-o", "-", "--format", ".webp")
    assert result.stdout_bytes[:4] == b"RIFF"
    assert hvae("decode", coded, "-o", "-", "--format", "JPG").stdout_bytes[:2] == b"\xff\xd8"
    result = hvae("decode", coded, "--format", "nonsense")
    assert result.exit_code == 2
    assert "no image format is known for '.nonsense'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "quality"),
    [((), 60), (("-q", 7), 7), (("--size", "0.05M"), 0), (("--bpp", 2), 20), (("--psnr", 40), 80)],
)
def test_the_quality_is_given_or_found(
    hvae: Run, photo: Path, arguments: tuple[object, ...], quality: int
) -> None:
    result = hvae("encode", photo, *arguments, "--json")
    assert json.loads(result.stdout)["quality"] == quality
    assert (f"  quality {quality}  " in result.stderr) == (quality in (0, 20, 80))


@pytest.mark.parametrize("arguments", [(), ("--size", "1M"), ("--bpp", 2), ("--psnr", 40)])
def test_effort_reaches_the_codec(
    hvae: Run, photo: Path, arguments: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def note(image: Image.Image, options: EncodeOptions) -> bytes:
        given.append(options.effort)
        raise OSError("enough")

    monkeypatch.setattr("hvae_codec.codec.api.encode_with", note)
    for effort in ((), ("--tune", "psnr", "--effort", 7)):
        hvae("encode", photo, *arguments, *effort)
    assert given == [0, 7]


@pytest.mark.parametrize(
    ("arguments", "device"),
    [((), "cpu"), (("--device", "cuda"), "cuda"), (("--device", "cuda:1"), "cuda:1")],
)
def test_the_device_reaches_the_codec(
    hvae: Run,
    coded: Path,
    photo: Path,
    arguments: tuple[str, ...],
    device: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = []

    def note(source: object, options: EncodeOptions | DecodeOptions) -> bytes:
        given.append(options.device)
        raise OSError("enough")

    for name in ("encode_with", "decode_with"):
        monkeypatch.setattr(f"hvae_codec.codec.api.{name}", note)
    hvae("encode", photo, *arguments)
    hvae("decode", coded, *arguments)
    assert given == [device, device]


@pytest.mark.parametrize(
    ("set_before", "arguments", "threads"),
    [
        ({}, (), None),
        ({}, ("--threads", 3), "3"),
        ({}, ("-j", 1_000), None),  # one file has all cores
        ({"HVAE_CODEC_THREADS": "5"}, (), "5"),
        ({"HVAE_CODEC_THREADS": "5"}, ("--threads", 3, "-j", 7), "3"),
        ({"HVAE_CODEC_THREADS": "5"}, ("-j", 1_000), "5"),
    ],
)
def test_threads_are_those_asked_for_or_shared_by_processes(
    hvae: Run,
    photo: Path,
    set_before: dict[str, str],
    arguments: tuple[object, ...],
    threads: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in set_before.items():
        monkeypatch.setenv(name, value)
    assert hvae("encode", photo, *arguments).exit_code == 0
    assert os.environ.get("HVAE_CODEC_THREADS") == threads


@pytest.mark.parametrize(("count", "share"), [(1, None), (3, "2"), (99, "1")])
def test_processes_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, count: int, share: str | None
) -> None:
    monkeypatch.setattr("hvae_codec.cli.batch.processors", lambda: 8)
    batch.share_cores(count, None)
    assert os.environ.get("HVAE_CODEC_THREADS") == share


def test_lossless_takes_no_quality(hvae: Run, photo: Path, tmp_path: Path) -> None:
    for aim in (("-q", "60"), ("--bpp", "1"), ("--size", "30k"), ("--psnr", "30"), ("--effort", 1)):
        result = hvae("encode", photo, "--lossless", *aim)
        assert result.exit_code == 2
        assert "--lossless" in result.stderr
    assert hvae("encode", photo, "--content", "painting").exit_code == 2
    assert not photo.with_suffix(".hvae").exists()
    assert hvae("encode", photo, "--lossless", "--content", "photo").exit_code == 2
    assert hvae("encode", photo, "--lossless", "--roi", photo).exit_code == 2
    assert hvae("encode", photo, "--lossless").exit_code == 0


def test_strip_leaves_exif_out(hvae: Run, photo: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    Image.open(photo).save(photo, exif=exif)
    sizes = []
    for options in ((), ("--strip",)):
        assert hvae("encode", photo, "-o", "-", *options).exit_code == 0
        sizes.append(b"where I live" in hvae("encode", photo, "-o", "-", *options).stdout_bytes)
    assert sizes == [True, False]


def test_metadata_that_the_format_cannot_hold_is_told(hvae: Run, photo: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    Image.open(photo).save(photo, exif=exif)
    assert hvae("encode", photo).exit_code == 0
    for suffix, left_out in ((".bmp", ["EXIF"]), (".jpg", [])):
        back = photo.with_suffix(suffix)
        result = hvae("decode", photo.with_suffix(".hvae"), "-o", back, "--json")
        assert result.exit_code == 0
        assert result.stderr.endswith("  without EXIF\n") == bool(left_out)
        assert json.loads(result.stdout)["left_out"] == left_out


def test_a_part_of_the_picture(hvae: Run, coded: Path, photo: Path) -> None:
    back = coded.with_name("part.png")
    assert hvae("decode", coded, back, "--region", "4,2,16,8", "--scale", "1/2").exit_code == 0
    expected = Image.open(photo).crop((4, 2, 20, 10)).reduce(2)
    assert Image.open(back).tobytes() == expected.tobytes()


def test_what_is_left_of_a_damaged_file_is_written_and_counts_as_failed(
    hvae: Run, damaged: Path, photo: Path
) -> None:
    back = damaged.with_name("left.png")
    result = hvae("decode", damaged, back, "--keep-going", "--json")
    assert result.exit_code == 1
    there = damaged.stat().st_size
    assert result.stderr.endswith(
        f"Error: {damaged}: tiles 3, 7 damaged or missing, 1 level of latents left;"
        f" cut, {there} of {there + 100} bytes are there\n"
    )
    assert json.loads(result.stdout)["lost_tiles"] == [3, 7]
    assert Image.open(back).tobytes() == Image.open(photo).tobytes()


def test_a_name_that_was_not_given_is_not_written_over(hvae: Run, photo: Path) -> None:
    pixels = Image.open(photo).tobytes()
    assert hvae("encode", photo).exit_code == 0
    photo.write_bytes(b"the original")
    again = hvae("decode", photo.with_suffix(".hvae"))
    assert again.exit_code == 1
    assert again.stderr == f"Error: {photo}: exists already; --overwrite replaces it\n"
    assert photo.read_bytes() == b"the original"
    assert hvae("decode", photo.with_suffix(".hvae"), "--overwrite").exit_code == 0
    assert Image.open(photo).tobytes() == pixels


def test_a_named_output_is_replaced(hvae: Run, photo: Path, coded: Path) -> None:
    before = coded.read_bytes()
    assert hvae("encode", photo, "-q", 9, "-o", coded).exit_code == 0
    assert coded.read_bytes() != before


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("-q", 30), {"quality": 30}),
        (("--size", "30k"), {"max_bytes": 30_000}),
        (("--bpp", 0.5), {"bpp": 0.5}),
        (("--psnr", 38), {"psnr": 38.0}),
        (("--ssimulacra2", 70), {"ssimulacra2": 70.0}),
        (("--tune", "psnr"), {"tune": "psnr"}),
        (("--content", "graphic"), {"content": "graphic"}),
        (("--prior", "vamp"), {"prior": "vamp"}),
        (("--lossless",), {"lossless": True}),
        (("--strip",), {"strip": True}),
        (("--verify",), {"verify": True}),
        (("--page", 1), {"page": 1}),
    ],
)
def test_options_reach_the_codec(
    hvae: Run,
    photo: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[object, ...],
    options: dict[str, object],
) -> None:
    given: list[EncodeOptions] = []

    def note(image: Image.Image, options: EncodeOptions) -> bytes:
        given.append(options)
        raise OSError("enough")

    monkeypatch.setattr("hvae_codec.codec.api.encode_with", note)
    hvae("encode", photo, *arguments)
    assert given == [EncodeOptions(**options)]  # type: ignore[arg-type]


def test_every_option_of_encoding_is_one_of_the_command() -> None:
    names = {parameter.name for parameter in encode.params}
    assert {field.name for field in fields(EncodeOptions)} - names == {"tile_px"}

import errno
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

from hvae_codec.codec.options import DecodeOptions, EncodeOptions

Run = Callable[..., Result]


def contents(folder: Path) -> dict[str, bytes | str]:
    """What lies in a folder: of files the bytes, of links where they point."""
    paths = folder.iterdir()
    return {p.name: os.readlink(p) if p.is_symlink() else p.read_bytes() for p in paths}


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


@pytest.mark.parametrize(
    "arguments",
    [
        ("encode", "photo.png", "-q", "101"),
        ("encode", "photo.png", "--effort", "10"),
        ("encode", "photo.png", "photo.png"),
        ("encode", "photo.png", "a", "-o", "b"),
        ("encode", "-"),
        ("encode", ""),
        ("encode", "photo.png", "-o", "other.jpg"),
        ("encode", "photo.png", "--prior", "flow"),
        ("encode", "photo.png", "--device", "gpu"),
        ("encode", "photo.png", "--device", "cuda:"),
        ("encode", "photo.png", "--threads", "0"),
        ("decode", "coded.hvae", "--device", "cpu:1"),
        ("decode", "coded.hvae", "--threads", "x"),
        ("encode", "photo.png", "-o", "-", "--json"),
        ("decode", "coded.hvae", "coded.hvae"),
        ("encode", "photo.png", "-q", "5", "--bpp", "1"),
        ("encode", "photo.png", "--size", "30k", "--psnr", "40"),
        ("encode", "photo.png", "--size", "30x"),
        ("encode", "photo.png", "--size", "0.1"),
        ("encode", "photo.png", "--bpp", "nan"),
        ("encode", "photo.png", "--psnr", "-3"),
        ("encode", "photo.png", "-j", "0"),
        ("decode", "coded.hvae", "back.xyz"),
        ("decode", "coded.hvae", "back"),
        ("decode", "coded.hvae", "--region", "1,2,3"),
        ("decode", "coded.hvae", "--region", "0,0,0,5"),
        ("decode", "coded.hvae", "--scale", "1/3"),
        ("decode", "coded.hvae", "--levels", "-1"),
    ],
)
def test_misuse_ends_with_2_and_writes_nothing(
    hvae: Run, coded: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(coded.parent)
    before = {path: path.read_bytes() for path in coded.parent.iterdir()}
    result = hvae(*arguments)
    assert result.exit_code == 2
    assert "Error: " in result.stderr
    assert {path: path.read_bytes() for path in coded.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("encode", "missing.png"), "missing.png: No such file or directory"),
        (("encode", "."), ".: is a folder"),
        (("encode", "text.png"), "text.png: not an image in a format that Pillow knows"),
        (("encode", "cut.png"), "cut.png: the image cannot be read ("),
        (("encode", "photo.png", "--size", "20"), "photo.png: quality 0 takes "),
        (("decode", "damaged.hvae"), "damaged.hvae: tile 3 is damaged"),
        (
            ("encode", "photo.png", "-o", "no/where.hvae"),
            "no/where.hvae: its folder does not exist",
        ),
        (("encode", "photo.png", "-o", "."), ".: is a folder"),
        (("decode", "."), ".: is a folder"),
        (("decode", "coded.hvae", "-o", "."), ".: is a folder"),
        (("encode", "photo.png", "-o", "loop.hvae"), "loop.hvae: Too many levels of symbolic"),
        (("encode", "photo.png", "-o", "coded.hvae", "--no-overwrite"), "coded.hvae: exists"),
        (("encode", "photo.png", "coded.hvae"), "coded.hvae: exists already"),
        (("decode", "coded.hvae", "photo.png"), "photo.png: exists already"),
        (("decode", "missing.hvae"), "missing.hvae: No such file or directory"),
        (("decode", "photo.png", "b.png"), "photo.png: not a file of this codec"),
        (("info", "text.png"), "text.png: not a file of this codec"),
        (("verify", "missing.hvae"), "missing.hvae: No such file or directory"),
    ],
)
def test_failures_end_with_1_and_one_line(
    hvae: Run,
    coded: Path,
    damaged: Path,
    arguments: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(coded.parent)
    Path("text.png").write_text("not a picture")
    Path("loop.hvae").symlink_to("loop.hvae")
    Path("cut.png").write_bytes(Path("photo.png").read_bytes()[:60])
    before = contents(coded.parent)
    result = hvae(*arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {message}")
    assert result.stderr.count("\n") == 1
    assert contents(coded.parent) == before


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9")]
)
def test_too_little_memory_is_one_line(
    hvae: Run, photo: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> bytes:
        raise error

    monkeypatch.setattr("hvae_codec.codec.api.encode_with", fail)
    result = hvae("encode", photo)
    assert result.exit_code == 1
    assert result.stderr == f"Error: {photo}: not enough memory\n"


def test_too_many_pixels_is_one_line(
    hvae: Run, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    result = hvae("encode", photo)
    assert result.exit_code == 1
    assert "exceeds limit of 200 pixels" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_bug_keeps_its_traceback(hvae: Run, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> bytes:
        raise IndexError("ours")

    monkeypatch.setattr("hvae_codec.codec.api.encode_with", fail)
    result = hvae("encode", photo)
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert "IndexError: ours" in result.stderr


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


@pytest.mark.parametrize("seed", [0, 3])  # the default, if it is said, as any other
def test_a_seed_without_anything_to_draw(hvae: Run, coded: Path, seed: int) -> None:
    result = hvae("decode", coded, "--seed", seed)
    assert result.exit_code == 2
    assert "--seed is for what --sample draws" in result.stderr


def test_a_format_that_cannot_hold_the_image(
    hvae: Run, coded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hvae_codec.cli.images.image_format", lambda *names: "GIF87")
    result = hvae("decode", coded, coded.with_suffix(".jpg"))
    assert result.exit_code == 1
    assert "cannot be written as GIF87" in result.stderr
    assert not coded.with_suffix(".jpg").exists()


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


def test_a_device_that_is_not_there_is_one_line(hvae: Run, coded: Path, photo: Path) -> None:
    for command, source, name in (("encode", photo, "new.hvae"), ("decode", coded, "new.png")):
        new = coded.with_name(name)
        result = hvae(command, source, "--device", "cuda", "-o", new)
        assert result.exit_code == 1
        assert result.stderr == f"Error: {source}: device cuda is not there\n"
        assert not new.exists()


@pytest.mark.parametrize(
    ("set_before", "arguments", "threads"),
    [
        ({}, (), None),
        ({}, ("--threads", 3), "3"),
        ({}, ("-j", 1_000), "1"),
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


def test_lossless_takes_no_quality(hvae: Run, photo: Path, tmp_path: Path) -> None:
    for aim in (("-q", "60"), ("--bpp", "1"), ("--size", "30k"), ("--psnr", "30"), ("--effort", 1)):
        result = hvae("encode", photo, "--lossless", *aim)
        assert result.exit_code == 2
        assert "--lossless" in result.stderr
    assert hvae("encode", photo, "--content", "painting").exit_code == 2
    assert not photo.with_suffix(".hvae").exists()
    assert hvae("encode", photo, "--lossless", "--content", "photo").exit_code == 0


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
        f"Error: {damaged}: tiles 3, 7 damaged or missing;"
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


def test_a_full_disk_is_one_line_and_keeps_the_old_file(
    hvae: Run, photo: Path, coded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    before = {path: path.read_bytes() for path in coded.parent.iterdir()}
    for command, source, target in (("encode", photo, coded), ("decode", coded, photo)):
        result = hvae(command, source, "-o", target)
        assert result.exit_code == 1
        assert result.stderr == f"Error: {target}: No space left on device\n"
    assert {path: path.read_bytes() for path in coded.parent.iterdir()} == before

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

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


@pytest.mark.parametrize(
    "arguments",
    [
        ("encode", "photo.png", "-q", "101"),
        ("encode", "photo.png", "photo.png"),
        ("encode", "photo.png", "a", "-o", "b"),
        ("encode", "-"),
        ("encode", "photo.png", "-o", "-", "--json"),
        ("decode", "coded.hvae", "coded.hvae"),
        ("decode", "coded.hvae", "back.xyz"),
        ("decode", "coded.hvae", "back"),
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
        (("encode", "cut.png"), "cut.png: cannot be read as an image ("),
        (
            ("encode", "photo.png", "-o", "no/where.hvae"),
            "no/where.hvae: its folder does not exist",
        ),
        (("encode", "photo.png", "-o", "."), ".: is a folder"),
        (("encode", "photo.png", "coded.hvae", "--no-overwrite"), "coded.hvae: exists already"),
        (("decode", "missing.hvae"), "missing.hvae: No such file or directory"),
        (("decode", "photo.png", "b.png"), "photo.png: not a file of this codec"),
        (("info", "text.png"), "text.png: not a file of this codec"),
        (("verify", "missing.hvae"), "missing.hvae: No such file or directory"),
    ],
)
def test_failures_end_with_1_and_one_line(
    hvae: Run,
    coded: Path,
    arguments: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(coded.parent)
    Path("text.png").write_text("not a picture")
    Path("cut.png").write_bytes(Path("photo.png").read_bytes()[:60])
    before = {path: path.read_bytes() for path in coded.parent.iterdir()}
    result = hvae(*arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {message}")
    assert result.stderr.count("\n") == 1
    assert {path: path.read_bytes() for path in coded.parent.iterdir()} == before


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9")]
)
def test_too_little_memory_is_one_line(
    hvae: Run, photo: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> bytes:
        raise error

    monkeypatch.setattr("hvae_codec.codec.api.encode", fail)
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

    monkeypatch.setattr("hvae_codec.codec.api.encode", fail)
    with pytest.raises(IndexError):
        hvae("encode", photo)


def test_a_format_that_cannot_hold_the_image(
    hvae: Run, coded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hvae_codec.codec.api.decode", lambda data: Image.new("RGBA", (4, 4)))
    result = hvae("decode", coded, coded.with_suffix(".jpg"))
    assert result.exit_code == 1
    assert "cannot be written as JPEG" in result.stderr
    assert not coded.with_suffix(".jpg").exists()

"""What cannot be done: one line that names the cause, an exit code, and nothing is changed."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

Run = Callable[..., Result]

LONG = "n" * 300  # no file can have such a name


def contents(folder: Path) -> dict[str, bytes | str]:
    """What lies in a folder: of files the bytes, of links where they point."""
    paths = folder.iterdir()
    return {p.name: os.readlink(p) if p.is_symlink() else p.read_bytes() for p in paths}


def test_a_number_that_is_not_whole_is_called_so(hvae: Run, photo: Path) -> None:
    result = hvae("encode", photo, "-q", "50.5")
    assert result.exit_code == 2
    assert "'-q' / '--quality': '50.5' is not a valid integer." in result.stderr


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_threads_that_are_no_number_are_named_once(
    hvae: Run, photo: Path, coded: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("HVAE_CODEC_THREADS", "many")
    files = {"encode": photo, "decode": coded}
    result = hvae(command, files[command], files[command].with_name("other"), "--out-dir", "out")
    assert result.exit_code == 1
    assert result.stderr == "Error: HVAE_CODEC_THREADS is 'many', not a number in 1...1024\n"


def test_weights_that_are_none_are_named_once(
    hvae: Run, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = photo.with_name("second.png")
    second.write_bytes(photo.read_bytes())
    for name, why in ((tmp_path / "none", "which does not exist"), (tmp_path, "which is a folder")):
        monkeypatch.setenv("HVAE_CODEC_WEIGHTS", str(name))
        result = hvae("encode", photo, second)
        assert result.exit_code == 1
        assert result.stderr == f"Error: HVAE_CODEC_WEIGHTS is {name}, {why}\n"
        assert hvae("encode", photo, "-o", tmp_path / "a.hvae", "--lossless").exit_code == 0
        (tmp_path / "a.hvae").unlink()


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
        ("decode", "coded.hvae", "-q", "80"),
        ("decode", "coded.hvae", "back.tif", "-q", "80"),
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
        (("encode", "."), ".: is a folder; -r takes the files in it"),
        (("encode", "text.png"), "text.png: not an image in a format that Pillow knows"),
        (("encode", "cut.png"), "cut.png: the image cannot be read ("),
        (("encode", "photo.png", "--size", "20"), "photo.png: quality 0 takes "),
        (("decode", "damaged.hvae"), "damaged.hvae: tile 3 is damaged"),
        (
            ("encode", "photo.png", "-o", "no/where.hvae"),
            "no/where.hvae: its folder does not exist",
        ),
        (("encode", "photo.png", "-o", "."), ".: is a folder"),
        (("decode", "."), ".: is a folder; -r takes the files in it"),
        (("decode", "coded.hvae", "-o", "."), ".: is a folder"),
        (("encode", "photo.png", "-o", "loop.hvae"), "loop.hvae: Too many levels of symbolic"),
        (("encode", "photo.png", "-o", "coded.hvae", "--no-overwrite"), "coded.hvae: exists"),
        (("encode", "photo.png", "coded.hvae"), "coded.hvae: exists already"),
        (("decode", "coded.hvae", "photo.png"), "photo.png: exists already"),
        (("decode", "missing.hvae"), "missing.hvae: No such file or directory"),
        (("decode", "photo.png", "b.png"), "photo.png: not a file of this codec"),
        (("info", "text.png"), "text.png: not a file of this codec"),
        (("verify", "missing.hvae"), "missing.hvae: No such file or directory"),
        (("encode", f"{LONG}.png"), f"{LONG}.png: File name too long"),
        (("encode", "photo.png", "-o", f"{LONG}.hvae"), f"{LONG}.hvae: File name too long"),
        (("decode", f"{LONG}.hvae"), f"{LONG}.hvae: File name too long"),
        (("decode", "coded.hvae", "-o", f"{LONG}.png"), f"{LONG}.png: File name too long"),
        (("info", f"{LONG}.hvae"), f"{LONG}.hvae: File name too long"),
        (("verify", f"{LONG}.hvae"), f"{LONG}.hvae: File name too long"),
        (
            ("encode", "photo.png", "-o", "photo.png/a.hvae"),
            "photo.png/a.hvae: its folder does not",
        ),
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


@pytest.mark.parametrize("seed", [0, 3])  # the default, if it is said, as any other
def test_a_seed_without_anything_to_draw(hvae: Run, coded: Path, seed: int) -> None:
    result = hvae("decode", coded, "--seed", seed)
    assert result.exit_code == 2
    assert "--seed is for what --sample draws" in result.stderr


def test_nothing_is_drawn_at_the_scale_of_a_thumbnail(hvae: Run, coded: Path) -> None:
    result = hvae("decode", coded, "--sample", "--levels", 0, "--scale", "1/8")
    assert result.exit_code == 2
    assert "at 1/8 no level is decoded that could be drawn" in result.stderr


def test_a_format_that_cannot_hold_the_image(
    hvae: Run, coded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hvae_codec.cli.images.image_format", lambda *names: "GIF87")
    result = hvae("decode", coded, coded.with_suffix(".jpg"))
    assert result.exit_code == 1
    assert "cannot be written as GIF87" in result.stderr
    assert not coded.with_suffix(".jpg").exists()


def test_a_device_that_is_not_there_is_one_line(hvae: Run, coded: Path, photo: Path) -> None:
    for command, source, name in (("encode", photo, "new.hvae"), ("decode", coded, "new.png")):
        new = coded.with_name(name)
        result = hvae(command, source, "--device", "cuda", "-o", new)
        assert result.exit_code == 1
        assert result.stderr == f"Error: {source}: device cuda is not there\n"
        assert not new.exists()


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


def test_what_a_folder_holds_and_cannot_be_read_is_named(
    hvae: Run, photo: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    photo.rename(folder / "a.png")
    (folder / "b.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (folder / "c.jxl").write_bytes(b"\xff\x0a" + bytes(40))
    (folder / "d.png").touch()
    os.mkfifo(folder / "pipe.png")
    result = hvae("encode", "-r", folder, "--out-dir", tmp_path / "out", "--quiet")
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert lines[-1] == "Error: 3 of 4 files failed"
    assert lines[0].startswith(f"Error: {folder / 'b.heic'}: ")
    assert lines[1].startswith(f"Error: {folder / 'c.jxl'}: ")
    assert lines[2] == f"Error: {folder / 'd.png'}: the file is empty"


def test_a_folder_that_is_closed_is_named(
    hvae: Run, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = photo.parent / "closed"
    closed.mkdir()
    scandir, access = os.scandir, os.access

    def refuse(path: str) -> object:
        if str(path) == str(closed):
            raise PermissionError(errno.EACCES, "Permission denied", str(closed))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read all there is
    monkeypatch.setattr(os, "access", lambda p, mode: str(p) != str(closed) and access(p, mode))
    result = hvae("encode", "-r", photo.parent, "--out-dir", tmp_path / "out", "--quiet")
    assert result.exit_code == 1
    assert f"Error: {closed}: Permission denied" in result.stderr


def test_a_raw_photograph_does_not_keep_the_jpeg_beside_it_from_its_turn(
    hvae: Run, photo: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "card"
    folder.mkdir()
    Image.open(photo).save(folder / "DSC_1.JPG")
    (folder / "DSC_1.NEF").write_bytes(b"raw")
    result = hvae("encode", "-r", folder, "--out-dir", tmp_path / "out", "--quiet")
    assert result.exit_code == 1
    assert "DSC_1.NEF: a raw photograph" in result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["DSC_1.hvae"]


def test_a_name_and_a_format_exclude_each_other(hvae: Run, coded: Path) -> None:
    named = coded.with_suffix(".png")
    for output in ((named,), ("-o", named)):
        result = hvae("decode", coded, *output, "--format", "jpg")
        assert result.exit_code == 2
        assert "--format is for names that are not given" in result.stderr
    assert hvae("decode", coded, "-o", named, "--format", "PNG").exit_code == 0


def test_what_a_terminal_would_obey_is_not_printed(hvae: Run, photo: Path) -> None:
    """Damage is told by the name of a chunk, which the file chooses."""
    data = photo.read_bytes()
    photo.write_bytes(data[:33] + bytes(4) + b"I\x07\x1b\x08" + bytes(4) + data[33:])
    for more in ((), ("--keep-going",)):
        result = hvae("encode", photo, "--lossless", *more)
        assert result.exit_code == 1
        assert "the chunk I" in result.stderr
        assert result.stderr.replace("\n", "").isprintable()

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hvae_codec.cli import files


def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.hvae"
    path.write_bytes(b"old")

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        files.write_bytes(str(path), b"new")
    assert caught.value.filename == str(path)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a.hvae", b"old")]


FULL = """
import resource, sys
from pathlib import Path
from PIL import Image
from hvae_codec.cli import console, images
from hvae_codec.codec.api import Decoded
from hvae_codec.codec.images import Pixels

noise = Image.effect_noise((300, 200), 90).convert("RGB")
decoded = Decoded(Pixels(noise, "RGB"), {}, (), 0)

for suffix in sys.argv[1:]:
    images.write_image("whole" + suffix, decoded)
    size = Path("whole" + suffix).stat().st_size
    for limit in (size, size - 1, size // 2, 1):
        Path("old" + suffix).write_text("old")
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        error = None
        try:
            images.write_image("old" + suffix, decoded)
        except OSError as caught:
            error = caught
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        if limit == size:
            assert Path("old" + suffix).read_bytes() == Path("whole" + suffix).read_bytes()
        else:
            assert (error.filename, error.strerror) == ("old" + suffix, "File too large"), error
            assert Path("old" + suffix).read_text() == "old"
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on the size of files")
def test_a_disk_that_fills_anywhere_leaves_the_old_file(tmp_path: Path) -> None:
    suffixes = [".png", ".jpg", ".webp", ".tif", ".bmp", ".ppm"]
    done = subprocess.run(
        [sys.executable, "-c", FULL, *suffixes], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert {path.stem for path in tmp_path.iterdir()} == {"whole", "old"}


@pytest.mark.parametrize("system", ["with links", "without", "win32"])
def test_a_file_that_comes_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    path, replace = tmp_path / "a.hvae", os.replace

    def refuse(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    def rename(part: Path, final: Path) -> None:
        """As on Windows, where no second name of a read-only file could be deleted."""
        if final.exists():
            raise FileExistsError(errno.EEXIST, "Cannot create a file", str(final))
        replace(part, final)

    if system != "with links":
        monkeypatch.setattr(os, "link", refuse)
    if system == "win32":
        monkeypatch.setattr(sys, "platform", system)
        monkeypatch.setattr(os, "rename", rename)
        monkeypatch.setattr(os, "replace", refuse)
    files.write_bytes(str(tmp_path / "b.hvae"), b"whole", replaces=False)
    with (
        pytest.raises(FileExistsError, match="--overwrite replaces it"),
        files.writing(str(path), replaces=False) as stream,
    ):
        stream.write(b"new")
        path.write_bytes(b"precious")
    left = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert left == {"a.hvae": b"precious", "b.hvae": b"whole"}


def test_files_of_a_drive_that_numbers_none_are_told_apart_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other, stat = tmp_path / "one", tmp_path / "other", os.stat
    one.touch()
    other.touch()

    def unnumbered(path: str | Path, **named: bool) -> os.stat_result:
        found = stat(path, **named)
        return os.stat_result((found.st_mode, 0, *found[2:]))

    monkeypatch.setattr(os, "stat", unnumbered)
    assert files.identity(one) != files.identity(other)
    assert files.identity(one) == files.identity(tmp_path / "." / "one")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    files.write_bytes(str(tmp_path / "link"), b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_device_stays_a_device() -> None:
    files.write_bytes(os.devnull, b"new")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_device_that_is_full_is_named() -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        files.write_bytes("/dev/full", b"new")
    assert caught.value.filename == "/dev/full"


@pytest.mark.parametrize("name", ["stdin", "stdout"])
def test_a_stream_that_is_closed_is_named(
    photo: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, name, None)
    source, target = ("-", str(photo)) if name == "stdin" else (str(photo), "-")
    with pytest.raises(OSError, match="is closed") as caught:
        files.check_source(source)
        files.check_target(target, replaces=True)
    assert caught.value.filename == name
    with pytest.raises(OSError, match="is closed"):
        files.read_bytes(source) if name == "stdin" else files.write_bytes(target, b"new")


def test_what_cannot_be_looked_at_is_refused_where_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, stat = tmp_path / "closed.png", os.stat
    closed.touch()

    def refuse(path: str | os.PathLike[str], **options: bool) -> os.stat_result:
        if str(path) == str(closed):
            raise PermissionError(errno.EACCES, "Permission denied", str(closed))
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", refuse)  # root may look at all there is
    assert files.seekable(str(closed)) == str(closed)
    assert list(files.tree(str(tmp_path), lambda name: True, None)) == [str(closed)]
    with pytest.raises(PermissionError):
        files.check_target(str(closed), replaces=True)


def test_permissions_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o640)
    files.write_bytes(str(path), b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_drive_without_permissions_is_not_asked_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refuse)
    for content in (b"old", b"new"):
        files.write_bytes(str(tmp_path / "a"), content)
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_binary_to_a_terminal_is_refused(photo: Path) -> None:
    import pty

    master, slave = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "hvae_codec", "encode", str(photo), "-o", "-"],
        stdout=slave,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(slave)
    os.close(master)
    assert done.returncode == 1
    assert done.stderr == "Error: refusing to write binary data to a terminal\n"

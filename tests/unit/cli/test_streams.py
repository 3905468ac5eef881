"""Names that stand for open streams: what is behind them is added to, never emptied or replaced."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

from hvae_codec.cli import files

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="there is no /dev/fd here")

COPY = """
import sys
from hvae_codec.cli import files
files.check_source(sys.argv[1])
files.check_target(sys.argv[2], replaces=True)
files.write_bytes(sys.argv[2], files.read_bytes(sys.argv[1]))
"""


def copy(source: str, target: str, **streams: object) -> None:
    subprocess.run([sys.executable, "-c", COPY, source, target], check=True, **streams)  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link", "-"])
def test_what_the_shell_opened_to_append_to_is_appended_to(name: str, tmp_path: Path) -> None:
    if not os.path.exists(name) and name.startswith("/proc"):
        pytest.skip("there is no /proc here")
    archive, photo, link = tmp_path / "archive", tmp_path / "photo", tmp_path / "link"
    archive.write_bytes(b"before ")
    photo.write_bytes(b"after")
    link.symlink_to("/dev/stdout")
    with archive.open("ab") as stream:
        copy(str(photo), str(link) if name == "link" else name, stdout=stream)
    assert archive.read_bytes() == b"before after"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "link", "photo"]


def test_further_descriptors_are_written_to(tmp_path: Path) -> None:
    (tmp_path / "photo").write_bytes(b"photo")
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream:
        copy(str(tmp_path / "photo"), f"/dev/fd/{writing}", pass_fds=[writing])
        os.close(writing)
        assert stream.read() == b"photo"


def test_stdin_by_name_is_read_from_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "both").write_bytes(b"firstsecond")
    with (tmp_path / "both").open("rb", buffering=0) as stream:
        stream.read(5)
        copy("/dev/stdin", str(tmp_path / "out"), stdin=stream)
    assert (tmp_path / "out").read_bytes() == b"second"


def test_other_names_are_no_streams(tmp_path: Path) -> None:
    (tmp_path / "7").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("7", "missing", "loop", "."):
        assert files.descriptor(tmp_path / name) is None
    assert files.descriptor("/dev/null") is None


def test_a_stream_has_no_suffix_and_gets_the_format(
    hvae: Callable[..., Result], coded: Path
) -> None:
    with coded.with_suffix(".out").open("wb") as stream:
        name = f"/dev/fd/{stream.fileno()}"
        result = hvae("decode", coded, "-o", name, "--format", "tif")
    assert result.exit_code == 0, result.stderr
    assert f" -> {name} " in result.stderr
    assert Image.open(stream.name).format == "TIFF"

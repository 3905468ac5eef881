"""Many files at once: what goes where, what is refused before the work, and what an end leaves."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click import ClickException
from click.testing import Result
from PIL import Image

from hvae_codec.bitstream import MAGIC
from hvae_codec.cli.batch import Job, Settings, run

Run = Callable[..., Result]


@pytest.fixture
def photos(photo: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three photographs in the current folder, the second of which is damaged."""
    monkeypatch.chdir(photo.parent)
    names = ["a.png", "b.png", "c.jpg"]
    for name in names:
        Image.open(photo).save(name)
    photo.unlink()
    Path("b.png").write_bytes(b"no picture")
    return names


def contents() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def test_a_failure_does_not_stop_the_others_and_is_told_at_the_end(
    hvae: Run, photos: list[str]
) -> None:
    result = hvae("encode", *photos)
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert [line.split()[0] for line in lines] == ["a.png", "c.jpg", "Error:", "Error:"]
    assert lines[2:] == [
        "Error: b.png: not an image in a format that Pillow knows",
        "Error: 1 of 3 files failed",
    ]
    assert sorted(contents()) == ["a.hvae", "a.png", "b.png", "c.hvae", "c.jpg"]


def test_a_folder_to_write_to_is_made(hvae: Run, photos: list[str]) -> None:
    photos.remove("b.png")
    assert hvae("encode", *photos, "--out-dir", "new/folder", "--quiet").output == ""
    coded = ["new/folder/a.hvae", "new/folder/c.hvae"]
    assert sorted(contents()) == ["a.png", "b.png", "c.jpg", *coded]
    assert hvae("decode", *coded, "--out-dir", "back").exit_code == 0
    assert Image.open("back/c.png").size == Image.open("c.jpg").size


def test_a_folder_that_cannot_be_made_costs_only_what_goes_there(
    hvae: Run, photos: list[str]
) -> None:
    Path("tree/sub/deep").mkdir(parents=True)
    for place in ("tree/a.png", "tree/sub/b.png", "tree/sub/deep/c.png"):
        shutil.copy("a.png", place)
    Path("out").mkdir()
    Path("out/sub").touch()
    result = hvae("encode", "-r", "tree", "--out-dir", "out", "--quiet")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "Error: out/sub: File exists",
        "Error: out/sub/deep: Not a directory",
        "Error: 2 of 3 files failed",
    ]
    assert Path("out/a.hvae").is_file()
    result = hvae("encode", *photos, "--out-dir", "out/sub/new")
    assert (result.exit_code, result.stderr) == (1, "Error: out/sub/new: Not a directory\n")


def test_nothing_is_done_where_json_cannot_be_told(
    photos: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    settings = Settings(None, Path("out"), 1, None, None, False, True)
    jobs = [Job(name, f"out/{name}.hvae") for name in photos]
    with pytest.raises(ClickException, match="stdout: is closed"):
        run(jobs, lambda job: pytest.fail("done"), settings)
    assert not Path("out").exists()


def test_json_is_a_line_for_every_file_in_order(hvae: Run, photos: list[str]) -> None:
    result = hvae("encode", "c.jpg", "a.png", "--json", "--quiet", "--out-dir", "o")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["input"] for record in records] == ["c.jpg", "a.png"]
    assert [record["output"] for record in records] == ["o/c.hvae", "o/a.hvae"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("encode", "a.png", "b.png", "-o", "x.hvae"), "one output for 2 inputs; use --out-dir"),
        (("encode", "a.png", "-o", "x.hvae", "--out-dir", "o"), "exclude each other"),
        (("encode", "a.png", "a.jpg"), "a.hvae would be the output of both a.png and a.jpg"),
        (("encode", "a.png", "a.png"), "a.hvae would be the output of both a.png and a.png"),
        (("encode", "a.png", "deep/a.png", "--out-dir", "o"), "o/a.hvae would be the output of"),
        (("encode", "a.png", "-o", "a.png"), "a.png is an input and would be an output too"),
        (("encode", "a.png", "-o", "link.png"), "link.png is an input and would be an output too"),
        (("decode", "a.hvae", "x.bin", "a.png"), "a.png is an input and would be an output too"),
        (("encode", "a.png", "-"), None),
        (("encode", "a.png", "b.png", "-"), "an input from a pipe needs -o"),
        (("encode", "-", "--out-dir", "o"), "an input from a pipe needs -o"),
        (("encode", "a.png", "-o", ""), "the output's name is empty"),
        (("encode", "a.png", "--out-dir", ""), "the folder's name is empty"),
        (("decode", "a.hvae", ""), "the output's name is empty"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_the_work(
    hvae: Run, photos: list[str], arguments: tuple[str, ...], message: str | None
) -> None:
    os.symlink("a.png", "link.png")
    before = contents()
    result = hvae(*arguments)
    assert result.exit_code == (2 if message else 0)
    assert (message or "") in result.stderr
    assert contents() == before
    assert not Path("o").exists()


def test_two_images_are_two_inputs(hvae: Run, photos: list[str]) -> None:
    assert hvae("encode", "a.png", "c.jpg").exit_code == 0
    assert {"a.hvae", "c.hvae"} <= set(contents())


def test_two_files_of_ours_are_two_inputs(hvae: Run, photos: list[str]) -> None:
    hvae("encode", "a.png", "c.jpg")
    shutil.move("a.png", "original")
    assert hvae("decode", "a.hvae", "c.hvae").exit_code == 0
    assert {"a.png", "c.png"} <= set(contents())


def test_outputs_that_exist_are_told_at_once_and_left(hvae: Run, photos: list[str]) -> None:
    Path("a.hvae").write_bytes(b"old")
    for options in ((), ("--out-dir", ".", "--no-overwrite")):
        result = hvae("encode", "a.png", "c.jpg", *options)
        assert result.exit_code == 1
        lines = result.stderr.splitlines()
        assert lines[0] == "Error: a.hvae: exists already; --overwrite replaces it"
        assert lines[1].startswith("c.jpg ")
        assert Path("a.hvae").read_bytes() == b"old"
        Path("c.hvae").unlink()
    assert hvae("encode", "a.png", "c.jpg", "--overwrite").exit_code == 0


@pytest.mark.parametrize("out_dir", [".", "../{here}", "link", "linked"])
def test_an_original_beside_its_file_is_not_replaced(
    hvae: Run, photos: list[str], out_dir: str
) -> None:
    assert hvae("encode", "a.png", "--quiet").exit_code == 0
    Path("a.png").write_bytes(b"the original")
    Path("link").symlink_to(".")
    Path("linked").mkdir()
    Path("linked/a.png").symlink_to("../a.png")
    options = ("--out-dir", out_dir.format(here=Path.cwd().name))
    refused = hvae("decode", "a.hvae", *options)
    assert refused.exit_code == 1
    assert "a.png: exists already; --overwrite replaces it" in refused.stderr
    assert Path("a.png").read_bytes() == b"the original"
    assert hvae("decode", "a.hvae", *options, "--overwrite").exit_code == 0
    assert Image.open("a.png").size == (24, 16)


def test_files_of_another_folder_are_replaced(hvae: Run, photos: list[str]) -> None:
    hvae("encode", "a.png")
    Path("o").mkdir()
    Path("o/a.png").write_bytes(b"old")
    assert hvae("decode", "a.hvae", "--out-dir", "o").exit_code == 0
    assert Image.open("o/a.png").size == Image.open("a.png").size


@pytest.mark.skipif(sys.platform != "linux", reason="needs names of any bytes")
def test_json_names_a_file_that_is_not_utf_8(hvae: Run, photos: list[str]) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    shutil.copy("a.png", name)
    result = hvae("encode", name, "--json", "--quiet")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["input"] == name


def test_processes_keep_the_order_and_go_on_after_a_failure(
    photos: list[str], shipped: Path
) -> None:
    """Other processes have the codec itself, not its stand-in."""
    done = subprocess.run(
        [sys.executable, "-m", "hvae_codec", "encode", *photos, "-j", "2", "--json", "--quiet"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["input"] for record in records] == ["a.png", "c.jpg"]
    assert done.stderr == (
        "Error: b.png: not an image in a format that Pillow knows\nError: 1 of 3 files failed\n"
    )
    for name in ("a.hvae", "c.hvae"):
        assert Path(name).read_bytes().startswith(MAGIC)


SLOW = """
import os, signal, sys, time
import click
from hvae_codec.cli import batch, files

if __name__ == "__mp_main__" and "STARTS_FOR_EVER" in os.environ:
    os.write(1, b"begun\\n")
    time.sleep(600)

def half(job):
    with files.writing(job.target) as stream:
        stream.write(bytes(100_000))
        stream.flush()
        os.write(1, b"half\\n")  # at once: processes share the pipe
        if job.source == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if not job.source.startswith("quick"):
            time.sleep(600)
    return batch.Done("", {})

@click.command()
@click.argument("jobs", type=int)
@click.argument("sources", nargs=-1)
def main(jobs, sources):
    settings = batch.Settings("", None, jobs, None, True, False, False)
    batch.run([batch.Job(source, source + ".out") for source in sources], half, settings)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # may ignore them
    main()
"""


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., subprocess.Popen]:
    """Start writing files that take ten minutes each, and return when so many are half written."""
    folder = tmp_path / "slow"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (tmp_path / "slow.py").write_text(SLOW)

    def start(jobs: int, *sources: str, begun: int | None = None) -> subprocess.Popen:
        for source in sources:
            Path(source).write_text("input")
            Path(source + ".out").write_text("old")
        child = subprocess.Popen(
            [sys.executable, str(tmp_path / "slow.py"), str(jobs), *sources],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        assert child.stdout
        for _ in range(jobs if begun is None else begun):
            assert child.stdout.readline() == "half\n"
        return child

    return start


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize(
    ("jobs", "name", "to_group"),
    [(1, "SIGINT", True), (2, "SIGINT", True), (2, "SIGTERM", False), (2, "SIGHUP", True)],
)
def test_an_interrupted_batch_leaves_the_old_files_and_no_others(
    slow: Callable[..., subprocess.Popen], jobs: int, name: str, to_group: bool
) -> None:
    child = slow(jobs, "a", "b", "c")
    number = getattr(signal, name)  # Windows, where this is skipped, has no SIGHUP
    (os.killpg if to_group else os.kill)(child.pid, number)
    _, errors = child.communicate(timeout=120)  # a file takes 600 s: nobody waited for it
    assert child.returncode == 1
    # a hang-up of the group also ends multiprocessing's own bookkeeper, which Python tells
    told = errors.splitlines() if name == "SIGHUP" else [errors.strip()]
    assert "Aborted!" in told
    assert contents() == {
        name: content
        for source in "abc"
        for name, content in ((source, b"input"), (source + ".out", b"old"))
    }


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_processes_that_only_start_end_without_a_word(
    slow: Callable[..., subprocess.Popen], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STARTS_FOR_EVER", "1")
    child = slow(2, "a", "b", begun=0)
    assert child.stdout
    assert [child.stdout.readline() for _ in range(2)] == ["begun\n"] * 2
    os.killpg(child.pid, signal.SIGINT)
    _, errors = child.communicate(timeout=120)
    assert (child.returncode, errors.strip()) == (1, "Aborted!")


@pytest.mark.skipif(sys.platform != "linux", reason="needs signals, and /proc")
def test_no_process_outlives_the_one_that_gave_it_work(
    slow: Callable[..., subprocess.Popen],
) -> None:
    child = slow(2, "a", "b", "c")
    child.kill()
    child.wait()
    assert child.stdout
    child.stdout.read()  # ends when the last one that could write there has ended
    assert not list(Path().glob(".*.part"))


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_killed_process_is_told_and_the_other_files_are_done(
    slow: Callable[..., subprocess.Popen],
) -> None:
    child = slow(2, "killed", "quick1", "killed", "quick2", "quick3", begun=1)
    _, errors = child.communicate(timeout=120)
    assert child.returncode == 1
    assert errors.count("Error: killed: not done, its process was killed") == 2
    assert "Error: 2 of 5 files failed" in errors
    assert Path("killed.out").read_text() == "old"
    for source in ("quick1", "quick2", "quick3"):
        assert Path(source + ".out").read_bytes() == bytes(100_000)

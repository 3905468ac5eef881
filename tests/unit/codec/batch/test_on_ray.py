"""The engine of a cluster, on a cluster that Ray starts on this machine and stops."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hvae_codec.codec.batch import Job, OnRay, Target, ToCoded, ToImages, plan, run
from hvae_codec.codec.options import EncodeOptions

from .conftest import drawn, read_tar, rows_of, samples_of, write_tar

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shipped")]


def test_a_cluster_writes_the_shards_that_processes_write(photos: Path, tmp_path: Path) -> None:
    from hvae_codec.codec.batch import Local

    how = ToCoded(EncodeOptions(30))
    seen = []
    for name, engine in (("local", Local(2)), ("ray", OnRay(2))):
        job = Job((str(photos),), Target(str(tmp_path / name)), how, shard_size=5)
        totals = run(job, plan(job).tasks, engine, lambda *told: seen.append(told))
        assert (totals.stats.successes, totals.stats.failed) == (12, 1)
        assert not totals.failures
        assert not plan(job).tasks
    for number in range(3):
        tars = [read_tar(tmp_path / name / f"{number:05d}.tar") for name in ("local", "ray")]
        assert tars[0] == tars[1]
    assert not ray.is_initialized()
    assert sum(images for images, _, _ in seen) == 26


def test_a_cluster_that_does_not_answer_is_named(photos: Path, tmp_path: Path) -> None:
    job = Job((str(photos),), Target(str(tmp_path / "out")), ToCoded(EncodeOptions(30)))
    with pytest.raises(OSError, match=r"reached at 127\.0\.0\.1:1: .*refused"):
        run(job, plan(job).tasks, OnRay(address="127.0.0.1:1"), lambda *told: None)
    assert not ray.is_initialized()


def test_a_tar_of_a_cluster(tmp_path: Path) -> None:
    write_tar(tmp_path / "in.tar", {f"{k}.png": drawn(k) for k in range(9)})
    job = Job((str(tmp_path / "in.tar"),), Target(str(tmp_path / "out")), ToImages())
    totals = run(job, plan(job).tasks, OnRay(2), lambda *told: None)
    assert totals.stats.kept_original == 9
    assert sorted(samples_of(tmp_path / "out")) == sorted(drawn(k) for k in range(9))


KILLED = """
import os, signal, sys
from pathlib import Path
from dataclasses import dataclass
from hvae_codec.codec.batch import Job, OnRay, Row, Target, plan, run

@dataclass(frozen=True)
class Killing:
    memory_bytes: int = 10**8
    description = "kill"
    def load(self): pass
    def outcome(self, data):
        if b"kill" in data:
            os.kill(os.getpid(), signal.SIGKILL)
        return data, None, Row("kept_original")

job = Job((sys.argv[1],), Target(sys.argv[2]), Killing(), shard_size=3)
totals = run(job, plan(job).tasks, OnRay(2), lambda *told: None)
print(totals.stats.kept_original, totals.stats.failed_to_transcode, len(totals.failures))
"""


def test_an_image_that_kills_its_process_is_a_row(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for k in range(7):
        (tmp_path / "in" / f"{k}.png").write_bytes(b"kill" if k == 4 else drawn(k))
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "in"), str(tmp_path / "out")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1:] == ["6 1 0"], done.stderr  # Ray prints there as well
    (row,) = [row for row in rows_of(tmp_path / "out") if row["status"] != "kept_original"]
    assert (row["key"], row["error"][:23]) == ("4", "its process was killed ")


@pytest.mark.usefixtures("heeded_signals")
def test_what_is_broken_off_leaves_what_is_done(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for k in range(60):
        (tmp_path / "in" / f"{k:02d}.png").write_bytes(drawn(k, (96, 64)))
    folders = [str(tmp_path / "in"), str(tmp_path / "out")]
    options = ["--engine", "ray", "-j", "2", "--shard-size", "10"]
    command = [sys.executable, "-m", "hvae_codec", "transcode", *folders, *options]
    child = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    while not list((tmp_path / "out").glob("*_stats.json")):
        assert child.poll() is None
    os.kill(child.pid, signal.SIGINT)
    _, errors = child.communicate(timeout=120)
    assert "Aborted!" in errors
    assert child.returncode == 1
    before = len(rows_of(tmp_path / "out"))
    assert 10 <= before < 60
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    keys = [row["key"] for row in rows_of(tmp_path / "out")]
    assert sorted(keys) == [f"{k:02d}" for k in range(60)]

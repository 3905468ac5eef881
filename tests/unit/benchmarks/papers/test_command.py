"""The command as a user has it, over all tables at the smallest scale: 70 seconds of a core."""

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from hvae_codec.benchmarks.papers.jobs import Chosen
from hvae_codec.benchmarks.papers.scales import TINY
from hvae_codec.benchmarks.papers.tables import TABLES
from hvae_codec.cli import main


def papers(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["papers", *map(str, arguments)])


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("papers")
    page = folder / "docs" / "papers.md"
    result = papers("all", "--scale", "tiny", "--out", folder / "out", "--markdown", page)
    assert result.exit_code == 0, result.output
    return folder, result


@pytest.mark.slow
def test_all_tables_run_and_are_reported(everything: tuple[Path, Result]) -> None:
    folder, result = everything
    page = (folder / "docs" / "papers.md").read_text("utf-8")
    for name, table in TABLES.items():
        assert f"## {name}\n" in page
        assert table.claim in page and table.paper in page
        assert re.search(rf"^{re.escape(name)} +not tested: the tiny scale", result.stdout, re.M)
    assert "Errata" in page and "not run:" not in page
    assert "nan" not in page
    figures = re.findall(r"\]\((papers/[^)]+)\.png\)", page)
    assert len(figures) >= 15
    for figure in figures:
        is_sheet = figure.endswith(("samples", "reconstructions"))
        for suffix in (".png",) if is_sheet else (".png", ".svg"):
            assert (folder / "docs" / (figure + suffix)).stat().st_size > 1000


@pytest.mark.slow
def test_a_second_call_runs_nothing(everything: tuple[Path, Result]) -> None:
    folder, _ = everything
    before = {p: p.stat().st_mtime_ns for p in (folder / "out" / "results").iterdir()}
    result = papers("all", "--scale", "tiny", "--out", folder / "out")
    assert result.exit_code == 0
    assert "seed" not in result.stderr
    assert before == {p: p.stat().st_mtime_ns for p in (folder / "out" / "results").iterdir()}


@pytest.mark.slow
def test_a_page_goes_on_from_its_own_results(everything: tuple[Path, Result]) -> None:
    folder, _ = everything
    page = folder / "docs" / "papers.md"
    before = {p: p.read_bytes() for p in folder.glob("docs/**/*") if p.is_file()}
    assert any(p.suffix == ".npz" for p in before)
    result = papers("all", "--scale", "tiny", "--out", folder / "elsewhere", "--markdown", page)
    assert result.exit_code == 0
    assert "seed" not in result.stderr
    assert not list(folder.glob("elsewhere/results/*"))
    after = {p: p.read_bytes() for p in before}
    assert {p.name for p in before if before[p] != after[p]} == set()


@pytest.mark.slow
def test_runs_are_shared_between_tables(everything: tuple[Path, Result]) -> None:
    """DVP-VAE's tables 4 and 5 have their models in common."""
    folder, _ = everything
    asked = sum(
        min(2, job.seeds) for table in TABLES.values() for job in table.jobs(TINY, Chosen())
    )
    assert len(list((folder / "out" / "results").glob("*.json"))) < asked


def test_the_list_names_every_table() -> None:
    lines = papers("--list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(TABLES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name a table, a paper or all"),
        (("dvp-vae/99", "--scale", "tiny"), "no table is called dvp-vae/99"),
        (("dvp-vae/4",), "--data is needed"),
        (("all", "--scale", "large"), "'large' is not one of"),
        (("all", "--seeds", "0"), "0 is not in the range"),
        (("all", "--scale", "tiny", "--markdown", "page"), "name a file with a suffix, .md"),
    ],
)
def test_misuse(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    result = papers(*arguments, "--out", tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr


def test_missing_data_is_named_and_not_tested(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    result = papers("dvp-vae/cifar10", "dvp-vae/3", "--data", data, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.count("hvae-codec dataset cifar10 --to") == 1
    assert "the same command goes on" not in result.stderr
    assert "not tested" in result.stdout


def test_a_run_that_a_deadline_stopped_goes_on(tmp_path: Path) -> None:
    result = papers("notes/gaps", "--scale", "tiny", "--minutes", 0, "--out", tmp_path)
    assert result.exit_code == 0
    assert "not all is run: the same command goes on" in result.stderr


def blamed(result: Result, path: Path, message: str) -> None:
    """Check for one line that names a file, and no traceback."""
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"Error: {path}: ") and message in last


ONE_IMAGE = np.zeros((24, 1, 28, 28), np.uint8)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"junk",
        b"PK\x03\x04junk",
        {"test": ONE_IMAGE},
        {"train": ONE_IMAGE, "test": ONE_IMAGE[..., 1:]},
        {"train": ONE_IMAGE, "test": ONE_IMAGE / 255},
    ],
    ids=["empty", "junk", "half a zip", "no train", "other sides", "floats"],
)
def test_a_file_that_is_not_the_set_is_named(
    content: bytes | dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "mnist.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, **content)  # type: ignore[arg-type]
    result = papers("notes/gaps", "--data", tmp_path, "--out", tmp_path / "out", "--scale", "tiny")
    blamed(result, path, "this is not the set mnist")


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    arguments = "notes/gaps", "--scale", "tiny", "--out", tmp_path
    assert papers(*arguments).exit_code == 0
    for path in (tmp_path / "results").iterdir():
        path.unlink()
    for path in tmp_path.glob("runs/*/checkpoint.pt"):
        path.write_bytes(b"something else")
    result = papers(*arguments)
    (path,) = (p for p in tmp_path.glob("runs/*/checkpoint.pt") if str(p) in result.stderr)
    blamed(result, path, "checkpoint.pt is not a checkpoint: delete it to train anew")


@pytest.mark.parametrize("content", ["junk", "[]", "{}"])
def test_a_damaged_result_is_named(content: str, tmp_path: Path) -> None:
    arguments = "notes/gaps", "--scale", "tiny", "--out", tmp_path
    assert papers(*arguments).exit_code == 0
    path, *_ = (tmp_path / "results").iterdir()
    path.write_text(content)
    blamed(papers(*arguments), path, "this holds no result: delete it to measure anew")
    assert path.read_text() == content


def test_sheets_that_hold_no_pictures_are_named(tmp_path: Path) -> None:
    arguments = "dvp-vae/samples", "--scale", "tiny", "--out", tmp_path
    assert papers(*arguments).exit_code == 0
    (path,) = tmp_path.glob("results/*.npz")
    path.write_bytes(b"something else")
    blamed(papers(*arguments), path, f"delete it and {path.stem}.json to measure anew")


@pytest.mark.parametrize("content", ["junk", "[]", "{}"])
def test_results_of_a_page_that_are_none_are_named(content: str, tmp_path: Path) -> None:
    results = tmp_path / "page" / "results.jsonl"
    results.parent.mkdir()
    results.write_text(content)
    page = tmp_path / "page.md"
    result = papers("notes/gaps", "--scale", "tiny", "--out", tmp_path / "o", "--markdown", page)
    blamed(result, results, "this holds no results of papers")
    assert results.read_text() == content


def test_a_page_that_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    page = tmp_path / "file" / "page.md"
    result = papers("notes/gaps", "--scale", "tiny", "--out", tmp_path, "--markdown", page)
    assert result.exit_code == 1
    assert str(tmp_path / "file") in result.stderr
    assert not (tmp_path / "runs").exists()

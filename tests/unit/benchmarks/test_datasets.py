import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from hvae_codec.benchmarks import datasets
from tests.web_server import served

pytest.importorskip("pooch")
CONTENT = {"kodim01.png": b"first image", "kodim02.png": b"second image"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    for name, data in CONTENT.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def asked(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Serve `home` on this machine in the place of the suite's; yields what is asked for."""
    with served(home) as (address, requests):
        monkeypatch.setattr(datasets, "KODAK_HOME", address)
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in CONTENT.items()}
        monkeypatch.setattr(datasets, "KODAK", sums)
        yield requests


def test_images_arrive_whole(asked: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "new" / "kodak"
    assert datasets.fetch_kodak(folder) == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENT


def test_only_what_is_missing_or_damaged_is_fetched(asked: list[str], tmp_path: Path) -> None:
    datasets.fetch_kodak(tmp_path / "to")
    assert datasets.fetch_kodak(tmp_path / "to") == 0
    asked.clear()
    (tmp_path / "to" / "kodim02.png").write_bytes(b"second im")
    assert datasets.fetch_kodak(tmp_path / "to") == 1
    assert asked == ["/kodim02.png"]
    assert (tmp_path / "to" / "kodim02.png").read_bytes() == CONTENT["kodim02.png"]


def test_a_wrong_checksum_leaves_no_file(asked: list[str], home: Path, tmp_path: Path) -> None:
    (home / "kodim02.png").write_bytes(b"another image")
    with pytest.raises(OSError, match="another checksum") as caught:
        datasets.fetch_kodak(tmp_path / "to")
    assert caught.value.filename.endswith("/kodim02.png")
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["kodim01.png"]


def test_a_file_that_is_not_there(asked: list[str], home: Path, tmp_path: Path) -> None:
    (home / "kodim01.png").unlink()
    with pytest.raises(OSError, match=r"was refused \(HTTPError\)"):
        datasets.fetch_kodak(tmp_path / "to")


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # nobody listens on port 9 of this machine, and a proxy must not answer for it
    monkeypatch.setattr(datasets, "KODAK_HOME", "http://127.0.0.1:9/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(OSError, match="cannot be reached; no network"):
        datasets.fetch_kodak(tmp_path / "to")


def test_the_suite_is_complete() -> None:
    assert list(datasets.KODAK) == [f"kodim{number:02}.png" for number in range(1, 25)]
    sums = "".join(f"{value}  {name}\n" for name, value in datasets.KODAK.items())
    assert hashlib.sha256(sums.encode()).hexdigest().startswith("3eaa5bd52eb8c894")


def test_the_sums_are_those_of_the_images_at_hand(kodak: Path) -> None:
    for name, expected in datasets.KODAK.items():
        assert hashlib.sha256((kodak / name).read_bytes()).hexdigest() == expected

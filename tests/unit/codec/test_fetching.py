"""Weights of other versions are fetched by their hash, checked, and kept."""

import hashlib
from pathlib import Path

import pytest

from hvae_codec.codec.errors import WeightsError
from hvae_codec.codec.fetching import SOURCE_VARIABLE, fetch_weights

CONTENT = b"weights of an earlier version"
PREFIX = hashlib.sha256(CONTENT).digest()[:4]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / f"{PREFIX.hex()}.safetensors").write_bytes(CONTENT)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(SOURCE_VARIABLE, str(folder))
    return folder


def test_weights_are_fetched_once(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch_weights(PREFIX)
    assert path is not None
    assert path.read_bytes() == CONTENT
    monkeypatch.delenv(SOURCE_VARIABLE)
    assert fetch_weights(PREFIX) == path
    assert fetch_weights(b"else") is None


def test_what_has_another_hash_is_not_taken(store: Path, tmp_path: Path) -> None:
    (store / f"{PREFIX.hex()}.safetensors").write_bytes(b"others")
    with pytest.raises(WeightsError, match="has another hash"):
        fetch_weights(PREFIX)
    with pytest.raises(WeightsError, match="656c7365 cannot be fetched"):
        fetch_weights(b"else")
    assert not list((tmp_path / "cache" / "hvae-codec").iterdir())


def test_a_kept_file_that_was_damaged_is_fetched_again(store: Path) -> None:
    path = fetch_weights(PREFIX)
    assert path is not None
    path.write_bytes(b"damaged")
    assert fetch_weights(PREFIX) == path
    assert path.read_bytes() == CONTENT

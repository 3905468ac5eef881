"""Weights of other versions are fetched by their hash, checked, and kept."""

import hashlib
import io
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hvae_codec.bitstream import Header, Tile, TileCoder, WrongWeights, write_container
from hvae_codec.codec.errors import WeightsError
from hvae_codec.codec.networks.fetching import SOURCE_VARIABLE, fetch_weights
from hvae_codec.codec.networks.weight_paths import weights_named
from hvae_codec.codec.networks.weights import codec_for

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


def test_a_user_without_a_home_decodes_and_fetches_nothing(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", unknown)
    with pytest.raises(WeightsError, match="cannot be kept: set HOME or XDG_CACHE_HOME"):
        fetch_weights(PREFIX)
    monkeypatch.delenv(SOURCE_VARIABLE)
    assert fetch_weights(PREFIX) is None
    assert weights_named(PREFIX) is None


def test_weights_that_cannot_be_read_are_passed_over(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "cache" / "hvae-codec"
    kept.mkdir(parents=True)
    (kept / "x.safetensors").symlink_to(tmp_path / "nowhere")
    monkeypatch.delenv(SOURCE_VARIABLE)
    with pytest.raises(WrongWeights):
        codec_for(Header(width=1, height=1, quality=1, tile_side=1, weights=PREFIX))


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


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "ftp://example.com",
        "ftp://127.0.0.1",
        "data://,x",
    ],
)
def test_another_machine_is_asked_by_https_alone(
    store: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv(SOURCE_VARIABLE, address)
    with pytest.raises(WeightsError, match="a folder or by https"):
        fetch_weights(PREFIX)


@pytest.mark.parametrize("address", ["http://elsewhere.example.com/x", "ftp://example.com/x"])
def test_an_address_that_leads_elsewhere_is_not_followed(
    store: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    answer = io.BytesIO(CONTENT)
    answer.url = address  # type: ignore[attr-defined]
    monkeypatch.setattr("urllib.request.urlopen", lambda *asked, **options: answer)
    monkeypatch.setenv(SOURCE_VARIABLE, "https://example.com")
    with pytest.raises(WeightsError, match="which is not https"):
        fetch_weights(PREFIX)


def test_what_was_fetched_is_at_hand(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = Header(8, 8, 50, 2, PREFIX)
    assert weights_named(header.weights) is None
    fetch_weights(PREFIX)
    monkeypatch.delenv(SOURCE_VARIABLE)
    assert weights_named(header.weights)


@pytest.mark.parametrize(
    "answer",
    [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\ncut"],
)
def test_a_server_that_speaks_no_http_is_told_of(
    store: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        monkeypatch.setenv(SOURCE_VARIABLE, f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(WeightsError, match="cannot be fetched"):
            fetch_weights(PREFIX)
        thread.join(30)


def test_a_closed_home_is_not_to_blame(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SOURCE_VARIABLE)
    stat = os.stat

    def closed(path: object, **named: bool) -> os.stat_result:
        if str(path).endswith(f"{PREFIX.hex()}.safetensors"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", closed)
    assert fetch_weights(PREFIX) is None


OFFLINE = """
import os, sys
sys.addaudithook(lambda event, _: event.startswith("socket.") and os._exit(9))
import hvae_codec
from hvae_codec.bitstream import WrongWeights

data = hvae_codec.encode(sys.argv[1], 20)
hvae_codec.decode(data), hvae_codec.inspect(data), hvae_codec.open(data).decode(scale=8)
index = hvae_codec.inspect(data)
try:
    hvae_codec.decode(open(sys.argv[2], "rb").read())
except WrongWeights:
    print("offline")
"""


def test_nothing_is_asked_of_the_network_unless_the_user_says_where(
    photograph: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SOURCE_VARIABLE, raising=False)
    Image.fromarray(photograph[:40, :40]).save(tmp_path / "a.png")
    header = Header(width=40, height=40, quality=9, tile_side=2, weights=b"\1\2\3\4")
    words = np.zeros(0, np.uint32)
    tile = Tile(words, (0,) * 7, (0,) * 7, b"", 0, TileCoder.LEARNED, b"", 0)
    (tmp_path / "strange.hvae").write_bytes(write_container(header, (), [tile]))
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, tmp_path / "a.png", tmp_path / "strange.hvae"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout == "offline\n", (done.returncode, done.stderr)

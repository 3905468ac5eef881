"""`view` and `export-web`: what they serve and write. The page's own tests are in web/test."""

import errno
import io
import json
import os
import runpy
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from http.server import HTTPServer
from pathlib import Path
from typing import IO, Any
from urllib.request import urlopen

import pytest
from click.testing import Result

from hvae_codec.cli import site
from hvae_codec.cli.view_server import Server
from hvae_codec.codec.networks.weight_file import read_weight_file
from hvae_codec.codec.networks.weight_paths import shipped_weights
from hvae_codec.codec.options import TUNES

Run = Callable[..., Result]


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """What `npm install` leaves, as far as its names go."""
    needed = site.needed_runtime()
    folder = tmp_path / "node_modules" / needed.package / "dist"
    folder.mkdir(parents=True)
    for name in needed.files:
        (folder / name).write_bytes(name.encode())
    (folder.parent / "package.json").write_text(json.dumps({"version": needed.version}))
    return folder


@contextmanager
def served(contents: dict[str, bytes | Path]) -> Iterator[Callable[..., HTTPResponse]]:
    server = Server(contents, 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        host = f"localhost:{server.server_port}"

        def get(path: str, host: str = host, key: str = f"/{server.key}") -> HTTPResponse:
            connection = HTTPConnection("127.0.0.1", server.server_port, timeout=60)
            connection.request("GET", key + path, headers={"Host": host})
            return connection.getresponse()

        yield get
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_page_is_small_enough_to_be_part_of_the_package() -> None:
    files = dict(site.page_files())
    assert {"index.html", "hvae.js", "worker.js", "page.js", "page.css"} <= files.keys()
    assert sum(path.stat().st_size for path in files.values()) < 4_000_000


def test_a_file_is_served_as_it_is_so_that_threads_may_run(coded: Path) -> None:
    with served({**dict(site.page_files()), "files/0": coded}) as get:
        answer = get("/files/0")
        assert answer.status == 200
        assert answer.read() == coded.read_bytes()
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        page = get("/")
        assert page.headers["Content-Type"].startswith("text/html")
        assert b"<canvas" in page.read()
        assert get("/worker.js").headers["Content-Type"] == "text/javascript"


def test_only_what_was_named_is_served_and_only_to_this_machine(coded: Path) -> None:
    with served({"files/0": coded}) as get:
        for path in ("/files/1", "/../coded.hvae", f"/{coded}", "/weights/../../x"):
            assert get(path).status == 404
        answer = get("/files/0", host="elsewhere.example")
        assert answer.status == 403
        assert coded.read_bytes() not in answer.read()


def test_nothing_is_served_to_who_does_not_know_the_address(coded: Path) -> None:
    with served({"files/0": coded, "index.html": b"page"}) as get:
        assert get("/files/0").status == 200
        for key in ("", "/", "/guess"):
            assert get("/files/0", key=key).status == 404
            assert get("/", key=key).status == 404


def test_weights_are_served_by_their_whole_prefix_and_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = shipped_weights()
    prefix = read_weight_file(shipped).digest[:4].hex()
    with served({}) as get:
        whole = get(f"/weights/{prefix}/context.safetensors")
        assert whole.status == 200
        for other in ("", prefix[:2], f"{prefix}00"):
            assert get(f"/weights/{other}/context.safetensors").status == 404
        assert get("/weights/00112233/context.safetensors").status == 404
        (tmp_path / f"{prefix}.safetensors").write_bytes(shipped.read_bytes())
        monkeypatch.setenv("HVAE_CODEC_WEIGHTS_FROM", str(tmp_path))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr(
            "hvae_codec.codec.networks.weight_paths.weights_named", lambda prefix: None
        )
        assert get(f"/weights/{prefix}/context.safetensors").read() == whole.read()
        assert (tmp_path / "cache/hvae-codec" / f"{prefix}.safetensors").is_file()


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    with served({"files/0": tmp_path / "gone.hvae"}) as get:
        answer = get("/files/0")
        assert (answer.status, answer.read()) == (500, b"No such file or directory")


def test_a_large_file_is_never_held_whole(tmp_path: Path) -> None:
    large = tmp_path / "large.hvae"
    with large.open("wb") as file:
        file.truncate(64 << 20)
    with served({"files/0": large}) as get:
        tracemalloc.start()
        answer, size = get("/files/0"), 0
        while piece := answer.read(1 << 16):
            size += len(piece)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert size == 64 << 20
    assert peak < 8 << 20


def test_nobody_waits_for_the_rest_of_a_file_that_shrinks(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shrinking(io.BytesIO):
        def seek(self, at: int, whence: int = 0) -> int:
            return super().seek(at, whence) + (1 if whence == io.SEEK_END else 0)

    monkeypatch.setattr("io.BytesIO", Shrinking)
    with served({"files/0": b"ab"}) as get, pytest.raises(IncompleteRead):
        get("/files/0").read()


def test_view_refuses_what_it_cannot_show(
    hvae: Run, coded: Path, runtime: Path, tmp_path: Path
) -> None:
    result = hvae("view", tmp_path / "missing.hvae", "--runtime", runtime, "--no-open")
    assert result.exit_code == 1
    assert result.stderr == f"Error: {tmp_path}/missing.hvae: No such file or directory\n"
    taken = Server({}, 0)
    port = taken.server_port
    result = hvae("view", coded, "--runtime", runtime, "--no-open", "--port", port)
    taken.server_close()
    assert result.exit_code == 1
    assert result.stderr == f"Error: port {port}: Address already in use\n"


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_a_port_has_one_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HTTPServer, "allow_reuse_port", True)  # as later Pythons may have it
    taken = Server({}, 0)
    with pytest.raises(OSError, match="in use"):
        Server({}, taken.server_port)
    taken.server_close()
    monkeypatch.setattr(sys, "platform", "win32")
    there = runpy.run_module("hvae_codec.cli.view_server")
    assert not there["Server"].allow_reuse_address


def test_a_browser_that_waits_for_its_answer_gets_it(
    hvae: Run, coded: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers: list[Server] = []

    class Noted(Server):
        def __init__(self, contents: dict[str, bytes | Path], port: int):
            super().__init__(contents, port)
            servers.append(self)

    def browse(address: str) -> None:
        with urlopen(address, timeout=10) as answer:
            pages.append(answer.read())
        servers[0].shutdown()

    pages: list[bytes] = []
    monkeypatch.setattr("hvae_codec.cli.view_server.Server", Noted)
    monkeypatch.setattr("webbrowser.open", browse)  # as one does that runs in the terminal
    result = hvae("view", coded, "--runtime", runtime)
    assert (result.exit_code, result.stdout) == (0, f"{servers[0].address}\n")
    assert b"<canvas" in pages[0]


def test_without_its_runtime_the_page_says_how_to_get_it(
    hvae: Run, coded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in (("view", coded), ("export-web", "-o", tmp_path / "out")):
        result = hvae(*arguments)
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1
        assert f"npm install onnxruntime-web@{site.needed_runtime().version}" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_runtime_of_another_version_is_refused(hvae: Run, coded: Path, runtime: Path) -> None:
    (runtime.parent / "package.json").write_text('{"version": "0.0.1"}')
    result = hvae("view", coded, "--runtime", runtime)
    assert result.exit_code == 1
    assert "of version 0.0.1, the page was built with" in result.stderr


def test_a_runtime_that_cannot_be_read_is_refused_at_once(
    hvae: Run, coded: Path, runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, name = Path.open, site.needed_runtime().files[-1]

    def open_others(path: Path, mode: str = "r", **named: str | None) -> IO[Any]:
        if path.name == name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return really(path, mode, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "open", open_others)  # modes do not bind who tests as root
    for arguments in (("export-web", "-o", tmp_path / "out"), ("view", coded, "--no-open")):
        result = hvae(*arguments, "--runtime", runtime)
        assert result.exit_code == 1
        assert result.stderr == f"Error: {runtime / name}: Permission denied\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("package", ["", "[]", "{}"])
def test_a_runtime_whose_version_nothing_tells_is_taken(runtime: Path, package: str) -> None:
    (runtime.parent / "package.json").write_text(package)
    assert len([*site.runtime_files(runtime)]) == len(site.needed_runtime().files)


def test_export_web_writes_all_that_a_server_needs(
    hvae: Run, runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where node_modules is
    out = tmp_path / "out"
    result = hvae("export-web", "-o", out)
    assert result.exit_code == 0, result.stderr
    assert (out / "runtime/ort-wasm-simd-threaded.mjs").is_file()
    assert (out / "index.html").is_file()
    tunes = [read_weight_file(shipped_weights(tune)).digest[:4].hex() for tune in TUNES]
    assert {path.name for path in (out / "weights").iterdir()} == {*tunes}
    first = (out / "weights" / tunes[0] / "context.safetensors").stat().st_size
    page = sum(path.stat().st_size for path in out.iterdir() if path.is_file())
    assert first + page <= 6_000_000, "a first picture is to need no more beside the runtime"
    lines = result.stdout.splitlines()
    assert len(lines) == sum(path.is_file() for path in out.rglob("*"))
    assert any(f"{first:,}".replace(",", " ") in line for line in lines)

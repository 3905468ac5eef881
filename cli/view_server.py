"""The server of `hvae-codec view`: contents by their paths, on this machine alone."""

import functools
import io
import secrets
import shutil
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

from . import site

_KINDS = {
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
}


class Server(ThreadingHTTPServer):
    """Serves contents by their paths, on this machine alone.

    All paths begin with a key: other users of the machine reach the port as well.

    Args:
        contents: bytes, or files that are read whenever they are asked for.
        port: 0 takes any free one.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True
    # a port that is taken is refused: Windows would give an address to two, later Pythons a port
    allow_reuse_address = sys.platform != "win32"
    allow_reuse_port = False

    def __init__(self, contents: dict[str, site.Content], port: int):
        super().__init__(("127.0.0.1", port), _Handler)
        self.contents = contents
        self.key = secrets.token_urlsafe(16)

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.server_port}/{self.key}/"

    def path_of(self, asked: str) -> str | None:
        """Return the path that an address asks for; None where it lacks the key."""
        key, slash, path = asked.partition("?")[0].removeprefix("/").partition("/")
        return path if slash and secrets.compare_digest(key.encode(), self.key.encode()) else None

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a browser that wants no more of an answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def find(self, path: str) -> BinaryIO | None:
        """Open what lies at a path.

        Raises:
            OSError: it cannot be read.
        """
        content = self.contents.get(path or "index.html")
        if content is None and path.startswith("weights/"):
            content = _weight_part(path.removeprefix("weights/"))
        if isinstance(content, Path):
            return content.open("rb")
        return None if content is None else io.BytesIO(content)


def _weight_part(name: str) -> bytes | None:
    """Return a part of weights, whose folder is the beginning of their hash."""
    from ..bitstream.header import WEIGHTS_BYTES
    from ..codec.networks.fetching import fetch_weights
    from ..codec.networks.weight_paths import weights_named

    try:
        prefix = bytes.fromhex(name.partition("/")[0])
    except ValueError:
        return None
    if len(prefix) != WEIGHTS_BYTES:  # a shorter one is that of any weights
        return None
    with _splitting:  # a browser asks for several parts at once
        path = weights_named(prefix) or fetch_weights(prefix)
        return _parts(path).get(name) if path else None


_splitting = threading.Lock()


@functools.cache
def _parts(path: Path) -> dict[str, bytes]:
    from ..codec.networks.web import web_parts
    from ..codec.networks.weight_file import read_weight_file

    return dict(web_parts(read_weight_file(path)))


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with a file."""
        # another name would let a page from elsewhere read files by a name server of its own
        if self.headers.get("Host", "").partition(":")[0] not in ("127.0.0.1", "localhost"):
            self._say(HTTPStatus.FORBIDDEN, "only this machine is served")
            return
        path = self.server.path_of(self.path)
        try:
            found = None if path is None else self.server.find(path)
        except Exception as error:
            from ..codec.errors import explain

            message = explain(error)
            if message is None:
                raise
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, message)
            return
        if found is None:
            self._say(HTTPStatus.NOT_FOUND, "there is no such file")
            return
        with found:
            kind = _KINDS.get(Path(path or "index.html").suffix, "application/octet-stream")
            self._answer(HTTPStatus.OK, found, kind)

    def _say(self, status: HTTPStatus, message: str) -> None:
        self._answer(status, io.BytesIO(message.encode()), "text/plain")

    def _answer(self, status: HTTPStatus, data: BinaryIO, kind: str) -> None:
        size = data.seek(0, io.SEEK_END)
        data.seek(0)
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(size),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            # threads share memory only in pages that let nobody else in
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Embedder-Policy": "require-corp",
            "Cross-Origin-Resource-Policy": "same-origin",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        shutil.copyfileobj(data, self.wfile)
        if data.tell() != size:  # the file changed: nobody is to wait for the rest
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the page tells what goes wrong."""

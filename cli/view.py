"""`hvae-codec view`: files in a browser, decoded there."""

import functools
import json
import webbrowser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click

from . import console, files, site

_KINDS = {
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
}


@click.command()
@click.argument("sources", metavar="FILE...", nargs=-1, required=True)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="By default any free one.")
@click.option("--no-open", is_flag=True, help="Only say where the page is.")
@site.runtime_option
def view(sources: tuple[str, ...], port: int, no_open: bool, runtime: Path | None) -> None:
    """Show files in a browser, which decodes them.

    The page is served on this machine alone, until Ctrl-C. It needs the npm package
    onnxruntime-web.
    """
    contents: dict[str, site.Content] = dict(site.page_files())
    contents |= site.runtime_files(runtime)
    for number, source in enumerate(sources):
        with console.blame(source):
            found = files.seekable(source)
            if isinstance(found, str):
                Path(found).open("rb").close()  # refused now, and not when the page asks
            contents[f"files/{number}"] = found if isinstance(found, bytes) else Path(found)
    contents["files.json"] = json.dumps([console.shown(source) for source in sources]).encode()
    with console.blame(f"port {port}"):
        server = Server(contents, port)
    address = f"http://127.0.0.1:{server.server_port}/"
    console.result(address)
    if not no_open:
        webbrowser.open(address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        console.note("")
    finally:
        server.server_close()


class Server(ThreadingHTTPServer):
    """Serves contents by their paths, on this machine alone.

    Args:
        contents: bytes, or files that are read whenever they are asked for.
        port: 0 takes any free one.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, contents: dict[str, site.Content], port: int):
        super().__init__(("127.0.0.1", port), _Handler)
        self.contents = contents

    def find(self, path: str) -> bytes | None:
        """Return what lies at a path.

        Raises:
            OSError: it cannot be read.
        """
        content = self.contents.get(path or "index.html")
        if content is None and path.startswith("weights/"):
            content = _weight_parts().get(path.removeprefix("weights/"))
        return content.read_bytes() if isinstance(content, Path) else content


@functools.cache
def _weight_parts() -> dict[str, bytes]:
    from ..codec.web import web_parts
    from ..codec.weight_file import read_weight_file
    from ..codec.weights import weights_at_hand

    return {
        name: part
        for path in dict.fromkeys(weights_at_hand())
        for name, part in web_parts(read_weight_file(path))
    }


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with a file."""
        # another name would let a page from elsewhere read files by a name server of its own
        if self.headers.get("Host", "").partition(":")[0] not in ("127.0.0.1", "localhost"):
            self._answer(HTTPStatus.FORBIDDEN, b"only this machine is served")
            return
        path = self.path.partition("?")[0].removeprefix("/")
        try:
            data = self.server.find(path)
        except Exception as error:
            from ..codec.errors import explain

            message = explain(error)
            if message is None:
                raise
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, message.encode())
            return
        if data is None:
            self._answer(HTTPStatus.NOT_FOUND, b"there is no such file")
        else:
            kind = _KINDS.get(Path(path or "index.html").suffix, "application/octet-stream")
            self._answer(HTTPStatus.OK, data, kind)

    def _answer(self, status: HTTPStatus, data: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(data)),
            "Cache-Control": "no-store",
            # threads share memory only in pages that let nobody else in
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Embedder-Policy": "require-corp",
            "Cross-Origin-Resource-Policy": "same-origin",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the page tells what goes wrong."""

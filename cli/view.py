"""`hvae-codec view`: files in a browser, decoded there."""

import json
from pathlib import Path
from threading import Thread

import click

from . import console, files, options, site


@click.command()
@click.argument("sources", metavar="FILE...", nargs=-1, required=True)
@click.option("--port", type=options.Whole(0, 65535), default=0, help="By default any free one.")
@click.option("--no-open", is_flag=True, help="Only say where the page is.")
@site.runtime_option
def view(sources: tuple[str, ...], port: int, no_open: bool, runtime: Path | None) -> None:
    """Show files in a browser, which decodes them.

    The page is served on this machine alone, until Ctrl-C, at an address that nobody can guess.
    It needs the npm package onnxruntime-web.
    """
    import webbrowser  # it and the server take longer to load than all other commands

    from .view_server import Server

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
    console.result(server.address)
    if not no_open:
        # beside the server: a browser of the terminal ends only after it was answered
        Thread(target=webbrowser.open, args=(server.address,), daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        console.note("")
    finally:
        server.server_close()

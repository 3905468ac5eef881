"""`hvae-codec export-web`: the page that decodes in a browser, as files for any web server."""

from pathlib import Path

import click

from . import console, files, options, site


@click.command("export-web")
@click.option(
    "-o",
    "--output",
    "out",
    metavar="DIR",
    type=options.Folder(),
    required=True,
    help="Folder to fill.",
)
@site.runtime_option
@click.option("--without-runtime", is_flag=True, help="Leave the runtime out.")
def export_web(out: Path, runtime: Path | None, without_runtime: bool) -> None:
    """Write a page that decodes in the browser, for a web server.

    The folder gets the page, the weights in parts, and the runtime. A page on the same server
    decodes with `import { decode } from "./hvae.js"`, or shows <img-hvae src="photo.hvae">. See
    docs/browser.md.
    """
    sources = [] if without_runtime else [*site.runtime_files(runtime)]
    for name, path in [*site.page_files(), *sources]:
        _write(out / name, path.read_bytes())
    from ..codec.networks.web import web_parts
    from ..codec.networks.weight_file import read_weight_file
    from ..codec.networks.weight_paths import weights_at_hand

    for weights in weights_at_hand():
        with console.blame(str(weights)):
            for name, part in web_parts(read_weight_file(weights)):
                _write(out / "weights" / name, part)


def _write(path: Path, data: bytes) -> None:
    with console.blame(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(str(path), data)
    console.result(f"{console.spaced(len(data)):>12} bytes  {path}")

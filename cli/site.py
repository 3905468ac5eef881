"""The page that decodes in a browser: its own files, the runtime, the weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import click

from . import console, options

Content = bytes | Path


@dataclass(frozen=True)
class Runtime:
    """The npm package that computes in a browser; it is no part of this one.

    Attributes:
        package: its name.
        version: the one that the page was built with.
        files: what of it a browser fetches.
    """

    package: str
    version: str
    files: tuple[str, ...]

    @property
    def install(self) -> str:
        """The command that fetches it."""
        return f"npm install {self.package}@{self.version}"


runtime_option = click.option(
    "--runtime",
    type=options.Folder(exists=True),
    envvar="HVAE_CODEC_WEB_RUNTIME",
    help="The folder dist of the npm package onnxruntime-web; by default that of "
    "./node_modules, where `npm install` puts it.",
)


def page_files() -> Iterator[tuple[str, Path]]:
    """Return name and path of each file of the page."""
    for path in sorted(_folder().iterdir()):
        yield path.name, path


def runtime_files(named: Path | None) -> Iterator[tuple[str, Path]]:
    """Return name and path of each file of the runtime.

    Args:
        named: the folder that holds them; None looks in the current folder's `node_modules`.

    Raises:
        click.ClickException: they are not there, cannot be read, or are of another version.
    """
    wanted = needed_runtime()
    folder = named or Path("node_modules", wanted.package, "dist")
    missing = [name for name in wanted.files if not (folder / name).is_file()]
    if missing:
        raise click.ClickException(
            f"the runtime of the page is not here ({folder / missing[0]}): "
            f"{wanted.install}, or name its folder with --runtime"
        )
    found = _version(folder.parent / "package.json")
    if found not in (None, wanted.version):
        raise click.ClickException(
            f"{folder} is of version {found}, the page was built with {wanted.version}: "
            f"{wanted.install}"
        )
    for name in wanted.files:
        path = folder / name
        with console.blame(str(path)):
            path.open("rb").close()  # refused now, and not when the page asks
        yield f"runtime/{name}", path


def needed_runtime() -> Runtime:
    """Return what the page was built with."""
    described = json.loads((_folder() / "runtime.json").read_text("utf-8"))
    return Runtime(described["package"], described["version"], tuple(described["files"]))


def _folder() -> Path:
    return Path(str(resources.files("hvae_codec.cli"))) / "page"


def _version(package: Path) -> str | None:
    try:
        return json.loads(package.read_text("utf-8")).get("version")
    except (OSError, ValueError, AttributeError):  # not there, no JSON, no object
        return None

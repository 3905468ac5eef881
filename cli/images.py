"""Image files of the command line: '-' is stdin or stdout, and the suffix names the format."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import console, files

if TYPE_CHECKING:
    from ..codec.api import Decoded
    from ..codec.images import Style, Written


@contextmanager
def taking_damaged() -> Iterator[None]:
    """Let Pillow read as much as there is of a damaged image."""
    from PIL import ImageFile

    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def refuse_blank(source: str | bytes, page: int | None, damage: Exception) -> None:
    """Refuse a damaged image of which nothing can be read: it would be a black picture.

    Args:
        source: a path, or the bytes of a file.
        page: see `codec.images.to_pixels`.
        damage: the error of the image, which is raised.
    """
    from ..codec import images
    from ..codec.errors import noting_leftovers

    with noting_leftovers(), images.read_image(source) as image:
        if not images.to_pixels(image, page=page).samples.any():
            raise damage


def image_format(path: str, on_stdout: str = ".png") -> str:
    """Name Pillow's format for a file that is to be written, or for a suffix on stdout.

    Raises:
        click.UsageError: Pillow writes no format with this suffix.
    """
    from ..codec.errors import ImageError
    from ..codec.images import format_of

    try:
        return format_of(on_stdout if files.descriptor(path) is not None else Path(path).suffix)
    except ImageError as error:
        raise click.UsageError(f"{console.named(path)}: {error}") from None


def write_image(
    path: str,
    decoded: "Decoded",
    replaces: bool = True,
    on_stdout: str = ".png",
    style: "Style | None" = None,
    like: str | None = None,
) -> "Written":
    """Write a decoded picture in the format that the path's suffix names, with its metadata.

    Args:
        path: of the file; '-' is stdout.
        decoded: the picture.
        replaces: see `files.writing`.
        on_stdout: the suffix where there is no name.
        style: see `codec.images.write_image`.
        like: see `files.writing`.

    Raises:
        OSError: the format cannot hold the image, or the file cannot be written.
        ImageError: the format would drop alpha, or cut 16 bits to 8.
    """
    from ..codec import images

    name = image_format(path, on_stdout)
    with files.writing(path, replaces, like) as stream:
        return images.write_image(stream, decoded.picture, decoded.metadata, name, style)

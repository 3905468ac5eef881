"""Image files of the command line: '-' is stdin or stdout, and the suffix names the format."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import console, files

if TYPE_CHECKING:
    from PIL import Image

    from ..codec.api import Decoded


def open_image(path: str) -> "Image.Image":
    """Open an image; '-' is stdin. The encoder reads its pixels.

    Raises:
        OSError: see `codec.images.read_image`.
    """
    from ..codec.images import read_image

    return read_image(files.seekable(path))


def image_format(path: str, on_stdout: str = ".png") -> str:
    """Name Pillow's format for a file that is to be written, or for a suffix on stdout.

    Raises:
        click.UsageError: Pillow writes no format with this suffix.
    """
    from ..codec.errors import ImageError
    from ..codec.images import format_of

    try:
        return format_of(on_stdout if path == console.STDIO else Path(path).suffix)
    except ImageError as error:
        raise click.UsageError(f"{click.format_filename(path)}: {error}") from None


def write_image(
    path: str, decoded: "Decoded", replaces: bool = True, on_stdout: str = ".png"
) -> list[str]:
    """Write a decoded picture in the format that the path's suffix names, with its metadata.

    Args:
        path: of the file; '-' is stdout.
        decoded: the picture.
        replaces: see `files.writing`.
        on_stdout: the suffix where there is no name.

    Returns:
        The metadata that the format cannot hold; see `codec.images.write_image`.

    Raises:
        OSError: the format cannot hold the image, or the file cannot be written.
        ImageError: the format would drop alpha, or cut 16 bits to 8.
    """
    from ..codec import images

    name = image_format(path, on_stdout)
    with files.writing(path, replaces) as stream:
        return images.write_image(stream, decoded.picture, decoded.metadata, name)

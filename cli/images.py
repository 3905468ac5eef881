"""Image files in and out: Pillow's formats, and those of 16 bits that Pillow does not write."""

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import console, files

if TYPE_CHECKING:
    from PIL import Image

    from ..codec.api import Decoded


def open_image(path: str) -> "Image.Image":
    """Open an image in any format that Pillow knows; the encoder reads the pixels.

    Raises:
        OSError: the file is absent, no image, damaged, or larger than Pillow's limit.
    """
    from PIL import Image, UnidentifiedImageError

    source = files.seekable(path)
    try:
        with warnings.catch_warnings():
            # Pillow warns from half of its limit on; the limit itself is enough.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    except UnidentifiedImageError:
        raise OSError("not an image in a format that Pillow knows") from None
    except MemoryError:
        raise
    except OSError as error:
        if error.errno is not None:
            raise
        raise OSError(f"cannot be read as an image ({error})") from error
    except Exception as error:  # Pillow's readers raise nearly anything on damaged data
        raise OSError(f"cannot be read as an image ({error})") from error


def image_format(path: str) -> str:
    """Name Pillow's format for a file that is to be written; PNG for stdout.

    Raises:
        click.UsageError: Pillow writes no format with this suffix.
    """
    from PIL import Image

    if path == console.STDIO:
        return "PNG"
    suffix = Path(path).suffix.lower()
    name = Image.registered_extensions().get(suffix)
    if name is None or name.upper() not in Image.SAVE:
        raise click.UsageError(
            f"{click.format_filename(path)}: no image format is known for '{suffix}'"
        )
    return name


def write_image(path: str, decoded: "Decoded") -> None:
    """Write what was decoded in the format that the path's suffix names, with its metadata.

    Raises:
        OSError: the format cannot hold the image, or the file cannot be written.
        ImageError: the same, of 16 bits a channel.
    """
    name = image_format(path)
    if decoded.pixels.dtype.itemsize == 2 and decoded.pixels.shape[2] > 1:
        from ..codec import deep

        files.write_bytes(path, deep.write(decoded.pixels, name, decoded.metadata))
        return
    with files.writing(path) as stream:
        try:
            decoded.image.save(stream, name, **decoded.metadata)
        except MemoryError:
            raise
        except OSError as error:
            if error.errno is not None:
                raise  # of the disk, not of the format
            raise OSError(f"cannot be written as {name} ({error})") from error
        except Exception as error:  # as many kinds as there are formats
            raise OSError(f"cannot be written as {name} ({error})") from error

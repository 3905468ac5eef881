"""Files in and out, whole or not at all; '-' stands for stdin and stdout."""

import io
import os
import secrets
import shutil
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import STDIO

if TYPE_CHECKING:
    from PIL import Image

_METADATA = ("icc_profile", "exif", "xmp")


def target(source: str, positional: str | None, option: str | None, suffix: str) -> str:
    """Choose where the output goes: the argument, the option, or beside the input.

    Args:
        source: the input's path.
        positional: OUTPUT as an argument.
        option: OUTPUT as `-o`.
        suffix: what replaces the input's suffix when neither is given.

    Raises:
        click.UsageError: both are given, or neither and the input is a pipe, or the output is
            the input.
        IsADirectoryError: the input is a folder.
    """
    if positional and option:
        raise click.UsageError("the output is given twice, as an argument and as -o")
    if source != STDIO and Path(source).is_dir():
        raise IsADirectoryError(None, "is a folder", source)
    chosen = positional or option
    if chosen is None:
        if source == STDIO:
            raise click.UsageError("an input from a pipe needs -o")
        chosen = str(Path(source).with_suffix(suffix))
    if STDIO not in (source, chosen) and _is_same_file(source, chosen):
        raise click.UsageError(f"{click.format_filename(chosen)} is the input itself")
    return chosen


def check_target(path: str, overwrite: bool) -> None:
    """Refuse, before the work begins, a target that could not be written after it."""
    if path == STDIO:
        if sys.stdout.isatty():
            raise click.ClickException("refusing to write binary data to a terminal")
        return
    if Path(path).is_dir():
        raise IsADirectoryError(None, "is a folder", path)
    if not Path(path).absolute().parent.is_dir():
        raise FileNotFoundError(None, "its folder does not exist", path)
    if not overwrite and Path(path).exists():
        raise FileExistsError(None, "exists already", path)


def read_bytes(path: str) -> bytes:
    """Read a file, or stdin, whole."""
    return sys.stdin.buffer.read() if path == STDIO else Path(path).read_bytes()


def write_bytes(path: str, data: bytes) -> None:
    """Write a file, or stdout, whole: a reader sees the old file or the new, never a part."""
    if path == STDIO:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    final = Path(path).resolve()  # a link stays a link
    if final.exists() and not final.is_file():
        final.write_bytes(data)  # a device or a pipe must not be replaced by a file
        return
    part = final.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as stream:
            stream.write(data)
        if final.exists():
            shutil.copymode(final, part)
        os.replace(part, final)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        part.unlink(missing_ok=True)


def read_image(path: str) -> "Image.Image":
    """Read and decode an image in any format that Pillow knows.

    Raises:
        OSError: the file is absent, no image, damaged, or larger than Pillow's limit.
    """
    from PIL import Image, UnidentifiedImageError

    from ..codec.errors import ImageError
    from ..codec.image import refuse_deep

    data = read_bytes(path)
    try:
        with warnings.catch_warnings():
            # Pillow warns from half of its limit on; the limit itself is enough.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data))
            refuse_deep(image)
            image.load()
    except UnidentifiedImageError:
        raise OSError("not an image in a format that Pillow knows") from None
    except (MemoryError, ImageError):
        raise
    except Exception as error:  # Pillow's readers raise nearly anything on damaged data
        raise OSError(f"cannot be read as an image ({error})") from error
    return image


def image_format(path: str) -> str:
    """Name Pillow's format for a file that is to be written; PNG for stdout.

    Raises:
        click.UsageError: Pillow writes no format with this suffix.
    """
    from PIL import Image

    if path == STDIO:
        return "PNG"
    suffix = Path(path).suffix.lower()
    name = Image.registered_extensions().get(suffix)
    if name is None or name.upper() not in Image.SAVE:
        raise click.UsageError(
            f"{click.format_filename(path)}: no image format is known for '{suffix}'"
        )
    return name


def write_image(path: str, image: "Image.Image") -> None:
    """Write an image in the format that the path's suffix names.

    Raises:
        OSError: the format cannot hold the image, or the file cannot be written.
    """
    buffer = io.BytesIO()
    name = image_format(path)
    kept = {key: image.info[key] for key in _METADATA if image.info.get(key)}
    try:
        image.save(buffer, name, **kept)
    except MemoryError:
        raise
    except Exception as error:  # as many kinds as there are formats
        raise OSError(f"cannot be written as {name} ({error})") from error
    write_bytes(path, buffer.getvalue())


def _is_same_file(first: str, second: str) -> bool:
    return os.path.exists(first) and os.path.exists(second) and os.path.samefile(first, second)

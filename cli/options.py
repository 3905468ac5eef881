"""Options that several commands share, and the kinds of values that click does not know."""

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from ..codec.networks.threads import MOST_THREADS

Function = TypeVar("Function", bound=Callable[..., object])

PRIORS = ("masked-diffusion", "factorised", "mixture", "vamp", "gaussian-diffusion")
"""The names that `bitstream.Prior` has; the first is the default."""

_POWERS = {"": 0, "k": 1, "m": 2, "g": 3}


class ByteCount(click.ParamType):
    """A number of bytes like 30000, 30k, 1.5MB or 1MiB; k is 1 000, Ki is 1 024."""

    name = "bytes"

    def convert(
        self, value: str | int, param: click.Parameter | None, context: click.Context | None
    ) -> int:
        """Return the number, rounded down."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,9})?) ?(?:([kmg])(i?))?b?", value.lower())
        count = 0
        if match:
            count = int(float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2] or ""])
        if count < 1:
            wanted = "a number of bytes like 30000, 30k, 1.5MB or 1MiB"
            self.fail(f"'{value}' is not {wanted}", param, context)
        return count


class Colour(click.ParamType):
    """A colour like white, #1e90ff or rgb(30,144,255)."""

    name = "colour"

    def convert(
        self, value: str | tuple, param: click.Parameter | None, context: click.Context | None
    ) -> tuple[int, int, int]:
        """Return red, green and blue, 0...255."""
        from PIL import ImageColor

        if isinstance(value, tuple):
            return value
        try:
            colour = ImageColor.getrgb(value)
        except ValueError:
            self.fail(f"'{value}' is not a colour like white or #1e90ff", param, context)
        if len(colour) != 3:
            self.fail(f"'{value}' is not opaque", param, context)
        return colour


class _Named(click.Path):
    """A path that is not empty: click would take that for the current folder."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        context: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """Return the path."""
        if value == "":
            self.fail(f"the {self.name}'s name is empty", param, context)
        return super().convert(value, param, context)


class Folder(_Named):
    """A folder, which need not exist unless told so."""

    def __init__(self, exists: bool = False) -> None:
        super().__init__(exists, file_okay=False, path_type=Path)
        self.name = "folder"


class File(_Named):
    """A file, which need not exist unless told so."""

    def __init__(self, exists: bool = False) -> None:
        super().__init__(exists, dir_okay=False, path_type=Path)


class Whole(click.IntRange):
    """A whole number in a range, by the name that an error should give it."""

    name = "integer"


class QualityRange(click.Tuple):
    """A first and a last quality."""

    def __init__(self) -> None:
        super().__init__([Whole(0, 100), Whole(0, 100)])

    def convert(
        self,
        value: Any,  # noqa: ANN401
        param: click.Parameter | None,
        context: click.Context | None,
    ) -> tuple[int, int]:
        """Return both."""
        first, last = super().convert(value, param, context)
        if first > last:
            self.fail(f"{first} {last} is no range", param, context)
        return first, last


class CropSide(Whole):
    """The side of a training crop in px: a multiple of 32."""

    def __init__(self) -> None:
        super().__init__(64)

    def convert(
        self,
        value: Any,  # noqa: ANN401
        param: click.Parameter | None,
        context: click.Context | None,
    ) -> int:
        """Return it."""
        side = super().convert(value, param, context)
        if side % 32:
            self.fail(f"{side} is not a multiple of 32", param, context)
        return side


class Patches(click.ParamType):
    """A size in patches, ROWSxCOLUMNS."""

    name = "rows x columns"

    def convert(
        self, value: str | tuple, param: click.Parameter | None, context: click.Context | None
    ) -> tuple[int, int]:
        """Return both numbers."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", value)
        if not match:
            self.fail(f"'{value}' is not a size like 8x12 (rows x columns)", param, context)
        from ..codec.sampling import MAX_PATCHES

        rows, columns = int(match[1]), int(match[2])
        if rows * columns > MAX_PATCHES:
            self.fail(f"{value} are more than {MAX_PATCHES} patches", param, context)
        return rows, columns


class PositiveNumber(click.ParamType):
    """A finite number above zero; from zero on, or up to another one, where it is told so.

    Click's own range of floats takes NaN, and infinity.
    """

    name = "number"

    def __init__(self, or_zero: bool = False, most: float = math.inf) -> None:
        self.or_zero, self.most = or_zero, most

    def convert(
        self, value: str | float, param: click.Parameter | None, context: click.Context | None
    ) -> float:
        """Return the number; a default, which is none that was typed, as it is."""
        if not isinstance(value, str):
            return value
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        is_within = 0 < number <= self.most and number < math.inf
        if not (is_within or (self.or_zero and number == 0)):
            at_least = "of 0 or above" if self.or_zero else "above 0"
            at_most = f", {self.most:g} at most" if self.most < math.inf else ""
            self.fail(f"'{value}' is not a number {at_least}{at_most}", param, context)
        return number


class Region(click.ParamType):
    """A rectangle of pixels, X,Y,WIDTH,HEIGHT."""

    name = "x,y,w,h"

    def convert(
        self, value: str | tuple, param: click.Parameter | None, context: click.Context | None
    ) -> tuple[int, int, int, int]:
        """Return the four numbers; whether they lie within the image, only the image tells."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d{1,9}),(\d{1,9}),(\d{1,9}),(\d{1,9})", value)
        x, y, width, height = (int(number) for number in match.groups()) if match else (0,) * 4
        if width < 1 or height < 1:
            self.fail(f"'{value}' is not a region like 0,0,640,480 (X,Y,W,H)", param, context)
        return x, y, width, height


class Picture(click.Path):
    """A picture, read at once."""

    name = "picture"

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False)

    def convert(
        self,
        value: Any,  # noqa: ANN401
        param: click.Parameter | None,
        context: click.Context | None,
    ) -> Any:  # noqa: ANN401
        """Return the picture in grey."""
        from ..codec.errors import ImageError
        from ..codec.images import grey_picture

        path = super().convert(value, param, context)
        try:
            return grey_picture(os.fsdecode(path))
        except (OSError, ImageError) as error:
            self.fail(f"'{value}' is not a picture: {error}", param, context)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")

seed_option = click.option(
    "--seed",
    type=Whole(0),
    default=0,
    show_default=True,
    help="Random seed; the same seed gives the same picture.",
)
prior_option = click.option(
    "--prior",
    type=click.Choice(PRIORS),
    default=PRIORS[0],
    show_default=True,
    help="Prior of the context; see docs/priors.md.",
)


device_option = click.option(
    "--device",
    default="cpu",
    show_default=True,
    callback=lambda context, param, value: _checked_device(value),
    help="What computes: cpu, cuda, or cuda:N (needs PyTorch); the symbols are the same.",
)


def _checked_device(device: str) -> str:
    from ..bitstream import ArgumentError
    from ..codec.options import check_device

    try:
        check_device(device)
    except ArgumentError as error:
        raise click.BadParameter(str(error)) from error
    return device


def is_given(name: str) -> bool:
    """Tell whether a parameter of the command at hand was given, even with its default value."""
    source = click.get_current_context().get_parameter_source(name)
    return source not in (None, ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)


def effort_option(meaning: str) -> Callable[[Function], Function]:
    """Return the option for an encoder's effort, which commands put to different ends."""
    return click.option("--effort", type=Whole(0, 9), default=0, show_default=True, help=meaning)


_BATCH_OPTIONS = (
    click.option(
        "-o", "--output", metavar="OUTPUT", help="Where to write a single output; '-' is stdout."
    ),
    click.option(
        "--out-dir",
        type=Folder(),
        help="Folder to write to, made if absent (default: beside each input).",
    ),
    click.option(
        "-j",
        "--jobs",
        type=Whole(1),
        default=1,
        help="Files at a time, each in a process of its own.",
    ),
    click.option(
        "--threads",
        type=Whole(1, MOST_THREADS),
        help="Threads of each process (default: the cores that are there, shared by --jobs; 16 at"
        " most).",
    ),
    click.option(
        "--overwrite/--no-overwrite",
        default=None,
        help="Replace outputs that exist (default: those that -o names, and those in an --out-dir"
        " that is not the input's own folder).",
    ),
    click.option("--skip-existing", is_flag=True, help="Skip files whose output exists."),
    click.option(
        "-r",
        "--recursive",
        is_flag=True,
        help="Take the files of folders, and of those below; --out-dir gets the same folders.",
    ),
    click.option(
        "--preserve",
        is_flag=True,
        help="Give outputs the time of their inputs, and permissions no wider than theirs.",
    ),
    click.option("--quiet", is_flag=True, help="Print nothing but errors."),
    click.option(
        "--json", "as_json", is_flag=True, help="Print one line of JSON per file on stdout."
    ),
)


def batch_options(command: Function) -> Function:
    """Add the options that `batch.Settings` holds."""
    for option in reversed(_BATCH_OPTIONS):
        command = option(command)
    return command

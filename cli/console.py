"""Everything that the commands print: results on stdout, the rest on stderr, errors as one line."""

import errno
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

STDIO = "-"


def silence_libraries() -> None:
    """Keep what libraries remark on files from stderr, where nobody could tell which file."""
    import logging  # --help need not wait for it

    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())  # or the last resort would print


def print_any_name() -> None:
    """Let stdout write what its encoding lacks as an escape, as stderr does.

    On Windows that is the λ of `info`, wherever stdout is no terminal; and names need not be UTF-8.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def result(text: str) -> None:
    """Print what the command was asked for; raises as `blame` does, of stdout."""
    with blame("stdout"):
        check_stdout()
        click.echo(text)


def check_stdout() -> None:
    """Refuse a stdout that the shell has closed (`>&-`): click would say nothing, and to nobody.

    Raises:
        OSError: it is closed.
    """
    if sys.stdout is None:
        raise OSError(errno.EBADF, "is closed")


def result_json(record: dict[str, object]) -> None:
    """Print what the command was asked for as one line of JSON."""
    result(json.dumps(record))  # in ASCII: file names need not be UTF-8


def note(text: str) -> None:
    """Print a line beside the results, on stderr."""
    click.echo(text, err=True)


def error(text: str) -> None:
    """Print what failed, as click prints what it refuses."""
    click.echo(f"Error: {named(text)}", err=True)


def spaced(number: int) -> str:
    """Group the digits by threes: 31415 -> '31 415'."""
    return f"{number:,}".replace(",", " ")


def counted(number: int, noun: str) -> str:
    """Say how many there are: '1 tile', '2 tiles'."""
    return f"{spaced(number)} {noun}{'' if number == 1 else 's'}"


def shown(path: str) -> str:
    """Name a file as a person reads it: without its folder, but for '-' and open streams."""
    if path == STDIO:
        return "(pipe)"
    return named(path if path.startswith("/dev/") else Path(path).name)


def named(path: str | os.PathLike[str]) -> str:
    """Return a name of a file in one line: control characters could write over the terminal."""
    name = click.format_filename(path)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def speed(width: int, height: int, seconds: float) -> str:
    """Say how long an image took: '1.83 s (0.21 MP/s)'."""
    return f"{seconds:.2f} s ({width * height / 1e6 / max(seconds, 1e-9):.2f} MP/s)"


@contextmanager
def blame(path: str) -> Iterator[None]:
    """Turn an error about a file into one line that names it, and exit code 1."""
    try:
        yield
    except (click.ClickException, click.Abort, click.exceptions.Exit):
        raise
    except Exception as error:
        from ..codec.errors import explain, one_line

        message = explain(error)
        if message is None:
            raise
        culprit = getattr(error, "filename", None) or path
        raise click.ClickException(f"{named(culprit)}: {one_line(message)}") from error


def for_each(paths: Iterable[str], work: Callable[[str], bool]) -> None:
    """Do the same to every file; one that fails does not keep the others from their turn.

    Args:
        paths: the files.
        work: returns whether the file is as it should be.

    Raises:
        click.exceptions.Exit: with 1, after the last file, where any failed.
    """
    good = True
    for path in paths:
        try:
            with blame(path):
                good &= work(path)
        except click.ClickException as error:
            error.show()
            good = False
    if not good:
        raise click.exceptions.Exit(1)

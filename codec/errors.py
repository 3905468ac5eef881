"""What can go wrong beside a damaged file (`bitstream.errors`)."""

import errno
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ..bitstream import BitstreamError, HvaeError
from ..bitstream import ImageError as ImageError


class LeftOut(UserWarning):
    """An image file holds something that its coded file does not.

    Attributes:
        names: what, as a person names it.
    """

    def __init__(self, source: str, names: tuple[str, ...]):
        super().__init__(source, names)  # so that it can be pickled
        self.source, self.names = source, names

    def __str__(self) -> str:
        return f"{self.source or 'the image'} is encoded without {', '.join(self.names)}"


_NOTED: ContextVar[list[str] | None] = ContextVar("noted", default=None)
"""Where leftovers are collected, thread by thread; None where they are warned of."""


def tell_left_out(source: str, names: Iterable[str]) -> None:
    """Warn of what is left out of an image, or note it for whoever collects it."""
    noted, names = _NOTED.get(), dict.fromkeys(map(one_line, names))
    if noted is None:
        warnings.warn(LeftOut(source, tuple(names)), stacklevel=_stacklevel())
    else:
        noted += (name for name in names if name not in noted)


def _stacklevel() -> int:
    """Return how far above `tell_left_out` the line stands that called this package, or Pillow."""
    frame, level = sys._getframe(1), 1
    ours = __name__.partition(".")[0], "PIL"
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in ours:
        frame, level = frame.f_back, level + 1
    return level


@contextmanager
def noting_leftovers() -> Iterator[list[str]]:
    """Collect what is left out of images meanwhile, each name once, and warn of none of it."""
    names: list[str] = []
    before = _NOTED.set(names)
    try:
        yield names
    finally:
        _NOTED.reset(before)


class VerificationFailed(BitstreamError):
    """A file that was just written does not decode to what was coded."""


class TargetError(HvaeError):
    """No quality reaches the size or the score that was asked for; the message says what would."""


class PayloadTooShort(HvaeError):
    """A bits-back prior finds too few bits to borrow; the message says why in one line."""


class ModelError(HvaeError):
    """Anything that the models refuse; the message says why in one line.

    Attributes:
        filename: of the file that is to blame, where that is known; see `about`.
    """

    filename: str | None = None


@contextmanager
def about(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let what the models refuse meanwhile name a file, unless it names one already."""
    try:
        yield
    except ModelError as error:
        error.filename = error.filename or os.fspath(path)
        raise


class BoundError(ModelError):
    """Sums of a network that are not exact: too large for a float, or computed in fewer bits."""


class WeightsError(ModelError):
    """A weight file or a device that cannot be used."""


class ConfigError(ModelError):
    """A configuration of a model has an unknown key, or a value outside its range."""


class DataError(ModelError):
    """Images to learn from, a tar shard or a Parquet file that cannot be used."""


class MetricMissing(ModelError):
    """A metric needs a package that is not installed; the message names the command."""


class TorchMissing(ModelError):
    """Something needs PyTorch, which is not installed; the message names the command."""


def one_line(text: object) -> str:
    """Return a text, or the message of an error, in one line that no terminal obeys.

    Both may hold parts of a file.
    """
    line = " ".join(str(text).split())
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in line)


def explain(error: Exception) -> str | None:
    """Say in one line what the user or the machine did to cause an error.

    Returns:
        None for every other error: those are ours, and deserve their traceback.
    """
    if isinstance(error, OSError):
        # A reader that closed its pipe has seen enough; click ends quietly.
        return None if error.errno == errno.EPIPE else error.strerror or str(error)
    if isinstance(error, MemoryError) or _is_out_of_memory(error):
        return "not enough memory"
    return str(error) if isinstance(error, HvaeError) else None


def _is_out_of_memory(error: Exception) -> bool:
    """Recognise torch's own errors: on a GPU OutOfMemoryError, on a CPU only the text tells."""
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "can't allocate memory" in text
    )

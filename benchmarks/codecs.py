"""What a codec is to the benchmark, and this codec as one of them."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__  # type: ignore[import-not-found]  # of the package once built

if TYPE_CHECKING:  # a JPEG's process must not pay for what it does not need
    from PIL import Image

PROGRAM = "hvae-codec"
OURS_EYE = PROGRAM  # what `encode` does when nothing is said
OURS = f"{PROGRAM}-psnr"

_THAT_CODE = ("bitstream", "codec", "models")
_BESIDE = ("codec/batch/", "models/graphs/", "models/training/", "models/vae/")
"""Of them, what no file and no picture depends on."""


class Absent(Exception):
    """A codec cannot run here; the message says what is missing."""


@dataclass(frozen=True)
class Codec:
    """An image codec with one setting that trades bits for quality.

    It travels to other processes, so `encode` and `decode` are functions of a module, or partials
    of them.

    Attributes:
        name: short, also a folder's name.
        description: the encoder, its version and its options: whatever changes its files changes
            this, because results are cached by it.
        suffix: of its files, with the dot.
        settings: what to measure, from small files to large ones.
        accepts: all settings there are, from small files to large ones.
        encode: RGB image and setting -> the bytes of a file.
        decode: the bytes of a file -> RGB image.
        times_only: its weights are random, so that only its speed means something.
        program: "encode", "decode", "info" or "--help", setting, source and target -> the command
            line of the codec's own program; None where a fresh Python process calls `encode` or
            `decode`.
    """

    name: str
    description: str
    suffix: str
    settings: tuple[int, ...]
    accepts: Sequence[int]
    encode: Callable[[Image.Image, int], bytes]
    decode: Callable[[bytes], Image.Image]
    times_only: bool = False
    program: Callable[[str, int, Path, Path], list[str]] | None = None


def warm_up(codec: Codec, setting: int) -> None:
    """Encode and decode a small image, so that all that a setting does once is done."""
    from PIL import Image

    codec.decode(codec.encode(Image.new("RGB", (64, 64)), setting))


def ours(qualities: tuple[int, ...], effort: int = 0, tune: str = "psnr") -> Codec:
    """Return this codec, to be compared with others.

    A tune or an effort that `encode` does not use by default becomes part of its name.

    Raises:
        OSError, WeightsError: the weights cannot be read.
    """
    from ..codec.networks.weights import load_codec

    weights = load_codec(tune=tune).file.digest.hex()[:8]
    state = f"code {_code_digest()}, weights {weights}"
    name = OURS if tune == "psnr" else OURS_EYE
    return Codec(
        name=f"{name}-effort-{effort}" if effort else name,
        description=f"hvae-codec {__version__}, effort {effort}, tune {tune}, {state}",
        suffix=".hvae",
        settings=qualities,
        accepts=range(101),
        encode=functools.partial(_encode, effort, tune),
        decode=_decode,
        program=functools.partial(_program, effort, tune),
    )


def _encode(effort: int, tune: str, image: Image.Image, quality: int) -> bytes:
    from ..codec import api

    return api.encode(image, quality, effort=effort, tune=tune)


def _decode(data: bytes) -> Image.Image:
    from ..codec import api

    return api.decode(data).convert("RGB")


def _program(
    effort: int, tune: str, call: str, setting: int, source: Path, target: Path
) -> list[str]:
    script = Path(sys.executable).with_name(PROGRAM)
    start = [str(script)] if script.is_file() else [sys.executable, "-m", "hvae_codec"]
    chosen = ["-q", str(setting), "--effort", str(effort), "--tune", tune]
    options = {
        "encode": [str(source), "-o", str(target), *chosen],
        "decode": [str(source), "-o", str(target)],
        "info": [str(source)],
    }
    return [*start, call, *options.get(call, [])]


@functools.cache
def _code_digest() -> str:
    """Tell one state of the codec's source from another: its version alone changes too rarely."""
    digest = hashlib.sha256()
    for name, file in that_code():
        digest.update(name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:8]


def that_code() -> Iterator[tuple[str, Path]]:
    """Yield name and path of each module on which files or pictures depend."""
    for package in _THAT_CODE:
        folder = Path(import_module(f"hvae_codec.{package}").__path__[0])
        for file in sorted(folder.rglob("*.py")):
            name = f"{package}/{file.relative_to(folder).as_posix()}"
            if not name.startswith(_BESIDE):
                yield name, file

"""A stand-in for the codec, so that the command line is tested alone and quickly."""

import importlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from hvae_codec.bitstream import BitstreamError
from hvae_codec.cli import main

MAGIC = b"stand-in"


@dataclass(frozen=True)
class Level:
    name: str
    bytes: int


@dataclass(frozen=True)
class Info:
    width: int
    height: int
    quality: int
    file_bytes: int
    bpp: float
    color: str = "RGB"
    bit_depth: int = 8
    lmbda: float = 0.01
    header_bytes: int = 12
    metadata_bytes: int = 0
    tiles: int = 1
    tile_px: int = 256
    levels: tuple[Level, ...] = (Level("context", 40), Level("level 1", 60))
    weights: str = "0123456789abcdef"
    weights_known: bool = True
    prior: str = "masked-diffusion"
    version: int = 1


@dataclass(frozen=True)
class Report:
    tiles: int = 1
    symbols: int = 12345
    differing: int = 0
    max_pixel_difference: int = 1


def encode(image: Image.Image, quality: int = 60, *, verify: bool = False) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return MAGIC + bytes([quality]) + buffer.getvalue()


def decode(data: bytes) -> Image.Image:
    if not data.startswith(MAGIC):
        raise BitstreamError("not a file of this codec")
    return Image.open(io.BytesIO(data[len(MAGIC) + 1 :])).convert("RGB")


def inspect(data: bytes) -> Info:
    width, height = decode(data).size
    return Info(width, height, data[len(MAGIC)], len(data), 8 * len(data) / (width * height))


def verify(data: bytes) -> Report:
    decode(data)
    return Report()


@pytest.fixture(autouse=True)
def codec(monkeypatch: pytest.MonkeyPatch) -> None:
    api = importlib.import_module("hvae_codec.codec.api")
    for function in (encode, decode, inspect, verify):
        monkeypatch.setattr(api, function.__name__, function)


@pytest.fixture
def hvae() -> Callable[..., Result]:
    """Run the command in this process: `hvae("encode", path)`."""

    def run(*arguments: object, data: bytes | None = None) -> Result:
        # errors that the command does not expect come out of `invoke` and fail the test
        return CliRunner(catch_exceptions=False).invoke(
            main, [str(argument) for argument in arguments], input=data
        )

    return run


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.linear_gradient("L").convert("RGB").resize((24, 16)).save(path)
    return path


@pytest.fixture
def coded(tmp_path: Path, photo: Path) -> Path:
    path = tmp_path / "coded.hvae"
    path.write_bytes(encode(Image.open(photo), 40))
    return path

"""A stand-in for the codec, so that the command line is tested alone and quickly."""

import importlib
import io
import logging
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from hvae_codec.bitstream import BitstreamError, MetadataKind
from hvae_codec.cli import main
from hvae_codec.codec.api import Decoded, ImageSource
from hvae_codec.codec.errors import TargetError, WeightsError
from hvae_codec.codec.images import Pixels, read_image, to_pixels
from hvae_codec.codec.info import FileInfo, LevelInfo
from hvae_codec.codec.options import DecodeOptions, EncodeOptions, Region
from hvae_codec.codec.symbols.stack import Sampling
from hvae_codec.codec.verify import VerifyReport

MAGIC = b"stand-in"
DAMAGE = b"damage"


def encode_with(
    image: ImageSource, options: EncodeOptions, metadata: Mapping[str, Any] | None = None
) -> bytes:
    """A size is reached with quality 0, a rate with 20, a PSNR with 80; there is no GPU."""
    refuse_gpu(options.device)
    image = read_image(image) if isinstance(image, str | bytes) else image
    assert isinstance(image, Image.Image)
    pixels = to_pixels(image, strip=options.strip, page=options.page)  # refuses as the codec does
    exif = dict(pixels.metadata).get(MetadataKind.EXIF)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    given = 60 if options.quality is None else options.quality
    found = 0 if options.max_bytes else 20 if options.bpp else 80 if options.psnr else given
    data = MAGIC + bytes([int(found)]) + buffer.getvalue()
    if options.max_bytes is not None and len(data) > options.max_bytes:
        raise TargetError(f"quality 0 takes {len(data)} bytes")
    return data


def content(source: bytes | str) -> bytes:
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    if not data.startswith(MAGIC):
        raise BitstreamError("not a file of this codec")
    return data


def refuse_gpu(device: str) -> None:
    if device != "cpu":
        raise WeightsError(f"device {device} is not there")


def picture(source: bytes | str) -> Image.Image:
    return Image.open(io.BytesIO(content(source)[len(MAGIC) + 1 :])).convert("RGB")


def decode(
    source: bytes | str,
    *,
    region: Region | None = None,
    scale: int = 1,
    levels: int | None = None,
    keep_going: bool = False,
    sampling: Sampling | None = None,
    device: str = "cpu",
) -> Image.Image:
    options = DecodeOptions(region, scale, levels, keep_going, sampling, device)
    return decode_with(source, options).image


def decode_with(source: bytes | str, options: DecodeOptions) -> Decoded:
    """Of a file that ends in DAMAGE, tiles 3 and 7 are lost, and 100 bytes are missing."""
    refuse_gpu(options.device)
    image, region = picture(source), options.region
    damaged = content(source).endswith(DAMAGE)
    if damaged and not options.keep_going:
        raise BitstreamError("tile 3 is damaged")
    if region:
        image = image.crop((*region[:2], region[0] + region[2], region[1] + region[3]))
    pixels = np.atleast_3d(np.asarray(image.reduce(options.scale)))
    metadata = {key: image.info[key] for key in ("exif",) if key in image.info}
    return Decoded(Pixels(pixels), metadata, (3, 7) if damaged else (), whole_levels=1)


def sample(
    size: tuple[int, int],
    quality: int = 60,
    *,
    prior: str = "masked-diffusion",
    sampling: Sampling | None = None,
    device: str = "cpu",
) -> Image.Image:
    refuse_gpu(device)
    if prior != "masked-diffusion":
        raise WeightsError(f"the weights have no prior {prior}")
    seed = sampling.seed if sampling else 0
    return Image.new("RGB", (32 * size[1], 32 * size[0]), (seed, quality, 0))


def inspect(source: bytes | str) -> FileInfo:
    data = content(source)
    width, height = picture(source).size
    size = len(data)
    whole = size + 100 * data.endswith(DAMAGE)
    return FileInfo(
        width=width,
        height=height,
        color="rgb",
        bit_depth=8,
        quality=data[len(MAGIC)],
        qualities=(data[len(MAGIC)], data[len(MAGIC)]),
        lmbda=0.01,
        file_bytes=size,
        whole_bytes=whole,
        bpp=8 * size / (width * height),
        header_bytes=12,
        metadata_bytes=0,
        alpha_bytes=0,
        exact_bytes=0,
        tiles=1,
        tile_px=256,
        tile_coders=("learned",),
        levels=(LevelInfo("context", 40), LevelInfo("latents 1", 60)),
        weights="0123456789abcdef",
        weights_known=True,
        prior="masked-diffusion",
        version=1,
    )


def verify(source: bytes | str) -> VerifyReport:
    picture(source)
    return VerifyReport(
        tiles=1, symbols=12345, differing=0, max_pixel_difference=1, largest_sample=255
    )


STAND_INS = (encode_with, decode, decode_with, sample, inspect, verify)


@pytest.fixture(autouse=True)
def codec(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[..., object]]:
    """Put the stand-ins in the place of the functions, which are returned by name."""
    api = importlib.import_module("hvae_codec.codec.api")
    real = {function.__name__: getattr(api, function.__name__) for function in STAND_INS}
    for function in STAND_INS:
        monkeypatch.setattr(api, function.__name__, function)
    monkeypatch.setattr("hvae_codec.codec.info.inspect", inspect)  # `info` needs nothing else
    return real


@pytest.fixture(autouse=True)
def default_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands may set how many threads compute: not for the tests that follow."""
    for name in ("HVAE_CODEC_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """What commands set in their own process, they set in that of the tests as well."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in numbers]
    environment, logs = dict(os.environ), [*logging.getLogger().handlers]
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)
    logging.getLogger().handlers[:] = logs
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)


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
    path.write_bytes(encode_with(Image.open(photo), EncodeOptions(40)))
    return path


@pytest.fixture
def damaged(coded: Path) -> Path:
    path = coded.with_name("damaged.hvae")
    path.write_bytes(coded.read_bytes() + DAMAGE)
    return path

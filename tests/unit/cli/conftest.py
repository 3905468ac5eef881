"""A stand-in for the codec, so that the command line is tested alone and quickly."""

import importlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from hvae_codec.bitstream import BitstreamError, MetadataKind
from hvae_codec.cli import main
from hvae_codec.codec.api import Decoded
from hvae_codec.codec.check import VerifyReport
from hvae_codec.codec.errors import TargetError
from hvae_codec.codec.images import Pixels, to_pixels
from hvae_codec.codec.info import FileInfo, LevelInfo
from hvae_codec.codec.sampling import Sampling
from hvae_codec.models.errors import WeightsError

MAGIC = b"stand-in"
DAMAGE = b"damage"


def encode(
    image: Image.Image,
    quality: int | None = None,
    *,
    max_bytes: int | None = None,
    bpp: float | None = None,
    psnr: float | None = None,
    verify: bool = False,
    strip: bool = False,
    prior: str = "masked-diffusion",
    effort: int = 0,
) -> bytes:
    """A size is reached with quality 0, a rate with 20, a PSNR with 80."""
    pixels = to_pixels(image, strip=strip)  # refuses what the codec refuses
    exif = dict(pixels.metadata).get(MetadataKind.EXIF)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    found = 0 if max_bytes else 20 if bpp else 80 if psnr else 60 if quality is None else quality
    data = MAGIC + bytes([found]) + buffer.getvalue()
    if max_bytes is not None and len(data) > max_bytes:
        raise TargetError(f"quality 0 takes {len(data)} bytes")
    return data


def content(source: bytes | str) -> bytes:
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    if not data.startswith(MAGIC):
        raise BitstreamError("not a file of this codec")
    return data


def decode(source: bytes | str) -> Image.Image:
    return Image.open(io.BytesIO(content(source)[len(MAGIC) + 1 :])).convert("RGB")


def decode_parts(
    source: bytes | str,
    *,
    region: tuple[int, int, int, int] | None = None,
    scale: int = 1,
    levels: int | None = None,
    keep_going: bool = False,
    sampling: Sampling | None = None,
) -> Decoded:
    """Of a file that ends in DAMAGE, tiles 3 and 7 are lost, and 100 bytes are missing."""
    image = decode(source)
    damaged = content(source).endswith(DAMAGE)
    if damaged and not keep_going:
        raise BitstreamError("tile 3 is damaged")
    if region:
        image = image.crop((*region[:2], region[0] + region[2], region[1] + region[3]))
    pixels = np.atleast_3d(np.asarray(image.reduce(scale)))
    metadata = {key: image.info[key] for key in ("exif",) if key in image.info}
    return Decoded(Pixels(pixels), metadata, (3, 7) if damaged else (), whole_levels=1)


def sample(size: tuple[int, int], quality: int, *, prior: str, sampling: Sampling) -> Image.Image:
    if prior != "masked-diffusion":
        raise WeightsError(f"the weights have no prior {prior}")
    return Image.new("RGB", (32 * size[1], 32 * size[0]), (sampling.seed, quality, 0))


def inspect(source: bytes | str) -> FileInfo:
    data = content(source)
    width, height = decode(source).size
    size = len(data)
    whole = size + 100 * data.endswith(DAMAGE)
    return FileInfo(
        width=width,
        height=height,
        color="rgb",
        bit_depth=8,
        quality=data[len(MAGIC)],
        lmbda=0.01,
        file_bytes=size,
        whole_bytes=whole,
        bpp=8 * size / (width * height),
        header_bytes=12,
        metadata_bytes=0,
        alpha_bytes=0,
        tiles=1,
        tile_px=256,
        levels=(LevelInfo("context", 40), LevelInfo("latents 1", 60)),
        weights="0123456789abcdef",
        weights_known=True,
        prior="masked-diffusion",
        version=1,
    )


def verify(source: bytes | str) -> VerifyReport:
    decode(source)
    return VerifyReport(
        tiles=1, symbols=12345, differing=0, max_pixel_difference=1, largest_sample=255
    )


@pytest.fixture(autouse=True)
def codec(monkeypatch: pytest.MonkeyPatch) -> None:
    api = importlib.import_module("hvae_codec.codec.api")
    for function in (encode, decode, decode_parts, sample, inspect, verify):
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


@pytest.fixture
def damaged(coded: Path) -> Path:
    path = coded.with_name("damaged.hvae")
    path.write_bytes(coded.read_bytes() + DAMAGE)
    return path

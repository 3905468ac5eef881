"""The codecs to compare with: each is its real encoder, by way of Pillow."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image, features
from PIL import __version__ as pillow_version


@dataclass(frozen=True)
class Codec:
    """An image codec with one setting that trades bits for quality.

    Attributes:
        name: short, also a folder's name.
        description: the encoder, its version and its options.
        suffix: of its files, with the dot.
        settings: what to measure, from small files to large ones.
        encode: RGB image and setting -> the bytes of a file.
        decode: the bytes of a file -> RGB image.
        feature: what Pillow must have been built with.
    """

    name: str
    description: str
    suffix: str
    settings: tuple[int, ...]
    encode: Callable[[Image.Image, int], bytes]
    decode: Callable[[bytes], Image.Image]
    feature: str | None = None


def why_absent(codec: Codec) -> str | None:
    """Say in a line why a codec cannot run here; None where it can."""
    if codec.feature is None or features.check(codec.feature):
        return None
    return f"{codec.name} is left out: Pillow {pillow_version} was built without it"


def _encoder(format_name: str, **options: Any) -> Callable[[Image.Image, int], bytes]:  # noqa: ANN401
    def encode(image: Image.Image, setting: int) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, format_name, quality=setting, **options)
        return buffer.getvalue()

    return encode


def _decode(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


_JPEG = Codec(
    "jpeg",
    f"JPEG, Pillow {pillow_version}, 4:2:0, optimised Huffman tables",
    ".jpg",
    tuple(range(5, 100, 5)),
    _encoder("JPEG", optimize=True, subsampling="4:2:0"),
    _decode,
)

_WEBP = Codec(
    "webp",
    f"WebP, Pillow {pillow_version}, lossy, method 6",
    ".webp",
    tuple(range(5, 100, 10)),
    _encoder("WEBP", method=6),
    _decode,
    feature="webp",
)

_AVIF = Codec(
    "avif",
    f"AVIF, Pillow {pillow_version}, 4:4:4, speed 6",
    ".avif",
    tuple(range(5, 100, 10)),
    _encoder("AVIF", subsampling="4:4:4", speed=6),
    _decode,
    feature="avif",
)

PEERS = {codec.name: codec for codec in (_JPEG, _WEBP, _AVIF)}

"""The codecs to compare with: each is its real encoder, by way of Pillow or of its plugins."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any

from PIL import __version__ as pillow_version
from PIL import features

from . import compressai_models, pillow_calls
from .codecs import Absent, Codec

_PILLOW = f"Pillow {pillow_version}"


def _feature(name: str) -> str:
    """Return the version of a library that Pillow was built with."""
    if not features.check(name):
        raise Absent(f"{_PILLOW} was built without it")
    return features.version(name) or ""


def _plugin(module: str, package: str) -> str:
    try:
        importlib.import_module(module)
    except ImportError:
        raise Absent(f"it needs: python -m pip install {package}") from None
    return f"{package} {version(package)}"


def _pillow(
    name: str,
    description: str,
    suffix: str,
    settings: tuple[int, ...],
    accepts: range,
    format_name: str,
    **options: Any,  # noqa: ANN401
) -> Codec:
    """Make a codec of a format that Pillow writes, with `quality` as its setting."""
    encode = partial(pillow_calls.encode, format_name, options)
    decode = partial(pillow_calls.decode, format_name)
    return Codec(name, description, suffix, settings, accepts, encode, decode)


def _jpeg(name: str, subsampling: str) -> Codec:
    library = "libjpeg-turbo " + (features.version("libjpeg_turbo") or "unknown")
    description = f"JPEG {subsampling}, {_PILLOW}, {library}, optimised Huffman tables"
    settings = (10, 20, 35, 55, 75, 88, 96)
    return _pillow(
        name, description, ".jpg", settings, range(1, 101), "JPEG",
        optimize=True, subsampling=subsampling,
    )  # fmt: skip


def _jpegli() -> Codec:
    description = f"JPEG 4:2:0 by jpegli, {_plugin('pyjpegli', 'pyjpegli')} (tuned for the eye)"
    settings = (10, 20, 35, 55, 75, 88, 96)
    decode = partial(pillow_calls.decode, "JPEG")
    encode = pillow_calls.encode_jpegli
    return Codec("jpegli", description, ".jpg", settings, range(1, 101), encode, decode)


def _webp() -> Codec:
    description = f"WebP, {_PILLOW}, libwebp {_feature('webp')}, method 6"
    settings = (1, 15, 40, 70, 88, 97)
    return _pillow("webp", description, ".webp", settings, range(101), "WEBP", method=6)


def _jpeg2000() -> Codec:
    return Codec(
        "jpeg2000",
        f"JPEG 2000, {_PILLOW}, OpenJPEG {_feature('jpg_2000')}, 9/7, YCbCr; setting: tenths of dB",
        ".jp2",
        (270, 300, 330, 360, 390, 415),
        range(200, 501, 5),
        pillow_calls.encode_jpeg2000,
        partial(pillow_calls.decode, "JPEG2000"),
    )


def _aom() -> str:
    """Return the version of libaom, the AV1 encoder in Pillow's libavif, which has the tunes."""
    codecs = importlib.import_module("PIL._avif").codec_versions()  # no public function tells it
    found = re.search(r"\baom \[enc[^]]*\]:([^,]+)", codecs)
    if not found:
        raise Absent(f"{_PILLOW} was built without libaom")
    return found[1]


def _avif(name: str, tune: str | None, settings: tuple[int, ...], speed: int = 6) -> Codec:
    tuned = f"tune {tune}" if tune else "tuned as by default"
    library = f"libavif {_feature('avif')}, libaom {_aom()}"
    description = f"AVIF 4:4:4, {_PILLOW}, {library}, speed {speed}, {tuned}"
    options: dict[str, Any] = {"advanced": {"tune": tune}} if tune else {}
    return _pillow(
        name, description, ".avif", settings, range(101), "AVIF",
        codec="aom", subsampling="4:4:4", speed=speed, **options,
    )  # fmt: skip


def _jpeg_xl(name: str, effort: int) -> Codec:
    package = _plugin("pillow_jxl", "pillow-jxl-plugin")
    description = f"JPEG XL, {package}, effort {effort} (tuned for the eye)"
    settings = (8, 25, 50, 75, 90, 96)
    return _pillow(name, description, ".jxl", settings, range(1, 100), "JXL", effort=effort)


def _heic(name: str, tune: str, settings: tuple[int, ...]) -> Codec:
    package = _plugin("pillow_heif", "pillow-heif")
    info = importlib.import_module("pillow_heif").libheif_info()
    if "x265" not in info["encoders"]:
        raise Absent(f"{package} was built without x265")
    description = f"HEIC 4:4:4, {package}, {info['HEIF']}, tune {tune}"
    return _pillow(
        name, description, ".heic", settings, range(101), "HEIF",
        chroma=444, enc_params={"tune": tune},
    )  # fmt: skip


_AVIF_QUALITIES, _AVIF_QUALITIES_FOR_PSNR = (10, 25, 40, 55, 70, 84), (5, 15, 30, 45, 60, 75)

PEERS: dict[str, Callable[[], Codec]] = {
    "jpeg": partial(_jpeg, "jpeg", "4:2:0"),
    "jpeg-444": partial(_jpeg, "jpeg-444", "4:4:4"),
    "jpegli": _jpegli,
    "webp": _webp,
    "jpeg2000": _jpeg2000,
    "avif": partial(_avif, "avif", None, _AVIF_QUALITIES),
    "avif-psnr": partial(_avif, "avif-psnr", "psnr", _AVIF_QUALITIES_FOR_PSNR),
    "avif-psnr-slow": partial(_avif, "avif-psnr-slow", "psnr", _AVIF_QUALITIES_FOR_PSNR, speed=2),
    "avif-iq": partial(_avif, "avif-iq", "iq", _AVIF_QUALITIES),
    "avif-ssimulacra2": partial(_avif, "avif-ssimulacra2", "ssimulacra2", _AVIF_QUALITIES),
    "avif-ssimulacra2-slow": partial(
        _avif, "avif-ssimulacra2-slow", "ssimulacra2", _AVIF_QUALITIES, speed=2
    ),
    "jpegxl": partial(_jpeg_xl, "jpegxl", 7),
    "jpegxl-9": partial(_jpeg_xl, "jpegxl-9", 9),
    "heic": partial(_heic, "heic", "ssim", (15, 25, 35, 45, 55, 64)),
    "heic-psnr": partial(_heic, "heic-psnr", "psnr", (5, 15, 25, 35, 45, 55)),
    **{name: partial(compressai_models.peer, name) for name in compressai_models.NAMES},
}
"""Name -> what makes the codec, or raises `Absent`."""

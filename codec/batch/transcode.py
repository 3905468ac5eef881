"""One image: bytes in, bytes and a row out."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

from PIL import Image

from ...bitstream import MAGIC, Header, read_index
from ...bitstream.header import MAX_TILE_SIDE
from .. import api
from ..config import PATCH_PX
from ..errors import (
    ImageError,
    VerificationFailed,
    WeightsError,
    explain,
    noting_leftovers,
    one_line,
)
from ..images import (
    RAW_PHOTOGRAPH,
    choose_page,
    format_of,
    is_raw_name,
    read_image,
    to_pixels,
    write_image,
)
from ..networks.weights import Codec, codec_for, load_codec
from ..options import DecodeOptions, EncodeOptions, prior_of
from ..rate_control.targets import psnr_of
from ..tiles.tiling import analysis_halo, default_tile_side, synthesis_halo
from .row import FAILED, KEPT, SUCCESS, Row

CODED_SUFFIX = "hvae"

DEFAULT_MEMORY = 1_200_000_000

# What a process holds, measured with 2 and 12 megapixels and tiles of 288 to 1024 pixels: Python,
# ONNX Runtime and the weights; the picture, as Pillow and NumPy have it; and what the networks see
# at a time, of which what is beyond a megapixel takes half (`Graphs.run`).
# Of a lossless file, what its coder has of a tile: 28 bytes a pixel of 8 bits, twice that of 16.
_PROCESS_BYTES = 190_000_000
_PICTURE_BYTES_A_PIXEL = 12
_NETWORK_BYTES_A_PIXEL = 550
_LOSSLESS_BYTES_A_PIXEL = 60
_SMALLEST_TILE = 8  # patches


@dataclass(frozen=True)
class ToCoded:
    """Images become coded files.

    Attributes:
        options: how they are encoded. Tiles become smaller where `memory_bytes` wants it.
        keep_original_if_larger: keep the image where the coded file would have no fewer bytes.
        with_psnr: decode each, and say its PSNR.
        memory_bytes: what a process may hold; images that need more are refused.
    """

    options: EncodeOptions = field(default_factory=EncodeOptions)
    keep_original_if_larger: bool = False
    with_psnr: bool = False
    memory_bytes: int = DEFAULT_MEMORY

    @property
    def description(self) -> str:
        """Which of the options are not the usual ones: 'encode quality=40'."""
        return f"encode{_unusual(self.options)}"

    def load(self) -> None:
        """Load the weights that encode, if any do.

        Raises:
            OSError, WeightsError, TorchMissing: what is asked for cannot be done here.
        """
        if not self._is_lossless:
            self._codec().check_prior(prior_of(self.options.prior))

    @property
    def _is_lossless(self) -> bool:
        return self.options.is_lossless_at(self.options.quality)

    def _codec(self) -> Codec:
        return load_codec(device=self.options.device, tune=self.options.tune)

    def outcome(self, data: bytes) -> tuple[bytes, str | None, Row]:
        """Return the output, its suffix (None for the input's), and its row."""
        if data.startswith(MAGIC):
            index = read_index(data)
            index.check_end(data)
            return data, None, _row_of(KEPT, index.header)
        with noting_leftovers() as left_out, read_image(data) as image:
            choose_page(image, self.options.page)  # of which the size counts
            options = self._fitting(image.width, image.height, len(data))
            coded = api.encode_with(image, options)
        header = read_index(coded).header
        if self.keep_original_if_larger and len(coded) >= len(data):
            return data, None, replace(_row_of(KEPT, header), quality=None)
        row = replace(_row_of(SUCCESS, header), left_out=_listed(left_out))
        if self.with_psnr:
            with noting_leftovers(), read_image(data) as image:  # they are told already
                pixels = to_pixels(image, strip=self.options.strip, page=self.options.page)
            codec = codec_for(header, self.options.device)
            row = replace(row, psnr_db=psnr_of(codec, pixels, coded))
        return coded, CODED_SUFFIX, row

    def _fitting(self, width: int, height: int, file_bytes: int) -> EncodeOptions:
        """Choose the largest tiles that the memory allows.

        Raises:
            ImageError: it allows none.
        """
        is_lossless = self._is_lossless
        halo = 0 if is_lossless else analysis_halo(self._codec().config)
        a_pixel = _LOSSLESS_BYTES_A_PIXEL if is_lossless else _NETWORK_BYTES_A_PIXEL

        def needed(side: int) -> int:
            return _needed_bytes(width, height, side + 2 * halo, a_pixel) + file_bytes

        usual = MAX_TILE_SIDE if is_lossless else default_tile_side(height, width)
        if self.options.tile_px is not None:
            usual = self.options.tile_px // PATCH_PX
        smallest = min(usual, _SMALLEST_TILE)
        sides = range(usual, smallest - 1, -1)
        side = next((side for side in sides if needed(side) <= self.memory_bytes), None)
        if side is None:
            raise _too_large(width, height, needed(smallest), self.memory_bytes)
        return self.options if side == usual else replace(self.options, tile_px=PATCH_PX * side)


@dataclass(frozen=True)
class ToImages:
    """Coded files become images; what is an image already stays as it is.

    Attributes:
        options: what of a file is decoded.
        suffix: names the format: `png`, `jpg`, `webp`, ...
        verify: decode each a second time, under another configuration, and compare.
        memory_bytes: what a process may hold; pictures that need more are refused.
    """

    options: DecodeOptions = field(default_factory=DecodeOptions)
    suffix: str = "png"
    verify: bool = False
    memory_bytes: int = DEFAULT_MEMORY

    @property
    def description(self) -> str:
        """Which of the options are not the usual ones: 'decode to png'."""
        return f"decode to {self.suffix}{_unusual(self.options)}"

    def load(self) -> None:
        """Load the weights of new files; others may be asked for.

        Raises:
            OSError, WeightsError, TorchMissing: what is asked for cannot be done here.
            ImageError: no format has the suffix.
        """
        load_codec(device=self.options.device)
        format_of(f".{self.suffix}")

    def outcome(self, data: bytes) -> tuple[bytes, str | None, Row]:
        """Return the output, its suffix (None for the input's), and its row."""
        if not data.startswith(MAGIC):
            with noting_leftovers(), read_image(data) as image:
                image.load()  # one that is cut fails, and is not kept
                return data, None, Row(KEPT, width=image.width, height=image.height)
        header = read_index(data).header
        self._refuse_large(header, len(data))
        if self.verify and (report := api.verify(data)).differing:
            raise VerificationFailed(f"{report.differing} of {report.symbols} symbols differ")
        decoded = api.decode_with(data, self.options)
        out = io.BytesIO()
        format = format_of(f".{self.suffix}")
        left_out = write_image(out, decoded.picture, decoded.metadata, format).left_out
        height, width = decoded.picture.size
        row = _row_of(SUCCESS, header)
        row = replace(row, width=width, height=height, left_out=_listed(left_out))
        return out.getvalue(), self.suffix, row

    def _refuse_large(self, header: Header, file_bytes: int) -> None:
        seen, a_pixel = header.tile_side, _LOSSLESS_BYTES_A_PIXEL
        if codec := codec_for(header, self.options.device):
            seen += 2 * synthesis_halo(codec.config)
            a_pixel = _NETWORK_BYTES_A_PIXEL
        size = header.width, header.height
        needed = _needed_bytes(*size, seen, a_pixel) + file_bytes
        if needed > self.memory_bytes:
            raise _too_large(*size, needed, self.memory_bytes)


How = ToCoded | ToImages

Result = tuple[bytes | None, str | None, Row]
"""The output, None where it failed; its suffix, None for that of the input; its row."""


def refusal(how: How, suffix: str) -> str | None:
    """Say why an image is not done, as far as its suffix tells: `left.nef` is a raw photograph."""
    is_raw = isinstance(how, ToCoded) and is_raw_name(f"x.{suffix.rpartition('.')[2]}")
    return RAW_PHOTOGRAPH if is_raw else None


def transcode_bytes(data: bytes, how: How) -> Result:
    """Encode or decode one image; what is wrong with it becomes a row, not an exception.

    Args:
        data: an image file, or a coded one.
        how: what is to be done with it.

    Raises:
        ImageError, WeightsError, TorchMissing: nothing can be coded here at all.
    """
    try:
        how.load()
    except OSError as error:
        raise WeightsError(f"the weights cannot be read: {error}") from error
    try:
        out, suffix, row = how.outcome(data)
    except Exception as error:
        reason = explain(error) or f"{type(error).__name__}: {error}"
        return None, None, Row(FAILED, error=one_line(reason), original_bytes=len(data))
    digest = hashlib.sha256(out).hexdigest()
    return out, suffix, replace(row, original_bytes=len(data), bytes=len(out), sha256=digest)


def _unusual(options: EncodeOptions | DecodeOptions) -> str:
    usual = type(options)(device=options.device)  # the files of all devices are the same
    given = ((field.name, getattr(options, field.name)) for field in fields(options))
    return "".join(f" {name}={_named(v)}" for name, v in given if v != getattr(usual, name))


def _named(value: object) -> object:
    """Return a value as two runs would name it: a picture by a hash of what it shows."""
    if not isinstance(value, Image.Image):
        return value
    shown = f"{value.mode} {value.size} ".encode() + value.tobytes()
    return hashlib.sha256(shown).hexdigest()[:12]


def _listed(names: Sequence[str]) -> str | None:
    return ", ".join(names) or None


def _row_of(status: str, header: Header) -> Row:
    return Row(status, width=header.width, height=header.height, quality=header.quality)


def _needed_bytes(width: int, height: int, seen: int, bytes_a_pixel: int) -> int:
    """Return what coding takes where so many patches a side are coded at a time."""
    at_a_time = min(PATCH_PX * seen, width) * min(PATCH_PX * seen, height)
    at_a_time -= max(0, at_a_time - 2**20) // 2
    picture = _PICTURE_BYTES_A_PIXEL * width * height
    return _PROCESS_BYTES + picture + bytes_a_pixel * at_a_time


def _too_large(width: int, height: int, needed: int, allowed: int) -> ImageError:
    return ImageError(
        f"{width}x{height} pixels take {needed / 1e6:.0f} MB, {allowed / 1e6:.0f} MB are allowed"
    )

"""Pillow's reader and writer of our files: `Image.open("x.hvae")` and `image.save("x.hvae")`.

Registering is cheap: the networks are loaded with the first pixels that are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import IO, Any

from PIL import Image, ImageFile

from ..bitstream import (
    MAGIC,
    ArgumentError,
    BitstreamError,
    Color,
    HvaeError,
    Metadata,
    read_index,
)
from .images import METADATA_KEYS, MODES, info_of, metadata_from, to_pixels
from .images.metadata import COMMENT, comment_text
from .options import SCALES, EncodeOptions

FORMAT = "HVAE"


def register() -> None:
    """Teach Pillow to open and to save our files; more than once does no harm."""
    Image.register_open(FORMAT, HvaeImageFile, _accept)
    Image.register_save(FORMAT, _save)
    Image.register_save_all(FORMAT, _save_all)
    Image.register_extension(FORMAT, ".hvae")
    Image.register_mime(FORMAT, "image/x-hvae")


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(MAGIC)


class HvaeImageFile(ImageFile.ImageFile):
    """An open file: size, mode and metadata at once, pixels when they are asked for.

    Colour of 16 bits a channel, for which Pillow has no mode, comes as 8 bits; grey as I;16.
    With `ImageFile.LOAD_TRUNCATED_IMAGES` a damaged file gives what is left of it.
    """

    format = FORMAT
    format_description = "hvae-codec, a learned image codec"

    def _open(self) -> None:
        try:
            index = read_index(self.fp)  # type: ignore[arg-type]
            info = info_of(index.metadata)
        except BitstreamError as error:
            raise OSError(str(error)) from error
        header = index.header
        deep_grey = header.color == Color.GREY and header.bit_depth == 16
        self._mode = "I;16" if deep_grey else MODES[header.color]
        self._size = header.width, header.height
        self.info.update(info)
        self._scale = 1
        # Pillow's sign that the pixels are still to come; none of its decoders is called.
        self.tile = [ImageFile._Tile(FORMAT, (0, 0, *self.size), 0, ())]

    def draft(
        self, mode: str | None, size: tuple[int, int] | None
    ) -> tuple[str, tuple[int, int, float, float]] | None:
        """Be decoded smaller, but no smaller than `size`; `Image.thumbnail` asks for it."""
        if not self.tile or self._scale > 1 or not size:
            return None
        width, height = self.size
        fits = min(width // max(1, size[0]), height // max(1, size[1]))
        self._scale = scale = max((s for s in SCALES if s <= fits), default=1)
        self._size = -(-width // scale), -(-height // scale)
        return self.mode, (0, 0, width / scale, height / scale)

    def verify(self) -> None:
        """Check the file as far as that takes no decoding: that it has all of its bytes.

        Raises:
            OSError: it is cut, or bytes are left over behind it.
        """
        try:
            if self.fp:
                read_index(self.fp).check_end(self.fp)  # type: ignore[arg-type]
        except BitstreamError as error:
            raise OSError(str(error)) from error
        super().verify()

    def load(self) -> Image.core.PixelAccess | None:
        """Decode the pixels.

        Raises:
            OSError: the file is damaged, or of other weights.
        """
        if self.tile and self.fp:
            from . import api

            try:
                decoded = api.decode(
                    self.fp,  # type: ignore[arg-type]
                    scale=self._scale,
                    keep_going=ImageFile.LOAD_TRUNCATED_IMAGES,
                )
            except HvaeError as error:
                raise OSError(str(error)) from error
            self.im, self.readonly = decoded.im, decoded.readonly
            self.tile = []
            if self._exclusive_fp:
                self.fp.close()
            self.fp = None
        return super().load()


def _save(image: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    """Encode an image; called by `Image.save`.

    Its options are those of `hvae_codec.encode`, and `icc_profile`, `exif`, `xmp`, `text`,
    `comment` and `dpi`, which otherwise are those of `metadata` or the image's own, and with None
    are left out. Of a file of several pictures, the one at hand is encoded.

    Warns:
        LeftOut: the image's file holds something that is not kept.

    Raises:
        ArgumentError: an option is out of range, or excludes another one; it is a ValueError.
        OSError: the image cannot be encoded, or not as it was asked for.
    """
    from . import api

    given = image.encoderinfo
    wanted: dict[str, Any] = {
        f.name: given[f.name] for f in fields(EncodeOptions) if f.name in given
    }
    if getattr(image, "n_frames", 1) > 1:
        wanted.setdefault("page", image.tell() + 1)
    options = EncodeOptions(**wanted)
    try:
        pixels = to_pixels(image, strip=options.strip, page=options.page)
        metadata = _metadata(pixels.metadata, given)
        data = api.encode_with(pixels, options, metadata)
    except ArgumentError:
        raise
    except HvaeError as error:
        raise OSError(str(error)) from error
    fp.write(data)


def _metadata(own: Metadata, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata that the options of Pillow's `save` ask for."""
    whole = given.get("metadata")
    base = info_of(own if whole is None else metadata_from(whole))
    wanted = base | {key: given[key] for key in METADATA_KEYS if key in given}
    if "comment" not in given:
        return wanted
    wanted = info_of(metadata_from(wanted))
    text = {key: value for key, value in wanted.get("text", {}).items() if key != COMMENT}
    comment = comment_text(given["comment"])
    return wanted | {"text": text | ({COMMENT: comment} if comment else {})}


def _save_all(image: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    """Refuse `save_all=True`: a file holds one picture."""
    raise OSError("a file of this codec holds one picture: save frames one by one")

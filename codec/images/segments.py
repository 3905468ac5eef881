"""The pieces that PNG, JPEG and WebP files are made of: what is damaged, and what is not kept."""

from __future__ import annotations

import contextlib
import re
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from PIL import PngImagePlugin

from ..errors import ImageError
from .signatures import BMP, JPEG, PNG, is_webp

_PROFILE_BYTES = 1 << 24
"""Larger profiles are none."""

_MOST_TEXT = 1 << 22
"""Bytes that compressed texts may unpack to together: Pillow takes 64 MiB of a file of 64 kB."""

_BMP_V5_END = 138
_HEADER_END = 33  # of a PNG: its signature and the chunk IHDR
_PIECE_BYTES = 256  # of damaged pixels, of which the last piece is lost
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # by the colour type of a PNG
_FILTERS = 5

# Where the passes of an interlaced PNG begin, and their steps: across, down.
_PASSES = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # fmt: skip

# Chunks of PNG that are kept, or of which nothing is left to keep once the picture is decoded.
_KEPT_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"iCCP", b"cICP", b"sRGB", b"gAMA"}
_KEPT_CHUNKS |= {b"cHRM", b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"pHYs", b"sBIT", b"bKGD", b"hIST"}
_KEPT_CHUNKS |= {b"sPLT", b"acTL", b"fcTL", b"fdAT"}
_KEPT_PARTS = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP", b"EXIF", b"XMP ", b"ANIM", b"ANMF"}
_TEXTS = {b"tEXt", b"zTXt", b"iTXt"}

READ_BY_PILLOW = (
    "aspect", "bbox", "blend", "chromaticity", "default_image", "disposal", "dpi", "duration",
    "exif", "gamma", "icc_profile", "interlace", "loop", "srgb", "transparency", "xmp",
)  # fmt: skip
"""Where Pillow keeps what is no text, and looks for it; texts of these keywords lie there too."""

MARK = "\1"
"""Which no keyword has: it stands before those that Pillow would take for something else."""

_CHUNK_NAMES = {b"caBX": "C2PA", b"tIME": "time of change", b"mDCV": "mastering display (mDCV)"}
_CHUNK_NAMES |= {b"cLLI": "light levels (cLLI)", b"C2PA": "C2PA"}

_XMP, _MORE_XMP = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
_PROFILE, _EXIF = b"ICC_PROFILE\0", b"Exif\0\0"
_KEPT_SEGMENTS = (
    (0xE0, b"JFIF\0"), (0xE1, b"Exif\0"), (0xE1, _XMP), (0xE2, _PROFILE),
    (0xE2, b"MPF\0"), (0xEE, b"Adobe"), (0xFE, b""),
)  # fmt: skip
_SEGMENT_NAMES = (
    (0xE0, b"JFXX\0", "JFIF thumbnail"),
    (0xE1, _MORE_XMP, "extended XMP"),
    (0xE2, b"FPXR\0", "FlashPix"),
    (0xEB, b"JP", "C2PA"),
    (0xED, b"Photoshop 3.0\0", "Photoshop resources"),
)
_HEAD_BYTES = 1 << 16  # that are read at first
_IPTC = b"8BIM\4\4"
_MARKER = re.compile(rb"\xff[^\x00\x01\xc8\xd0-\xd8\xf0-\xfd\xff]")
"""Of a segment, or of the end: no fill byte, none within the coded pixels, none that stands alone
(restarts, another begin) or that Pillow takes to stand alone (extensions)."""


@dataclass(frozen=True)
class Chunk:
    """A chunk of PNG: its type, its payload, the byte at which it begins, and its checksum."""

    kind: bytes
    payload: bytes
    at: int
    crc: int

    @property
    def end(self) -> int:
        """The byte behind it: behind length, type, payload and checksum."""
        return self.at + 12 + len(self.payload)

    @property
    def is_sound(self) -> bool:
        """Whether it matches its checksum, which takes a pass over it."""
        return zlib.crc32(self.payload, zlib.crc32(self.kind)) == self.crc

    @property
    def is_critical(self) -> bool:
        """Whether there is no picture without it."""
        return self.kind[:1].isupper()


def png_chunks(file: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a PNG, up to IEND or to where the file is cut."""
    at = len(PNG)
    while at + 8 <= len(file):
        size, kind = struct.unpack_from(">I4s", file, at)
        end = at + 8 + size
        if end + 4 > len(file):
            return
        (crc,) = struct.unpack_from(">I", file, end)
        yield Chunk(kind, file[at + 8 : end], at, crc)
        if kind == b"IEND":
            return
        at = end + 4


def png_damage(file: bytes) -> str | None:
    """Say which chunk that a picture cannot do without is damaged; None where none is."""
    for chunk in png_chunks(file):
        # where the end lies is known without its checksum
        if chunk.is_critical and not chunk.is_sound and chunk.kind != b"IEND":
            name = chunk.kind.decode("latin1")
            return f"damaged: the chunk {name} at byte {chunk.at} does not match its checksum"
    return None


def _changed(file: bytes, change: Callable[[Chunk], bytes | None]) -> bytes:
    """Return a PNG with other chunks.

    Args:
        file: the PNG.
        change: returns what stands in the place of a chunk; None where it stays.
    """
    pieces, at = [], 0
    for chunk in png_chunks(file):
        changed = change(chunk)
        if changed is not None:
            pieces += file[at : chunk.at], changed
            at = chunk.end
    return b"".join([*pieces, file[at:]])


def with_code_points(file: bytes, codes: bytes) -> bytes:
    """Put the chunk cICP, which not every Pillow writes, behind the header of a PNG."""
    return file[:_HEADER_END] + _packed(b"cICP", codes) + file[_HEADER_END:]


def _packed(kind: bytes, payload: bytes) -> bytes:
    """Return a chunk of PNG."""
    crc = zlib.crc32(payload, zlib.crc32(kind))
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", crc)


def with_marked_texts(file: bytes) -> bytes:
    """Mark the keywords of a PNG's texts that Pillow would take for something else."""
    clashing = {name.encode() for name in READ_BY_PILLOW}

    def marked(chunk: Chunk) -> bytes | None:
        keyword = chunk.payload.partition(b"\0")[0] if chunk.kind in _TEXTS else b""
        if keyword not in clashing or not chunk.is_sound:
            return None
        return _packed(chunk.kind, MARK.encode() + chunk.payload)

    return _changed(file, marked)


def with_checksums(file: bytes) -> bytes:
    """Give every chunk the checksum that it ought to have, for what is left of damaged ones."""
    chunks = list(png_chunks(file))
    whole = [_packed(c.kind, c.payload) for c in chunks]
    end = chunks[-1].at + len(whole[-1]) if chunks else len(PNG)
    return PNG + b"".join(whole) + file[end:]


def without_damaged_chunks(file: bytes) -> bytes:
    """Leave out the damaged chunks that a picture can do without, as other readers do."""
    return _changed(file, lambda chunk: None if chunk.is_critical or chunk.is_sound else b"")


def critical_chunks(file: bytes) -> bytes:
    """Return a PNG of the pixels alone, about which a reader has nothing to remark."""
    kept = [c for c in png_chunks(file) if c.is_critical]
    pieces = (file[c.at : c.end] for c in kept)
    if kept and kept[-1].kind == b"IEND":
        return PNG + b"".join(pieces)
    return without_damaged_chunks(file)  # cut: what is left of its last chunk counts as well


def with_all_pixels(file: bytes) -> bytes:
    """Return a PNG of the pixels alone, with zeros for those that are cut off or damaged.

    Args:
        file: of 8 or 16 bits a channel, without a palette.
    """
    chunks = list(png_chunks(file))
    last = chunks[-1]
    rest = file[last.end :]
    packed = b"".join(c.payload for c in chunks if c.kind == b"IDAT")
    packed += rest[8:] if rest[4:8] == b"IDAT" else b""
    rows = [*_rows(chunks[0].payload)]
    pixels, at, stream = bytearray(), 0, zlib.decompressobj()
    with contextlib.suppress(zlib.error):
        for begin in range(0, len(packed), _PIECE_BYTES):
            missing = sum(rows) - len(pixels)
            if missing <= 0:
                break
            pixels += stream.decompress(packed[begin : begin + _PIECE_BYTES], missing)
    for row_bytes in rows:
        if pixels[at : at + 1] >= bytes([_FILTERS]):
            del pixels[at:]  # no filter: what follows is no picture
        at += row_bytes
    whole = zlib.compress(pixels[:at].ljust(at, b"\0"), 1)
    header = _packed(b"IHDR", chunks[0].payload)
    return PNG + header + _packed(b"IDAT", whole) + _packed(b"IEND", b"")


def _rows(header: bytes) -> Iterator[int]:
    """Yield the bytes of each row of a PNG, of each pass where it is interlaced."""
    width, height, bits, color, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    pixel_bytes = bits // 8 * _CHANNELS[color]
    for left, top, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        if columns := len(range(left, width, across)):
            yield from [1 + columns * pixel_bytes] * len(range(top, height, down))


def jpeg_segments(file: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield marker, payload and place of every segment; behind 0xd9 is what follows the picture."""
    found = _MARKER.search(file, 2)
    while found:
        at, marker = found.start(), file[found.start() + 1]
        if marker == 0xD9:
            yield marker, file[at + 2 :], at
            return
        size = int.from_bytes(file[at + 2 : at + 4], "big")
        yield marker, file[at + 4 : at + 2 + size], at
        found = _MARKER.search(file, at + 2 + max(2, size))


def exif_of_jpeg(file: BinaryIO) -> bytes:
    """Return the EXIF of a JPEG, whose pieces Pillow joins; not much is read behind it.

    Raises:
        ImageError: there is no scan, before which Pillow looks for EXIF.
    """
    head = b""
    while piece := file.read(max(_HEAD_BYTES, len(head))):
        head += piece
        pieces = []
        for marker, payload, _ in jpeg_segments(head):
            if marker == 0xDA:
                return b"".join(pieces)
            if marker == 0xE1 and payload.startswith(_EXIF):
                pieces.append(payload.removeprefix(_EXIF))
    raise ImageError("the JPEG ends before its pixels")


def without_large_texts(file: bytes) -> tuple[bytes, list[str]]:
    """Leave out the compressed chunks of a PNG that hold more than Pillow reads, and name them."""
    names, left, most = [], _MOST_TEXT, PngImagePlugin.MAX_TEXT_CHUNK

    def without(chunk: Chunk) -> bytes | None:
        nonlocal left
        packed, is_text = _compressed(chunk), chunk.kind in _TEXTS
        if packed and is_text and left <= 0:
            names.append(f"texts beyond {_MOST_TEXT} bytes")
            return b""
        with contextlib.suppress(zlib.error):
            size = len(zlib.decompressobj().decompress(packed, most + 1)) if packed else 0
            if size > most:
                names.append(f"chunk {chunk.kind.decode('latin1')} (of more than {most} bytes)")
                return b""
            left -= size if is_text else 0
        return None

    return _changed(file, without), names


def _compressed(chunk: Chunk) -> bytes:
    """Return the compressed part of a chunk of text or of a profile; nothing of others."""
    _, _, rest = chunk.payload.partition(b"\0")
    if chunk.kind in (b"zTXt", b"iCCP"):
        return rest[1:]
    if chunk.kind == b"iTXt" and rest[:1] == b"\1":
        return rest[2:].split(b"\0", 2)[-1]
    return b""


def has_broken_profile(file: bytes, was_read: bool) -> bool:
    """Tell whether a PNG, JPEG or WebP file holds an ICC profile of which something is missing.

    Args:
        file: the file.
        was_read: whether Pillow found a profile, which may be a part of one.
    """
    if file.startswith(PNG):
        return any(c.kind == b"iCCP" and c.is_sound and not _unpacks(c) for c in png_chunks(file))
    if file.startswith(JPEG):
        has = any(m == 0xE2 and p.startswith(_PROFILE) for m, p, _ in jpeg_segments(file))
        return has and not was_read
    return is_webp(file) and b"ICCP" in _riff_parts(file) and not was_read


def _unpacks(chunk: Chunk) -> bool:
    stream = zlib.decompressobj()
    try:
        stream.decompress(_compressed(chunk), _PROFILE_BYTES)
    except zlib.error:
        return False
    return stream.eof


def profile_of_bmp(file: bytes) -> bytes:
    """Return the ICC profile that the header of a BMP (BITMAPV5HEADER) points to, or nothing."""
    if not file.startswith(BMP) or len(file) < _BMP_V5_END:
        return b""
    header_bytes, begin, size = (struct.unpack_from("<I", file, at)[0] for at in (14, 126, 130))
    if header_bytes < _BMP_V5_END - 14 or file[70:74] != b"DEBM":
        return b""
    return file[14 + begin : 14 + begin + size]


def not_kept(file: bytes) -> list[str]:
    """Name what a PNG, JPEG or WebP file holds that is not kept."""
    if file.startswith(PNG):
        chunks = list(png_chunks(file))
        keywords = Counter(c.payload.split(b"\0")[0] for c in chunks if c.kind in _TEXTS)
        repeated = (k.decode("latin1") for k, count in keywords.items() if count > 1)
        return [
            _CHUNK_NAMES.get(c.kind, f"chunk {c.kind.decode('latin1')}")
            if c.is_sound
            else f"damaged chunk {c.kind.decode('latin1')}"
            for c in chunks
            if c.kind not in _KEPT_CHUNKS or not (c.is_critical or c.is_sound)
        ] + [f"other text {keyword.removeprefix(MARK)}" for keyword in repeated]
    if file.startswith(JPEG):
        segments = list(jpeg_segments(file))
        comments = sum(marker == 0xFE for marker, _, _ in segments)
        named = (_segment_name(marker, payload) for marker, payload, _ in segments)
        return [name for name in named if name] + ["other comments"] * (comments > 1)
    if is_webp(file):
        kinds = (kind for kind in _riff_parts(file) if kind not in _KEPT_PARTS)
        return [_CHUNK_NAMES.get(k, f"chunk {k.decode('latin1').strip()}") for k in kinds]
    return []


def _segment_name(marker: int, payload: bytes) -> str | None:
    if marker == 0xD9:
        # the pictures of an MPO are counted as such
        rest = payload.rstrip(b"\0")
        count = 0 if JPEG in rest.lstrip(b"\0")[:64] else len(rest)
        return f"{count} bytes behind the picture" if count else None
    if not (0xE0 <= marker <= 0xEF):
        return None
    if any(marker == kept and payload.startswith(begin) for kept, begin in _KEPT_SEGMENTS):
        return None
    if marker == 0xED and _IPTC in payload:
        return "IPTC"
    for known, begin, name in _SEGMENT_NAMES:
        if marker == known and payload.startswith(begin):
            return name
    begin = payload.split(b"\0")[0][:20]
    label = f" ({begin.decode()})" if begin.isalnum() else ""
    return f"segment APP{marker - 0xE0}{label}"


def _riff_parts(file: bytes) -> Iterator[bytes]:
    at = 12
    while at + 8 <= len(file):
        kind, size = struct.unpack_from("<4sI", file, at)
        yield kind
        at += 8 + size + size % 2

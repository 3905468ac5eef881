"""Writes what the page is tested against: files, the pixels and errors that Python has for them.

The one argument is a folder, which gets

    weights/        as `hvae-codec export-web` writes them
    ans.json        tables, and what was popped off stacks of words
    cases.json      of each file, its size, options, and the error that Python raises
    NAME.hvae       the files
    NAME.rgba       their pixels, 8 bits each

Pixels are those of the usual decoder, whose own tests hold it against files of every version.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image, ImageCms
from skimage import data

from hvae_codec.bitstream import (
    BitstreamError,
    InvalidField,
    MetadataKind,
    PmfTables,
    Prior,
    TileCoder,
    coder_of,
    gaussian_pmfs,
    push,
    read_index,
    words_of,
)
from hvae_codec.codec.api import encode as encode_image
from hvae_codec.codec.config import PATCH_PX
from hvae_codec.codec.decode import decode_parts
from hvae_codec.codec.encoder import encode_pixels
from hvae_codec.codec.images import to_pixels
from hvae_codec.codec.networks.web import web_parts
from hvae_codec.codec.networks.weights import Codec, load_codec
from hvae_codec.codec.options import TUNES, EncodeOptions
from hvae_codec.codec.tiles.lossless import encode_vp8l
from tests.drawn import photograph, text

GOLDEN = Path(__file__).parents[2] / "tests/golden"

Case = dict[str, object]


def main(out: Path) -> None:
    """Write all of it."""
    codec = load_codec(tune="psnr")
    for tune in TUNES:
        for name, part in web_parts(load_codec(tune=tune).file):
            path = out / "weights" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(part)
    (out / "ans.json").write_text(json.dumps(ans_cases()))
    cases: dict[str, Case] = {}

    def add(name: str, file: bytes, **options: object) -> None:
        (out / f"{name}.hvae").write_bytes(file)
        cases[name] = {"options": options.copy()}
        options.pop("progressive", None)  # what is shown on the way has no counterpart
        wanted = {_snake(key): value for key, value in options.items()}
        try:
            index = read_index(file)
            if index.header.prior is not Prior.MASKED_DIFFUSION:  # which Python alone decodes
                raise InvalidField(f"the prior {index.header.prior.label} is not decoded here")
            picture = decode_parts(file, **wanted)  # type: ignore[arg-type]
        except BitstreamError as error:
            cases[name]["error"] = [type(error).__name__, str(error)]
            return
        rgba = rgba_of(picture.pixels)
        (out / f"{name}.rgba").write_bytes(rgba.tobytes())
        cases[name] |= {
            "height": rgba.shape[0],
            "width": rgba.shape[1],
            "wholeLevels": picture.whole_levels,
            "lostTiles": picture.lost_tiles,
        }

    for path in sorted(GOLDEN.glob("**/*.hvae")):
        add("_".join(path.relative_to(GOLDEN).with_suffix("").parts), path.read_bytes())
    photo = Image.fromarray(data.chelsea())

    def encode(size: tuple[int, int], quality: int, tile: int) -> bytes:
        pixels = to_pixels(np.asarray(photo.resize(size, Image.Resampling.LANCZOS)))
        return encode_pixels(codec, pixels, quality, EncodeOptions(tile_px=tile * PATCH_PX))

    whole = encode((768, 512), 60, 32)
    tiles = encode((500, 333), 45, 4)
    add("photo", whole)
    add("tiles", tiles)
    pieces = encode((1100, 900), 30, 26)
    add("pieces", pieces)
    lost = bytearray(pieces)
    lost[int(read_index(pieces).spans[0, 2, 0]) + 2] ^= 0xFF
    add("pieces_lost_kept", bytes(lost), keepGoing=True)
    add("region", tiles, region=(130, 100, 200, 77))
    add("levels", tiles, levels=2)
    add("thumbnail", tiles, scale=8)
    broken(add, tiles)
    cut_everywhere(add, encode((180, 60), 45, 2))
    drawn(add, codec)
    profile(out, add)
    other_streams(add)
    wrong_metadata(add, codec)
    of_many_qualities(add, codec)
    deep(add, codec)
    (out / "cases.json").write_text(json.dumps(cases))


def broken(add: Callable[..., None], whole: bytes) -> None:
    """Add files that are cut or damaged, and what is left of them."""
    index = read_index(whole)
    cut = whole[: int(index.spans[2, 5, 0]) + 5]
    add("cut", cut)
    add("cut_kept", cut, keepGoing=True)
    add("cut_levels", cut, levels=1)
    add("cut_thumbnail", cut, scale=8)
    behind = whole[:-4]
    add("cut_region", behind, region=(0, 0, 40, 40))
    add("cut_region_kept", behind, region=(0, 0, 40, 40), keepGoing=True)
    begin, size = (int(number) for number in index.spans[5, 4])
    damaged = bytearray(whole)
    damaged[begin + size // 2] ^= 0x55
    add("damaged", bytes(damaged))
    add("damaged_kept", bytes(damaged), keepGoing=True)
    lost = bytearray(whole)
    lost[int(index.spans[3, 2, 0]) + 2] ^= 0xFF
    add("lost_kept", bytes(lost), keepGoing=True)
    add("lost_kept_thumbnail", bytes(lost), keepGoing=True, scale=8)
    add("lost_region_thumbnail", bytes(lost), keepGoing=True, scale=8, region=(380, 10, 64, 80))
    before = whole[: int(index.spans[0, 2, 0])]
    add("nothing_kept_thumbnail", before, keepGoing=True, scale=8)
    add("other_file", b"\x89PNG and more that is not ours")
    add("other_version", whole[:4] + b"\x03" + whole[5:])
    add("cut_header", whole[:9])
    header = bytearray(whole)
    header[7] ^= 1
    add("damaged_header", bytes(header))
    damaged_index = bytearray(whole)
    damaged_index[index.begin - 6] ^= 1
    add("damaged_index", bytes(damaged_index))
    add("longer", whole + b"more")
    add("longer_kept", whole + b"more", keepGoing=True)


def cut_everywhere(add: Callable[..., None], whole: bytes) -> None:
    """Add files that end where a level of a tile begins; of some tiles levels are empty."""
    index = read_index(whole)
    assert (index.level_words == 0).any(), index.level_words
    for at in sorted({int(begin) for begin, _ in index.spans.reshape(-1, 2)}):
        add(f"cut_at_{at}", whole[:at], keepGoing=True, progressive=True)


def drawn(add: Callable[..., None], codec: Codec) -> None:
    """Add files of text, and of text beside a photograph: exact tiles and exact patches."""
    add("screen", encode_image(text(np.random.default_rng(0))))
    image = page()
    mixed = encode_pixels(codec, to_pixels(image), 50, EncodeOptions(tile_px=224, tune="psnr"))
    index = read_index(mixed)
    assert [*index.coders] == [2, 1, 0, 1], index.coders
    add("mixed", mixed)
    add("mixed_region", mixed, region=(150, 200, 100, 100))
    add("mixed_thumbnail", mixed, scale=8)
    add("mixed_cut", mixed[: -len(mixed) // 8])
    for name, tile in (("exact_lost", 1), ("patches_lost", 0)):
        damaged = bytearray(mixed)
        begin, size = index.spans[tile, 1]
        damaged[begin + size // 2] ^= 1
        add(name, bytes(damaged))
        add(f"{name}_kept", bytes(damaged), keepGoing=True)
        add(f"{name}_kept_thumbnail", bytes(damaged), keepGoing=True, scale=8)
    alpha = Image.new("L", image.size, 255)
    alpha.paste(Image.linear_gradient("L").resize((320, 300)), (0, 60))
    image.putalpha(alpha)
    mixed = encode_pixels(codec, to_pixels(image), 50, EncodeOptions(tile_px=224, tune="psnr"))
    add("mixed_alpha", mixed)
    add("mixed_alpha_thumbnail", mixed, scale=8)
    index = read_index(mixed)
    assert index.coders[0] == TileCoder.BOTH, index.coders
    damaged = bytearray(mixed)
    begin, size = index.spans[0, 0]
    damaged[begin + size // 2] ^= 1
    add("alpha_lost_kept", bytes(damaged), keepGoing=True)
    add("alpha_lost_kept_thumbnail", bytes(damaged), keepGoing=True, scale=8)
    lossless = encode_image(np.asarray(image), lossless=True)
    add("lossless", lossless)
    add("lossless_thumbnail", lossless, scale=8)
    lost = lossless[:-5] + b"damag"
    add("lossless_lost_kept", lost, keepGoing=True)
    add("lossless_lost_kept_thumbnail", lost, keepGoing=True, scale=8)


def profile(out: Path, add: Callable[..., None]) -> None:
    """Add a picture whose profile swaps red and blue, and a PNG of the same pixels and profile."""
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    icc = icc.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    icc = icc.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
    image = Image.fromarray(data.chelsea()).resize((160, 120))
    image.putalpha(
        Image.linear_gradient("L").resize((160, 120)).point([min(2 * a, 255) for a in range(256)])
    )
    image.save(out / "profile.png", icc_profile=icc)
    add("profile", encode_image(out / "profile.png", lossless=True))


def other_streams(add: Callable[..., None]) -> None:
    """Add files whose streams have colour or alpha that their headers do not tell, or no end."""
    colour = np.asarray(Image.fromarray(data.chelsea()).resize((90, 70)))
    ramp = np.broadcast_to(np.linspace(0, 255, 90), (70, 90)).astype(np.uint8)
    stream = encode_vp8l(np.dstack([colour, ramp]))
    with mock.patch("hvae_codec.codec.tiles.exact.encode_lossless", return_value=stream):
        add("hidden_alpha", encode_image(colour, lossless=True))
        add("hidden_colour", encode_image(colour[..., 0], lossless=True))
    with mock.patch("hvae_codec.codec.tiles.exact.encode_lossless", return_value=stream[:-300]):
        add("cut_stream", encode_image(colour, lossless=True))


def wrong_metadata(add: Callable[..., None], codec: Codec) -> None:
    """Add files whose text or resolution is none."""
    pixels = to_pixels(np.zeros((32, 32, 3), np.uint8))
    for name, item in (
        ("wrong_text", (MetadataKind.TEXT, b'{"a": 1}')),
        ("wrong_dpi", (MetadataKind.DPI, b"1234")),
    ):
        add(
            name,
            encode_pixels(
                codec, replace(pixels, metadata=(item,)), 20, EncodeOptions(content="photo")
            ),
        )


def page() -> Image.Image:
    """Draw text above a photograph."""
    image = Image.new("RGB", (320, 448), "white")
    image.paste(text(np.random.default_rng(0)), (0, 0))
    image.paste(photograph(np.random.default_rng(1)).resize((224, 288)), (0, 160))
    return image


def of_many_qualities(add: Callable[..., None], codec: Codec) -> None:
    """Add files with a quality map."""
    pixels = to_pixels(np.asarray(Image.fromarray(data.chelsea()).resize((330, 250))))
    offsets = np.random.default_rng(0).integers(-15, 16, (8, 11)).astype(np.float32)
    patches = encode_pixels(codec, pixels, 40, EncodeOptions(tile_px=160), offsets=offsets)
    add("patches", patches)
    add("patches_thumbnail", patches, scale=8)
    header = read_index(patches).header
    begin = patches.index(bytes([header.quality, header.tile_side]) + header.weights) + 10
    damaged = bytearray(patches)
    damaged[begin + 5] ^= 1
    add("damaged_map", bytes(damaged))


def deep(add: Callable[..., None], codec: Codec) -> None:
    """Add files of 16 bits a channel: learned, exact, and in part exact."""
    grey = shallow()
    add("range", encode_image(grey))
    lossless = encode_image(grey, lossless=True)
    add("deep_grey", lossless)
    add("deep_cut", lossless[:-5])
    add("deep_cut_kept", lossless[:-5], keepGoing=True)
    ramp = np.broadcast_to(np.linspace(0, 65535, grey.shape[1]), grey.shape)
    colour = np.dstack([grey, 2 * grey, 65535 - grey, ramp]).astype(np.uint16)
    lossless = encode_image(colour, lossless=True)
    add("deep_colour", lossless)
    add("deep_thumbnail", lossless, scale=8)
    add("deep_lost", lossless[:-5] + b"damag")
    mixed = encode_pixels(
        codec,
        to_pixels(np.asarray(page(), np.uint16) * 257),
        50,
        EncodeOptions(tile_px=224, tune="psnr"),
    )
    assert [*read_index(mixed).coders] == [0, 1, 0, 1]
    add("deep_mixed", mixed)


def shallow() -> np.ndarray:
    """Return a picture of 16 bits that fills a quarter of its range."""
    grey = np.asarray(Image.fromarray(data.camera()).resize((90, 70)), np.uint16)
    return grey * 64 + 9000


def ans_cases() -> dict[str, object]:
    """Return tables, and stacks of words with the tables and symbols that were pushed."""
    rng = np.random.default_rng(1)
    tables: PmfTables = gaussian_pmfs(np.geomspace(0.1, 200, 12), np.array([0.0, 0.3]))
    stacks = []
    for count in (0, 1, 2, 50, 3000):
        index = rng.integers(0, len(tables), count)
        symbols = np.rint(rng.standard_cauchy(count) * 2).clip(-(2**20), 2**20).astype(np.int64)
        coder = coder_of()
        push(coder, index, symbols, tables)
        words = words_of(coder).tolist()
        stacks.append({"words": words, "index": index.tolist(), "symbols": symbols.tolist()})
    parts = {name: getattr(tables, name).tolist() for name in ("pmf", "start", "length")}
    return {"tables": parts, "stacks": stacks}


def rgba_of(samples: np.ndarray) -> np.ndarray:
    """Return samples (h, w, 1...4) of 8 or 16 bits as RGBA of 8."""
    if samples.dtype == np.uint16:
        samples = np.rint(samples / 257).astype(np.uint8)
    alpha = samples.shape[2] in (2, 4)
    colour = samples[..., :-1] if alpha else samples
    rgb = np.broadcast_to(colour, (*samples.shape[:2], 3))
    opaque = np.full((*samples.shape[:2], 1), 255, np.uint8)
    return np.concatenate([rgb, samples[..., -1:] if alpha else opaque], axis=2)


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

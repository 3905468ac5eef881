"""Run codecs over a folder of images, by way of files on disk."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from . import metrics
from .peers import Codec

OURS = "hvae-codec"
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".ppm"}


@dataclass(frozen=True)
class Record:
    """One image through one codec at one setting."""

    codec: str
    description: str
    setting: int
    image: str
    width: int
    height: int
    file_bytes: int
    bpp: float
    psnr_db: float
    encode_s: float
    decode_s: float


def ours(qualities: tuple[int, ...]) -> Codec:
    """Make a peer among peers of this codec."""
    from ..codec import api

    return Codec(
        name=OURS,
        description=f"hvae-codec {version('hvae-codec')}",
        suffix=".hvae",
        settings=qualities,
        encode=lambda image, quality: api.encode(image, quality),
        decode=lambda data: api.decode(data).convert("RGB"),
    )


def run(
    folder: Path, codecs: Sequence[Codec], out: Path, *, progress: bool = False
) -> list[Record]:
    """Measure every image of a folder through every codec at every setting.

    The files stay behind as `out/files/<codec>/<setting>/<image><suffix>`. Seconds are those of
    one call in this process: what a codec does once, such as loading weights, is done before.

    Args:
        folder: where the images are; those in folders below it are left out.
        codecs: what to compare. They take turns at every image, so that what else the machine
            does meets all of them alike.
        out: folder for the files.
        progress: show a bar on stderr.

    Raises:
        OSError: an image cannot be read, or there is none.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise FileNotFoundError(None, "no images in this folder", str(folder))
    turns = _turns(codecs)
    for codec in codecs:
        _warm_up(codec, _read(paths[0]))

    records = []
    with tqdm(total=len(paths) * len(turns), unit="file", disable=not progress) as bar:
        for path in paths:
            image = _read(path)
            for codec, setting in turns:
                file = out / "files" / codec.name / str(setting) / (path.name + codec.suffix)
                bar.set_postfix_str(f"{path.name} {codec.name} {setting}", refresh=False)
                records.append(_measure(path.name, image, codec, setting, file))
                bar.update()
    return records


def _measure(name: str, image: Image.Image, codec: Codec, setting: int, file: Path) -> Record:
    start = time.perf_counter()
    data = codec.encode(image, setting)
    encode_s = time.perf_counter() - start

    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    file_bytes = file.stat().st_size
    data = file.read_bytes()

    start = time.perf_counter()
    decoded = codec.decode(data)
    decode_s = time.perf_counter() - start
    return Record(
        codec=codec.name,
        description=codec.description,
        setting=setting,
        image=name,
        width=image.width,
        height=image.height,
        file_bytes=file_bytes,
        bpp=metrics.bits_per_pixel(file_bytes, image.width, image.height),
        psnr_db=metrics.psnr_rgb(np.asarray(image), np.asarray(decoded)),
        encode_s=encode_s,
        decode_s=decode_s,
    )


def _turns(codecs: Sequence[Codec]) -> list[tuple[Codec, int]]:
    """Spread every codec's settings evenly over one list."""
    spread = [
        (index / len(codec.settings), codec, setting)
        for codec in codecs
        for index, setting in enumerate(codec.settings)
    ]
    return [(codec, setting) for _, codec, setting in sorted(spread, key=lambda turn: turn[0])]


def _warm_up(codec: Codec, image: Image.Image) -> None:
    codec.decode(codec.encode(image.crop((0, 0, 64, 64)), codec.settings[0]))


def _read(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except Exception as error:  # Pillow's readers raise nearly anything on damaged data
        raise OSError(None, f"cannot be read as an image ({error})", str(path)) from error

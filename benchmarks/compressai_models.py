"""CompressAI's models as peers: with their weights where these are cached, else for their times."""

from __future__ import annotations

import functools
import struct
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .codecs import Absent, Codec

NAMES = ("bmshj2018-factorized", "bmshj2018-hyperprior", "mbt2018-mean", "cheng2020-anchor")
_TIMED_QUALITY = 4
_STRIDE = 64
"""Sides are padded to a multiple of this, as CompressAI does."""

_HEAD = struct.Struct("<4HB")  # width, height, height and width of the hyperlatent, strings


def peer(name: str) -> Codec:
    """Make a peer of one of CompressAI's models, trained for mean squared error.

    Raises:
        Absent: the library is not installed.
    """
    try:
        release = version("compressai")
    except PackageNotFoundError:
        raise Absent("it needs: python -m pip install compressai") from None
    cached = cached_qualities(name)
    return Codec(
        name,
        f"CompressAI {release}, " + ("mse" if cached else "random weights (not in torch's cache)"),
        ".bin",
        cached or (_TIMED_QUALITY,),
        cached or (_TIMED_QUALITY,),
        partial(_encode, name, bool(cached)),
        partial(_decode, name, bool(cached)),
        times_only=not cached,
    )


def cached_qualities(name: str) -> tuple[int, ...]:
    """Find the qualities whose weights lie in torch's cache; nothing is fetched."""
    import torch
    from compressai.zoo.image import model_urls

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    urls: dict[int, str] = model_urls[name]["mse"]
    return tuple(q for q, url in sorted(urls.items()) if (folder / Path(url).name).is_file())


@functools.cache
def _network(name: str, pretrained: bool, quality: int) -> Any:  # noqa: ANN401
    import torch
    from compressai.zoo import image_models

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # random weights are the same in every process
        network = image_models[name](quality, metric="mse", pretrained=pretrained).eval()
    network.update()
    return network


def _encode(name: str, pretrained: bool, image: Image.Image, quality: int) -> bytes:
    """Write size, shape and strings, the least that a file must hold to be decoded."""
    import torch

    width, height = image.size
    padding = ((0, -height % _STRIDE), (0, -width % _STRIDE), (0, 0))
    pixels = np.pad(np.asarray(image), padding, mode="edge").transpose(2, 0, 1)
    with torch.inference_mode():
        x = torch.from_numpy(np.ascontiguousarray(pixels))[None].float() / 255
        out = _network(name, pretrained, quality).compress(x)
    strings = [string[0] for string in out["strings"]]
    head = _HEAD.pack(width, height, *out["shape"], len(strings)) + bytes([quality])
    lengths = struct.pack(f"<{len(strings)}I", *map(len, strings))
    return head + lengths + b"".join(strings)


def _decode(name: str, pretrained: bool, data: bytes) -> Image.Image:
    import torch

    width, height, rows, columns, count = _HEAD.unpack_from(data)
    quality, at = data[_HEAD.size], _HEAD.size + 1
    lengths = struct.unpack_from(f"<{count}I", data, at)
    at += 4 * count
    strings = []
    for length in lengths:
        strings.append([data[at : at + length]])
        at += length
    with torch.inference_mode():
        out = _network(name, pretrained, quality).decompress(strings, (rows, columns))
    pixels = out["x_hat"][0].clamp(0, 1).mul(255).round().to(torch.uint8).permute(1, 2, 0)
    return Image.fromarray(pixels[:height, :width].contiguous().numpy())

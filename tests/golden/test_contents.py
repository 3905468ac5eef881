"""Files of other contents and of other priors, which must decode for ever, as in `test_golden`.

golden.json has the sha256 of each file, of its metadata, and of its samples where it is lossless.
Other pixels stand in a file beside it. Written once, like those of `test_golden`:

    HVAE_CODEC_REGENERATE=1 python -m pytest tests/golden/test_contents.py
"""

import hashlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from hvae_codec.bitstream import Prior, TileCoder, read_index
from hvae_codec.codec.decode import Decoded, decode_parts
from hvae_codec.codec.encode import encode
from tests.drawn import windows
from tests.golden.test_golden import HERE, REGENERATE, differ_by

FOLDER = HERE / "contents"
INDEX = FOLDER / "golden.json"


def _deep(samples: np.ndarray) -> np.ndarray:
    """Return samples of 16 bits, the lower eight of them not those of the upper."""
    places = np.arange(samples.size, dtype=np.uint16).reshape(samples.shape)
    return samples.astype(np.uint16) * 256 + places * 37 % 256


def _page(crop: np.ndarray) -> np.ndarray:
    """Return windows with a photograph among them."""
    page = np.asarray(windows(np.random.default_rng(0)))[:128, :224].copy()
    page[:, 160:] = crop[:, :64]
    return page


def _described(crop: np.ndarray) -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    metadata = {
        "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        "exif": exif.tobytes(),
        "xmp": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
        "text": {"Title": "naïve", "comment": "two\nlines"},
        "dpi": (300.0, 150.0),
    }
    return encode(crop[:32, :64], 30, metadata=metadata)


def _with_alpha(samples: np.ndarray) -> np.ndarray:
    return np.concatenate([samples, samples[..., :1] // 2], axis=2)


FILES: dict[str, Callable[[np.ndarray], bytes]] = {
    "lossless": lambda crop: encode(crop[:50, :70], lossless=True),
    "lossless_tiles": lambda crop: encode(crop[:50, :70], lossless=True, tile_px=32),
    "lossless_grey_alpha": lambda crop: encode(crop[:50, :70, :2], lossless=True),
    "lossless_deep": lambda crop: encode(_deep(_with_alpha(crop[:20, :30])), lossless=True),
    "lossless_deep_grey": lambda crop: encode(_deep(crop[:20, :30, :1]), lossless=True),
    "page": lambda crop: encode(_page(crop), 50),
    "page_for_psnr": lambda crop: encode(_page(crop), 80, tune="psnr"),
    "deep": lambda crop: encode(_deep(crop[:64, :64]), 60),
    "deep_span": lambda crop: encode(_deep(_with_alpha(crop[:64, :64])) // 16, 60),
    "described": _described,
} | {
    prior.label: partial(lambda label, crop: encode(crop[:96, :96], 85, prior=label), prior.label)
    for prior in Prior
    if prior is not Prior.MASKED_DIFFUSION
}


def differences(decoded: Decoded, name: str) -> float:
    with np.load(FOLDER / f"{name}.npz") as file:
        return differ_by(decoded.pixels, file["pixels"])


def entry_of(data: bytes, decoded: Decoded) -> dict[str, Any]:
    entry: dict[str, Any] = {"sha256": hashlib.sha256(data).hexdigest()}
    if decoded.metadata:
        described = repr(sorted(decoded.metadata.items()))
        entry["metadata"] = hashlib.sha256(described.encode()).hexdigest()
    if (read_index(data).coders == TileCoder.EXACT).all():
        entry["samples"] = hashlib.sha256(decoded.pixels.tobytes()).hexdigest()
    return entry


def regenerate(crop: np.ndarray) -> None:
    FOLDER.mkdir(exist_ok=True)
    index = {}
    for name, written in FILES.items():
        data = written(crop)
        decoded = decode_parts(data)
        (FOLDER / f"{name}.hvae").write_bytes(data)
        index[name] = entry_of(data, decoded)
        if "samples" not in index[name]:
            np.savez_compressed(FOLDER / f"{name}.npz", pixels=decoded.pixels)
    INDEX.write_text(json.dumps(index, indent=2) + "\n")


@pytest.fixture(scope="module")
def index(photograph: np.ndarray) -> dict[str, dict[str, Any]]:
    if REGENERATE and not INDEX.exists():
        regenerate(np.ascontiguousarray(photograph[60:188, 140:332]))
    return json.loads(INDEX.read_text())


@pytest.mark.parametrize("name", FILES)
def test_they_decode_to_what_was_released(index: dict[str, dict[str, Any]], name: str) -> None:
    assert index.keys() == FILES.keys()
    data = (FOLDER / f"{name}.hvae").read_bytes()
    decoded = decode_parts(data)
    assert entry_of(data, decoded) == index[name]
    if "samples" not in index[name]:
        assert differences(decoded, name) <= 1


def test_they_have_all_kinds_of_tiles(index: dict[str, dict[str, Any]]) -> None:
    coders = [read_index((FOLDER / f"{name}.hvae").read_bytes()).coders for name in index]
    assert set(np.concatenate(coders)) == set(TileCoder)

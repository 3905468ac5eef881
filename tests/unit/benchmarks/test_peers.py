import io

import numpy as np
import pytest
from PIL import Image

from hvae_codec.benchmarks.metrics import psnr_rgb
from hvae_codec.benchmarks.peers import PEERS, why_absent


@pytest.fixture(scope="module")
def image() -> Image.Image:
    wave = 127 + 120 * np.sin(np.arange(64) / 5)
    plane = np.add.outer(wave, wave) / 2
    return Image.fromarray(np.stack([plane, plane.T[::-1], 255 - plane], 2).astype(np.uint8))


@pytest.mark.parametrize("name", PEERS)
def test_more_bytes_are_more_decibels(name: str, image: Image.Image) -> None:
    codec = PEERS[name]
    if reason := why_absent(codec):
        pytest.skip(reason)
    sizes, psnrs = [], []
    for setting in (codec.settings[0], codec.settings[-1]):
        data = codec.encode(image, setting)
        sizes.append(len(data))
        psnrs.append(psnr_rgb(np.asarray(image), np.asarray(codec.decode(data))))
    assert sizes[0] < sizes[1]
    assert psnrs[0] < psnrs[1]


def test_jpeg_is_420(image: Image.Image) -> None:
    file = Image.open(io.BytesIO(PEERS["jpeg"].encode(image, 75)))
    assert file.format == "JPEG"
    # sampling factors of Y, Cb, Cr: horizontal, vertical
    assert [layer[1:3] for layer in file.layer] == [(2, 2), (1, 1), (1, 1)]  # pyright: ignore


def test_an_absent_peer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.features.check", lambda feature: False)
    assert why_absent(PEERS["jpeg"]) is None
    assert (why_absent(PEERS["avif"]) or "").startswith("avif is left out: Pillow ")

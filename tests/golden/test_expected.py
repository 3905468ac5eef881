"""The shipped weights give the bytes and the PSNR that they were measured to give.

Five crops of photographs that come with scikit-image, at five qualities. What was measured is in
expected.json; written anew it is by one line, to be looked at before it is committed:

    HVAE_CODEC_REGENERATE=1 python -m pytest tests/golden/test_expected.py
"""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from hvae_codec.codec.encoder import encode_pixels
from hvae_codec.codec.images import to_pixels
from hvae_codec.codec.networks.weight_paths import WEIGHTS_VARIABLE
from hvae_codec.codec.networks.weights import Codec
from hvae_codec.codec.options import EncodeOptions
from hvae_codec.codec.rate_control.targets import psnr_of

EXPECTED = Path(__file__).with_name("expected.json")
REGENERATE = os.environ.get("HVAE_CODEC_REGENERATE") == "1"

CROPS = {  # name in scikit-image: its first row and column
    "astronaut": (60, 140),
    "chelsea": (60, 100),
    "coffee": (100, 200),
    "rocket": (200, 260),
    "immunohistochemistry": (0, 0),
}
SIDE_PX = 128
QUALITIES = (10, 30, 50, 70, 90)
TOLERANCES = {"bytes": {"rel": 0.003, "abs": 8}, "psnr_db": {"abs": 0.05}}
"""The analysis is float: on another machine a symbol may be rounded the other way."""

Measured = dict[str, dict[str, dict[str, float]]]


def measured(codec: Codec, name: str) -> dict[str, dict[str, float]]:
    """Bytes and PSNR of a crop at every quality."""
    row, column = CROPS[name]
    image = getattr(pytest.importorskip("skimage.data"), name)()
    pixels = to_pixels(np.ascontiguousarray(image[row : row + SIDE_PX, column : column + SIDE_PX]))
    assert pixels.size == (SIDE_PX, SIDE_PX)
    found = {}
    for quality in QUALITIES:
        data = encode_pixels(codec, pixels, quality, EncodeOptions(content="photo"))
        found[str(quality)] = {
            "bytes": len(data),
            "psnr_db": round(psnr_of(codec, pixels, data), 3),
        }
    return found


@pytest.fixture(scope="module")
def expected(shipped: Path, shipped_codec: Codec) -> Measured:
    weights = hashlib.sha256(shipped.read_bytes()).hexdigest()
    if REGENERATE:
        crops = {name: measured(shipped_codec, name) for name in CROPS}
        EXPECTED.write_text(json.dumps({"weights": weights, "crops": crops}, indent=2) + "\n")
    stored = json.loads(EXPECTED.read_text())
    if stored["weights"] != weights:
        if WEIGHTS_VARIABLE in os.environ:
            pytest.skip("somebody tries other weights")
        pytest.fail("the shipped weights changed: measure the expected results anew")
    return stored["crops"]


@pytest.mark.parametrize("name", CROPS)
def test_bytes_and_psnr_are_what_they_were(
    shipped_codec: Codec, expected: Measured, name: str
) -> None:
    assert {crop: [*rows] for crop, rows in expected.items()} == {
        crop: [*map(str, QUALITIES)] for crop in CROPS
    }
    for quality, found in measured(shipped_codec, name).items():
        for what, value in found.items():
            known = expected[name][quality][what]
            assert value == pytest.approx(known, **TOLERANCES[what]), quality

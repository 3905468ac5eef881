"""Files of the weights for the eye, which must decode for ever as those of `test_golden` must."""

import hashlib
import json
import os

import numpy as np
import pytest

from hvae_codec.bitstream import level_checks
from hvae_codec.codec.encode import encode_with
from hvae_codec.codec.images import Pixels, to_image
from hvae_codec.codec.networks.weight_paths import WEIGHTS_VARIABLE
from hvae_codec.codec.networks.weights import Codec, load_codec
from hvae_codec.codec.options import EncodeOptions
from hvae_codec.codec.tiles import tile_decoder
from tests.golden.decode_once import decode
from tests.golden.test_golden import HERE, REGENERATE, differ_by, reference

FOLDER = HERE / "eye"
INDEX = FOLDER / "golden.json"
QUALITIES = {"q20": 20, "q50": 50, "q85": 85}
"""One of each latent model; with maps."""


@pytest.fixture(scope="module")
def codec(photograph: np.ndarray) -> Codec:
    if WEIGHTS_VARIABLE in os.environ:
        pytest.skip("somebody tries other weights")
    codec = load_codec(tune="eye")
    if REGENERATE and not INDEX.exists():
        regenerate(codec, photograph)
    return codec


def recorded(codec: Codec, data: bytes) -> tuple[str, np.ndarray]:
    with pytest.MonkeyPatch.context() as patch:
        # a recorder takes its place
        patch.setattr(tile_decoder, "level_checks", level_checks)
        return decode(codec, data)


def regenerate(codec: Codec, photograph: np.ndarray) -> None:
    files = {}
    FOLDER.mkdir(exist_ok=True)
    for name, quality in QUALITIES.items():
        crop = np.ascontiguousarray(photograph[60:188, 140:332])
        data = encode_with(crop, EncodeOptions(quality, tune="eye", content="photo"))
        symbols, pixels = recorded(codec, data)
        (FOLDER / f"{name}.hvae").write_bytes(data)
        to_image(Pixels(pixels), {}).save(FOLDER / f"{name}.png", optimize=True)
        files[name] = {"sha256": hashlib.sha256(data).hexdigest(), "symbols": symbols}
    index = {"weights": codec.file.digest.hex(), "files": files}
    INDEX.write_text(json.dumps(index, indent=2) + "\n")


@pytest.mark.parametrize("name", QUALITIES)
def test_files_for_the_eye_are_what_was_released(codec: Codec, name: str) -> None:
    index = json.loads(INDEX.read_text())
    assert codec.file.digest.hex() == index["weights"], "keep the old weights, or regenerate"
    data = (FOLDER / f"{name}.hvae").read_bytes()
    assert hashlib.sha256(data).hexdigest() == index["files"][name]["sha256"]
    symbols, pixels = recorded(codec, data)
    assert symbols == index["files"][name]["symbols"]
    assert differ_by(pixels, reference(FOLDER / f"{name}.png")) <= 1

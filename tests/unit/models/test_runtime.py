"""The networks in PyTorch against those in ONNX Runtime, on the weights that ship."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hvae_codec.bitstream import read_index, read_tile
from hvae_codec.codec.decoder import decode_file
from hvae_codec.codec.encoder import encode_pixels
from hvae_codec.codec.errors import WeightsError
from hvae_codec.codec.images import to_pixels
from hvae_codec.codec.networks.weights import Codec, load_codec
from hvae_codec.codec.options import EncodeOptions
from hvae_codec.codec.symbols.tables import Tables
from hvae_codec.codec.tiles.tile_decoder import DecodedTile, TileSource, Wanted, pop_tiles
from hvae_codec.codec.tiles.tiling import tiles_in
from hvae_codec.models.runtime import TorchRuntime, make_runtime
from hvae_codec.models.weight_models import models_of


@pytest.fixture(scope="module")
def codecs(shipped: Path) -> dict[str, Codec]:
    in_onnx = load_codec(shipped)
    file = in_onnx.file
    runtime = TorchRuntime(models_of(file), torch.device("cpu"))
    return {"onnx": in_onnx, "torch": Codec(file, Tables(file.pmfs), runtime)}


def popped(codec: Codec, data: bytes) -> list[DecodedTile]:
    index = read_index(data)
    header = index.header
    sources = [
        TileSource(n, window, read_tile(data, index, n, index.levels))
        for n, window in tiles_in(header.height, header.width, header.tile_side)
    ]
    wanted = Wanted(levels=index.levels)
    return [tile for each in sources for tile in pop_tiles(codec, index, [each], wanted)]


@pytest.mark.slow
@pytest.mark.parametrize("writer", ["onnx", "torch"])
@pytest.mark.parametrize(
    ("quality", "is_grey"), [(15, False), (50, False), (50, True), (90, False)]
)
def test_what_one_side_writes_the_other_reads(
    codecs: dict[str, Codec], photograph: np.ndarray, writer: str, quality: int, is_grey: bool
) -> None:
    samples = photograph[60:156, 200:264]
    pixels = to_pixels(samples[..., 1] if is_grey else samples)
    data = encode_pixels(codecs[writer], pixels, quality, EncodeOptions(tile_px=64))
    tiles = {side: popped(codec, data) for side, codec in codecs.items()}
    assert len(tiles["onnx"]) == 2
    for one, other in zip(tiles["onnx"], tiles["torch"], strict=True):
        assert np.array_equal(one.context, other.context)
        assert one.latents is not None and other.latents is not None
        np.testing.assert_allclose(one.latents, other.latents, atol=1e-3)
    pictures = [decode_file(codec, data, read_index(data)) for codec in codecs.values()]
    assert all(not picture.lost_tiles for picture in pictures)
    one, other = (picture.samples.astype(int) for picture in pictures)
    assert one.shape == (*samples.shape[:2], 1 if is_grey else 3)
    assert np.abs(one - other).max() <= 1
    near = samples[..., 1:2] if is_grey else samples
    assert np.abs(one - near).mean() < 12


def test_results_do_not_depend_on_what_the_caller_has_switched_on(tiny_codec: Codec) -> None:
    runtime, rng = tiny_codec.runtime, np.random.default_rng(0)
    rgb = rng.uniform(0, 255, (2, 3, 64, 32)).astype(np.float32)

    def results() -> list[np.ndarray]:
        unrounded = runtime.unrounded_context(rgb, 50)
        u = np.floor(unrounded + 0.5)
        network = runtime.latent_pass(u, 50, [runtime.analyse(rgb, u, 50)])
        step = network.schedule[0]
        network.advance(step)
        prediction = network.predict(step, 0)
        residual = network.residual(step, 0)
        latents = np.ones((2, 140, 8, 4), np.float32)
        return [unrounded, *prediction, residual, runtime.synthesise(u, latents, 50)]

    plain = results()
    with torch.enable_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        switched = results()
    for one, other in zip(plain, switched, strict=True):
        assert np.array_equal(one, other)


def test_cropped_features_are_those_of_the_part(tiny_codec: Codec) -> None:
    rng = np.random.default_rng(0)
    rgb = rng.uniform(0, 255, (1, 3, 96, 96)).astype(np.float32)
    u = np.floor(tiny_codec.runtime.unrounded_context(rgb, 50) + 0.5)
    whole = tiny_codec.runtime.analyse(rgb, u, 50)
    part = whole.crop(slice(4, 8), slice(0, 12))
    assert torch.equal(part.features, whole.features[:, :, 4:8])  # type: ignore
    assert torch.equal(part.coefficients, whole.coefficients[:, :, 4:8])  # type: ignore


@pytest.mark.filterwarnings("error")
def test_arrays_may_be_read_only_and_in_any_order(tiny_codec: Codec) -> None:
    rgb = np.random.default_rng(0).uniform(0, 255, (1, 3, 32, 64)).astype(np.float32)
    expected = tiny_codec.runtime.unrounded_context(rgb, 50)
    turned = np.ascontiguousarray(rgb.transpose(0, 3, 2, 1)).transpose(0, 3, 2, 1)
    rgb.setflags(write=False)
    for array in (rgb, turned):
        assert np.array_equal(tiny_codec.runtime.unrounded_context(array, 50), expected)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused(tiny_codec: Codec) -> None:
    with pytest.raises(WeightsError, match="device cuda is not there"):
        make_runtime(tiny_codec.file, "cuda")

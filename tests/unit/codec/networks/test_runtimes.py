"""ONNX Runtime and PyTorch compute the same integers from one weight file."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hvae_codec.bitstream import read_index, read_tile
from hvae_codec.codec.decoder import decode_file
from hvae_codec.codec.encoder import encode_pixels
from hvae_codec.codec.images import to_pixels
from hvae_codec.codec.networks.onnx_constants import ContextConstants
from hvae_codec.codec.networks.runtime import make_runtime
from hvae_codec.codec.networks.threads import THREADS_VARIABLE
from hvae_codec.codec.networks.weights import Codec
from hvae_codec.codec.options import EncodeOptions
from hvae_codec.codec.quality.curve import QUALITIES
from hvae_codec.codec.quality.qualities import PatchQualities
from hvae_codec.codec.symbols.coders import ContextEncoder, push_pairs
from hvae_codec.codec.symbols.schedule import CodingStep, context_schedule
from hvae_codec.codec.symbols.stack import CountingStack
from hvae_codec.codec.symbols.walk import Network, Prediction, walk
from hvae_codec.codec.tiles.conditions import CodingConditions
from hvae_codec.codec.tiles.tile_decoder import TileSource, Wanted, pop_tiles
from hvae_codec.codec.tiles.tile_encoder import encode_tiles
from hvae_codec.codec.tiles.tiling import patch_grid
from hvae_codec.models.integer import convert
from tests.conftest import torch_codec

Files = Any


class Given:
    """Codes given values, and notes what was predicted."""

    def __init__(self, seed: int, *, whole: bool):
        self.rng, self.whole = np.random.default_rng(seed), whole
        self.seen: list[Prediction] = []

    def code(
        self, step: CodingStep, number: int, prediction: Prediction, residual: object
    ) -> np.ndarray:
        self.seen.append(Prediction(np.array(prediction.mean), np.array(prediction.quarters)))
        drawn = np.rint(self.rng.normal(size=prediction.mean.shape) * 2).astype(np.float32)
        return drawn - (prediction.mean - np.rint(prediction.mean)) if self.whole else drawn


def same_predictions(networks: list[Network], *, whole: bool) -> None:
    coders = [Given(5, whole=whole) for _ in networks]
    for network, coder in zip(networks, coders, strict=True):
        walk(network, coder)
    for one, other in zip(*(coder.seen for coder in coders), strict=True):
        assert np.array_equal(one.mean, other.mean)
        assert np.array_equal(one.quarters, other.quarters)
        assert other.quarters.max(initial=0) <= 252


@pytest.fixture(scope="module")
def in_torch(shipped_codec: Codec) -> Codec:
    return torch_codec(shipped_codec.file)


# tiles of one row or column, where some steps code nothing
@pytest.mark.parametrize("size", [(1, 1), (1, 3), (4, 5)])
@pytest.mark.parametrize("quality", [0, 61, 100])
def test_both_predict_the_same(
    shipped_codec: Codec, in_torch: Codec, size: tuple[int, int], quality: int
) -> None:
    runtimes = shipped_codec.runtime, in_torch.runtime
    same_predictions([r.context_pass((1, *size), quality) for r in runtimes], whole=True)
    shape = 1, shipped_codec.config.context_channels, *size
    u = np.rint(np.random.default_rng(0).normal(size=shape) * 5).astype(np.float32)
    networks = [runtime.latent_pass(u, quality) for runtime in runtimes]
    same_predictions(list(networks), whole=False)
    shown = [network.latents for network in networks]
    assert np.abs(shown[0] - shown[1]).max() < 1e-4
    images = [r.synthesise(u, x, quality) for r, x in zip(runtimes, shown, strict=True)]
    assert images[0].min() >= 0 and images[0].max() <= 255
    assert np.abs(images[0] - images[1]).max() < 0.1


@pytest.mark.parametrize("base", [10, 50, 80])
def test_both_predict_the_same_with_a_map(shipped_codec: Codec, in_torch: Codec, base: int) -> None:
    rng, size = np.random.default_rng(base), (5, 6)
    quality = PatchQualities(base, base + rng.integers(-10, 11, (1, *size)))
    runtimes = shipped_codec.runtime, in_torch.runtime
    same_predictions([r.context_pass((1, *size), quality) for r in runtimes], whole=True)
    u = np.rint(rng.normal(size=(1, shipped_codec.config.context_channels, *size)) * 5)
    networks = [runtime.latent_pass(u.astype(np.float32), quality) for runtime in runtimes]
    same_predictions(list(networks), whole=False)
    shown = [network.latents for network in networks]
    images = [
        r.synthesise(u.astype(np.float32), x, quality) for r, x in zip(runtimes, shown, strict=True)
    ]
    assert np.abs(images[0] - images[1]).max() < 0.1


def test_a_flat_map_is_a_quality(shipped_codec: Codec, in_torch: Codec) -> None:
    flat = PatchQualities(47, np.full((1, 3, 4), 47))
    for runtime in (shipped_codec.runtime, in_torch.runtime):
        passes = [runtime.context_pass((1, 3, 4), quality) for quality in (47, flat)]
        same_predictions(list(passes), whole=True)


@pytest.mark.parametrize("quality", [20, 80])
def test_each_decodes_what_the_other_encoded(
    shipped_files: Files, in_torch: Codec, photograph: np.ndarray, quality: int
) -> None:
    other = replace(shipped_files, codec=in_torch)
    pixels = photograph[100:170, 180:250]
    files = [each.encode(pixels, quality) for each in (shipped_files, other)]
    assert abs(len(files[0]) - len(files[1])) < 0.005 * len(files[0])  # the analysis is float
    for data in files:
        pictures = [each.samples(data).astype(int) for each in (shipped_files, other)]
        assert np.abs(pictures[0] - pictures[1]).max() <= 1


@pytest.mark.parametrize("quality", [0, 7, 50, QUALITIES - 1])
def test_layers_are_prepared_as_in_pytorch(
    shipped_codec: Codec, in_torch: Codec, quality: int
) -> None:
    context = in_torch.runtime.weights.context  # type: ignore[attr-defined]
    constants = ContextConstants(shipped_codec.file, quality, {})
    step = context_schedule(shipped_codec.config)[4]
    network = context.prior.steps[step.number]
    norm = convert.prepared(context.norm, quality).state_dict()
    gain = convert.prepared(network.head_gain, quality).state_dict()
    expected = {
        f"current.{part}.{name}": value
        for part in ("head", "block")
        for name, value in convert.prepared(getattr(network, part), quality).state_dict().items()
    }
    before = context_schedule(shipped_codec.config)[3]
    expected["norm.inward_row"] = norm["inward_row"][:, before.start : before.stop]
    inputs = constants.steps[step.number]
    for name, value in expected.items():
        assert np.array_equal(inputs[name].numpy().ravel(), value.numpy().ravel()), name  # type: ignore
    for number, (start, stop) in enumerate(step.slices):
        found = {name: value.numpy() for name, value in constants.slices[4][number].items()}  # type: ignore
        outputs = found["outputs"]
        for name in ("factor", "offset"):
            row = gain[name][:, outputs].numpy()
            assert np.array_equal(found[f"current.head_gain.{name}"].ravel(), row.ravel())
        row = norm["outward_row"][:, start:stop].numpy()
        assert np.array_equal(found["norm.outward_row"].ravel(), row.ravel())


def test_deciding_the_context_saves_bits(shipped_codec: Codec, photograph: np.ndarray) -> None:
    conditions = CodingConditions(shipped_codec.config, 30, is_grey=False)
    rgb = np.ascontiguousarray(photograph[:128, :128].transpose(2, 0, 1), np.float32)[None]
    runtime = shipped_codec.runtime
    unrounded = runtime.unrounded_context(rgb, 30)
    nearest, bits, contexts = np.floor(unrounded + 0.5), [], []
    for wanted, decides in ((nearest, False), (unrounded, True)):
        coder = ContextEncoder(shipped_codec.tables, conditions.context_mask, decides=decides)
        contexts.append(walk(runtime.context_pass((1, 4, 4), 30, wanted), coder).context)
        stack = CountingStack(shipped_codec.tables.pmfs)
        push_pairs(stack, coder.pairs())
        bits.append(stack.bits)
    assert np.array_equal(contexts[0], nearest)
    assert np.array_equal(contexts[1], np.rint(contexts[1]))
    assert np.abs(contexts[1] - unrounded).max() < 1
    assert 0 < (contexts[1] != nearest).sum() < nearest.size / 10
    assert bits[1] < bits[0]


def test_mixed_precision_of_the_caller_changes_nothing(
    shipped_codec: Codec, in_torch: Codec, photograph: np.ndarray, shipped_files: Files
) -> None:
    data = shipped_files.encode(photograph[100:140, 180:220])
    samples = decode_file(in_torch, data, read_index(data)).samples
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = decode_file(in_torch, data, read_index(data)).samples
    assert np.array_equal(inside, samples)


THREADS = """
import os
from hvae_codec.codec.networks.weights import load_codec

load_codec()
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_number_of_threads_can_be_set(shipped: Path) -> None:
    counts = []
    for threads in ("1", "3"):
        environment = {**os.environ, THREADS_VARIABLE: threads, "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", THREADS], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        counts.append(int(done.stdout))
    assert counts[1] - counts[0] == 2


def test_the_cpu_is_onnx_runtimes(shipped_codec: Codec) -> None:
    assert type(make_runtime(shipped_codec.file, "cpu")).__name__ == "OnnxRuntime"


@pytest.mark.parametrize("kind", ["colour", "grey"])
def test_the_encoder_knows_what_a_decoder_has(
    shipped_codec: Codec, in_torch: Codec, photograph: np.ndarray, kind: str
) -> None:
    """By that it chooses how a tile is coded."""
    samples = photograph[100:164, 180:276]
    pixels = to_pixels(samples if kind == "colour" else samples[..., 1])
    window = patch_grid(64, 96)
    for codec in (shipped_codec, in_torch):
        data = encode_pixels(codec, pixels, 70, EncodeOptions(content="photo"))
        source, index = (
            TileSource(0, window, read_tile(data, read_index(data), 0)),
            read_index(data),
        )
        (decoded,) = pop_tiles(codec, index, [source], Wanted(levels=index.levels))
        conditions = CodingConditions(codec.config, 70, is_grey=kind == "grey")
        (symbols,) = encode_tiles(codec, pixels, [window], conditions)
        assert decoded.latents is not None and decoded.latents.any()
        np.testing.assert_allclose(symbols.decoded, decoded.latents[0], rtol=1e-5, atol=1e-5)

"""Files that must decode for ever, and in every configuration of every machine.

The golden files are streams, reference pixels, and golden.json with the sha256 of both the file and
its symbols. They were written once, by 1.0.0. A set that is not released yet is written with the
weights in use, where there is no golden.json, by one line:

    HVAE_CODEC_REGENERATE=1 python -m pytest tests/golden -k released
"""

import functools
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hvae_codec.bitstream import level_checks, read_index
from hvae_codec.codec.config import PATCH_PX
from hvae_codec.codec.decoder import decode_file
from hvae_codec.codec.encoder import encode_pixels
from hvae_codec.codec.images import Pixels, to_image, to_pixels
from hvae_codec.codec.networks.weight_paths import WEIGHTS_VARIABLE
from hvae_codec.codec.networks.weights import Codec, load_codec
from hvae_codec.codec.options import EncodeOptions
from hvae_codec.codec.tiles import tile_decoder
from tests.golden.decode_once import decode as decode_and_record

HERE = Path(__file__).parent
INDEX = HERE / "golden.json"
REGENERATE = os.environ.get("HVAE_CODEC_REGENERATE") == "1"

# name: quality, tile in patches, rows and columns of the photograph, its kind. Convolutions of less
# than 20480 inputs pass oneDNN by: the trunk's, of 80 channels, must be larger.
STREAMS = {
    "q10": (10, 32, slice(60, 188), slice(140, 332), "rgb"),
    "q50": (50, 32, slice(60, 188), slice(140, 332), "rgb"),
    "q90": (90, 32, slice(60, 188), slice(140, 332), "rgb"),
    "two_tiles": (40, 2, slice(60, 124), slice(140, 268), "rgb"),
    "grey": (50, 32, slice(60, 188), slice(140, 332), "grey"),
    "alpha": (50, 2, slice(60, 124), slice(140, 268), "alpha"),
    "map": (50, 4, slice(60, 188), slice(140, 332), "map"),
    "deep_grey": (70, 32, slice(60, 124), slice(140, 204), "deep grey"),
}

FRESH = STREAMS | {"large": (60, 32, slice(20, 276), slice(60, 380), "rgb")}

OLD_CPU = {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default"}

# name: environment, arguments of decode_once
CONFIGURATIONS: dict[str, tuple[dict[str, str], list[str]]] = {
    "one thread": ({"HVAE_CODEC_THREADS": "1"}, []),
    "two threads": ({"HVAE_CODEC_THREADS": "2"}, []),
    "narrow integers": ({}, ["--narrow"]),
    "plain graphs": ({"HVAE_CODEC_THREADS": "2"}, ["--plain"]),
    "PyTorch": ({}, ["--torch"]),
    "PyTorch, two threads": (
        {"OMP_NUM_THREADS": "2", "OMP_DYNAMIC": "false"},
        ["--torch", "--threads", "2"],
    ),
    "PyTorch, oneDNN SSE41": ({"ONEDNN_MAX_CPU_ISA": "SSE41"}, ["--torch"]),
    "PyTorch, oneDNN AVX2": ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, ["--torch"]),
    "PyTorch, oneDNN AVX512_CORE": ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, ["--torch"]),
    "PyTorch, ATen default": ({"ATEN_CPU_CAPABILITY": "default"}, ["--torch"]),
    "PyTorch, ATen avx2": ({"ATEN_CPU_CAPABILITY": "avx2"}, ["--torch"]),
    "PyTorch, ATen avx512": ({"ATEN_CPU_CAPABILITY": "avx512"}, ["--torch"]),
    "PyTorch, old processor": (OLD_CPU, ["--torch"]),
    "PyTorch, no oneDNN": ({}, ["--torch", "--without-onednn"]),
    "PyTorch, float64": ({}, ["--torch", "--carrier", "float64"]),
    "PyTorch, several tiles a batch": ({}, ["--torch", "--together", "3"]),
}
USUAL = "one thread"

Result = tuple[dict[str, str], dict[str, np.ndarray]]
"""Of each stream, the sha256 of its symbols, and its pixels."""


@dataclass(frozen=True)
class Streams:
    """Files on disk, and what they must decode to."""

    weights: Path
    files: list[Path]
    symbols: dict[str, str]
    pixels: dict[str, np.ndarray]


def encode(codec: Codec, photograph: np.ndarray, name: str) -> bytes:
    quality, tile, rows, columns, kind = FRESH[name]
    samples = photograph[rows, columns]
    if kind == "alpha":
        samples = np.concatenate([samples, samples[..., :1]], axis=2)
    elif kind not in ("rgb", "map"):
        samples = samples[..., 1]
    if kind == "deep grey":
        samples = samples.astype(np.uint16) * 257 + 100
    offsets = None
    if kind == "map":
        offsets = np.random.default_rng(0).integers(-10, 11, (4, 6)).astype(np.float32)
    return encode_pixels(
        codec, to_pixels(samples), quality, EncodeOptions(tile_px=tile * PATCH_PX), offsets=offsets
    )


def decode(codec: Codec, data: bytes) -> np.ndarray:
    return decode_file(codec, data, read_index(data)).samples


def decode_once(weights: Path, files: list[Path], out: Path, name: str) -> Result:
    done = start_once(weights, files, out, *CONFIGURATIONS[name])
    assert done.returncode == 0, done.stderr.strip().splitlines()[-1:]
    with np.load(out) as pixels:
        return json.loads(done.stdout), dict(pixels)


def start_once(
    weights: Path, files: list[Path], out: Path, environment: dict[str, str], arguments: list[str]
) -> subprocess.CompletedProcess[str]:
    script = HERE / "decode_once.py"
    command = [sys.executable, script, *arguments, "--pixels", out, "--set", weights, *files]
    return subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="session")
def fresh(
    shipped: Path, photograph: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> Streams:
    """Streams of the weights in use, written and decoded here and now."""
    folder, codec = tmp_path_factory.mktemp("fresh"), load_codec(shipped)
    files, pixels = [], {}
    for name in FRESH:
        files.append(folder / f"fresh_{name}.hvae")
        files[-1].write_bytes(encode(codec, photograph, name))
        pixels[files[-1].stem] = decode(codec, files[-1].read_bytes())
    symbols, _ = decode_once(shipped, files, folder / "out.npz", USUAL)
    return Streams(shipped, files, symbols, pixels)


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Streams | None:
    """The golden files, or None where there are no weights for them yet."""
    try:
        weights: Path = request.getfixturevalue("shipped")
    except pytest.skip.Exception:
        return None
    if REGENERATE and not INDEX.exists():
        folder = request.getfixturevalue("tmp_path_factory").mktemp("golden")
        regenerate(weights, request.getfixturevalue("photograph"), folder)
    index = json.loads(INDEX.read_text())
    if hashlib.sha256(weights.read_bytes()).hexdigest() != index["weights"]:
        if WEIGHTS_VARIABLE in os.environ:
            return None  # somebody tries other weights
        pytest.fail("the shipped weights changed: regenerate the golden files, or keep both")
    files = [HERE / f"{name}.hvae" for name in index["files"]]
    symbols = {name: entry["symbols"] for name, entry in index["files"].items()}
    pixels = {file.stem: reference(file.with_suffix(".png")) for file in files}
    return Streams(weights, files, symbols, pixels)


def reference(path: Path) -> np.ndarray:
    samples = np.asarray(Image.open(path))
    return samples[..., None] if samples.ndim == 2 else samples


def regenerate(weights: Path, photograph: np.ndarray, folder: Path) -> None:
    codec = load_codec(weights)
    files = []
    for name in STREAMS:
        data = encode(codec, photograph, name)
        files.append(HERE / f"{name}.hvae")
        files[-1].write_bytes(data)
        to_image(Pixels(decode(codec, data)), {}).save(HERE / f"{name}.png", optimize=True)
    symbols, _ = decode_once(weights, files, folder / "out.npz", USUAL)
    entries = {
        file.stem: {
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "symbols": symbols[file.stem],
        }
        for file in files
    }
    index = {"weights": codec.file.digest.hex(), "files": entries}
    INDEX.write_text(json.dumps(index, indent=2) + "\n")


@pytest.fixture(scope="session")
def results(
    fresh: Streams, golden: Streams | None, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Result]:
    """Symbols and pixels of all streams in a configuration, in a process of its own."""
    folder = tmp_path_factory.mktemp("results")
    files = [file for streams in (fresh, golden) if streams for file in streams.files]

    @functools.cache
    def run(name: str) -> Result:
        if not possible(name):
            pytest.skip("this processor has no such instructions")
        return decode_once(fresh.weights, files, folder / "out.npz", name)

    return run


def possible(name: str) -> bool:
    """Tell whether this processor has the instructions; ATen would not ask."""
    wanted = CONFIGURATIONS[name][0].get("ATEN_CPU_CAPABILITY", "default").upper()
    order = ["DEFAULT", "AVX2", "AVX512"]
    has = torch.backends.cpu.get_cpu_capability()
    return wanted == "DEFAULT" or (has in order and order.index(wanted) <= order.index(has))


def differ_by(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference in 255ths of the range."""
    assert (one.shape, one.dtype) == (other.shape, other.dtype)
    return np.abs(one.astype(np.float64) - other).max() * 255 / np.iinfo(one.dtype).max


def check(streams: Streams, result: Result) -> None:
    symbols, pixels = result
    for name, expected in streams.symbols.items():
        assert symbols[name] == expected, name
        assert differ_by(pixels[name], streams.pixels[name]) <= 1, name  # the synthesis is float


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_fresh_files_decode_everywhere(
    fresh: Streams, results: Callable[[str], Result], name: str
) -> None:
    check(fresh, results(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_golden_files_decode_everywhere(
    golden: Streams | None, results: Callable[[str], Result], name: str
) -> None:
    if golden is None:
        pytest.skip("no golden files for the weights in use")
    check(golden, results(name))


@pytest.mark.slow
def test_fewer_bits_are_refused_where_they_would_show(fresh: Streams, tmp_path: Path) -> None:
    """Only some processors compute in bfloat16 when they are told that they may."""
    fewer, out = {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"}, tmp_path / "out.npz"
    done = start_once(fresh.weights, fresh.files, out, fewer, ["--torch"])
    if done.returncode == 0:
        assert json.loads(done.stdout) == fresh.symbols
    else:
        assert "BoundError: convolutions are not exact here" in done.stderr


def test_golden_files_are_what_was_released(
    golden: Streams | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if golden is None:
        pytest.skip("no golden files for the weights in use")
    entries = json.loads(INDEX.read_text())["files"]
    assert entries.keys() == STREAMS.keys()
    for file in golden.files:
        data = file.read_bytes()
        assert hashlib.sha256(data).hexdigest() == entries[file.stem]["sha256"]
        with monkeypatch.context() as patch:
            # a recorder takes its place
            patch.setattr(tile_decoder, "level_checks", level_checks)
            symbols, pixels = decode_and_record(load_codec(golden.weights), data)
        assert symbols == golden.symbols[file.stem]
        assert differ_by(pixels, golden.pixels[file.stem]) <= 1

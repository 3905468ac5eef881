"""Files that must decode for ever, and in every configuration of every machine.

HVAE_CODEC_REGENERATE=1 writes the golden files anew, with the weights in use: streams, reference
pixels, and golden.json with the sha256 of both the file and its symbols.
"""

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hvae_codec.bitstream import read_index
from hvae_codec.codec.decoder import decode_file
from hvae_codec.codec.encoder import encode_pixels
from hvae_codec.codec.images import Pixels, to_image, to_pixels
from hvae_codec.codec.view import view_of
from hvae_codec.codec.weights import WEIGHTS_VARIABLE, Codec, load_codec

HERE = Path(__file__).parent
INDEX = HERE / "golden.json"
REGENERATE = os.environ.get("HVAE_CODEC_REGENERATE") == "1"

# name: quality, tile in patches, rows and columns of the photograph, its kind. Convolutions of less
# than 20480 inputs pass oneDNN by: the trunk's must be larger, of 80 channels here, of 32 below.
STREAMS = {
    "q10": (10, 32, slice(60, 188), slice(140, 332), "rgb"),
    "q50": (50, 32, slice(60, 188), slice(140, 332), "rgb"),
    "q90": (90, 32, slice(60, 188), slice(140, 332), "rgb"),
    "two_tiles": (40, 2, slice(60, 124), slice(140, 268), "rgb"),
    "grey": (50, 32, slice(60, 188), slice(140, 332), "grey"),
    "alpha": (50, 2, slice(60, 124), slice(140, 268), "alpha"),
    "deep_grey": (70, 32, slice(60, 124), slice(140, 204), "deep grey"),
}

FRESH = STREAMS | {"large": (60, 32, slice(20, 276), slice(60, 380), "rgb")}

# name: environment, arguments of decode_once
CONFIGURATIONS: dict[str, tuple[dict[str, str], list[str]]] = {
    "one thread": ({}, ["--threads", "1"]),
    "two threads": ({}, ["--threads", "2"]),
    "ATen default": ({"ATEN_CPU_CAPABILITY": "default"}, []),
    "ATen avx2": ({"ATEN_CPU_CAPABILITY": "avx2"}, []),
    "ATen avx512": ({"ATEN_CPU_CAPABILITY": "avx512"}, []),
    "oneDNN SSE41": ({"ONEDNN_MAX_CPU_ISA": "SSE41"}, []),
    "oneDNN AVX2": ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, []),
    "oneDNN AVX512_CORE": ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, []),
    "no oneDNN": ({}, ["--without-onednn"]),
    "float64": ({}, ["--carrier", "float64"]),
    "tiles backwards": ({}, ["--reverse"]),
    "several tiles a batch": ({}, ["--together", "--threads", "2"]),
}


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
    elif kind != "rgb":
        samples = samples[..., 1]
    if kind == "deep grey":
        samples = samples.astype(np.uint16) * 257 + 100
    return encode_pixels(codec, to_pixels(samples), quality, tile=tile)


def decode(codec: Codec, data: bytes) -> np.ndarray:
    index = read_index(data)
    return decode_file(codec, data, index, view_of(index.header)).samples


def decode_once(streams: list[list[Path]], out: Path, name: str) -> dict[str, str]:
    done = start_once(streams, out, *CONFIGURATIONS[name])
    assert done.returncode == 0, done.stderr.strip().splitlines()[-1:]
    return json.loads(done.stdout)


def start_once(
    streams: list[list[Path]], out: Path, environment: dict[str, str], arguments: list[str]
) -> subprocess.CompletedProcess[str]:
    sets = [part for one in streams for part in ("--set", *one)]
    command = [sys.executable, HERE / "decode_once.py", *arguments, "--pixels", out, *sets]
    return subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="session")
def fresh(
    tiny_codec: Codec,
    tiny_weights: Path,
    photograph: np.ndarray,
    tmp_path_factory: pytest.TempPathFactory,
) -> Streams:
    """Streams of the tiny weights, written and decoded here and now."""
    folder = tmp_path_factory.mktemp("fresh")
    files, pixels = [], {}
    for name in FRESH:
        files.append(folder / f"tiny_{name}.hvae")
        files[-1].write_bytes(encode(tiny_codec, photograph, name))
        pixels[files[-1].stem] = decode(tiny_codec, files[-1].read_bytes())
    reference = decode_once([[tiny_weights, *files]], folder / "out.npz", "one thread")
    return Streams(tiny_weights, files, reference, pixels)


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Streams | None:
    """The golden files, or None where there are no weights for them yet."""
    try:
        weights: Path = request.getfixturevalue("shipped")
    except pytest.skip.Exception:
        return None
    if REGENERATE:
        regenerate(weights, request.getfixturevalue("photograph"))
    if not INDEX.exists():
        return None
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


def regenerate(weights: Path, photograph: np.ndarray) -> None:
    codec = load_codec(weights)
    files = []
    for name in STREAMS:
        data = encode(codec, photograph, name)
        files.append(HERE / f"{name}.hvae")
        files[-1].write_bytes(data)
        to_image(Pixels(decode(codec, data)), {}).save(HERE / f"{name}.png", optimize=True)
    symbols = decode_once([[weights, *files]], Path(os.devnull), "one thread")
    entries = {
        file.stem: {
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "symbols": symbols[file.stem],
        }
        for file in files
    }
    index = {"weights": codec.digest.hex(), "files": entries}
    INDEX.write_text(json.dumps(index, indent=2) + "\n")


@pytest.fixture(scope="session")
def results(
    fresh: Streams, golden: Streams | None, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[dict[str, str], dict[str, np.ndarray]] | AssertionError]:
    """Symbols and pixels of all streams in each configuration, one process each, two at a time."""
    folder = tmp_path_factory.mktemp("results")
    sets = [[s.weights, *s.files] for s in (fresh, golden) if s is not None]

    def run(name: str) -> tuple[dict[str, str], dict[str, np.ndarray]] | AssertionError:
        out = folder / f"{name}.npz"
        try:
            symbols = decode_once(sets, out, name)
        except AssertionError as error:
            return error
        with np.load(out) as pixels:
            return symbols, dict(pixels)

    names = [name for name in CONFIGURATIONS if possible(name)]
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(names, pool.map(run, names), strict=True))


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


def check(
    streams: Streams, result: tuple[dict[str, str], dict[str, np.ndarray]] | AssertionError
) -> None:
    if isinstance(result, AssertionError):
        raise result
    symbols, pixels = result
    for name, expected in streams.symbols.items():
        assert symbols[name] == expected, name
        assert differ_by(pixels[name], streams.pixels[name]) <= 1, name  # the synthesis is float


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_fresh_files_decode_everywhere(
    fresh: Streams,
    results: dict[str, tuple[dict[str, str], dict[str, np.ndarray]] | AssertionError],
    name: str,
) -> None:
    if name not in results:
        pytest.skip("this processor has no such instructions")
    check(fresh, results[name])


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_golden_files_decode_everywhere(
    golden: Streams | None,
    results: dict[str, tuple[dict[str, str], dict[str, np.ndarray]] | AssertionError],
    name: str,
) -> None:
    if golden is None:
        pytest.skip("no golden files for the weights in use")
    if name not in results:
        pytest.skip("this processor has no such instructions")
    check(golden, results[name])


def test_fewer_bits_are_refused_where_they_would_show(fresh: Streams, tmp_path: Path) -> None:
    """Only some processors compute in bfloat16 when they are told that they may."""
    streams = [[fresh.weights, *fresh.files]]
    done = start_once(streams, tmp_path / "out.npz", {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"}, [])
    if done.returncode == 0:
        assert json.loads(done.stdout) == fresh.symbols
    else:
        assert "BoundError: convolutions are not exact here" in done.stderr


def test_golden_files_are_what_was_released(golden: Streams | None) -> None:
    if golden is None:
        pytest.skip("no golden files for the weights in use")
    entries = json.loads(INDEX.read_text())["files"]
    assert entries.keys() == STREAMS.keys()
    for file in golden.files:
        data = file.read_bytes()
        assert hashlib.sha256(data).hexdigest() == entries[file.stem]["sha256"]
        pixels = decode(load_codec(golden.weights), data)
        assert differ_by(pixels, golden.pixels[file.stem]) <= 1

"""Decode files in one configuration of this process and print checksums, as JSON, a file a key.

    python decode_once.py --torch --threads 2 --set WEIGHTS FILE... --set WEIGHTS FILE...

Threads of ONNX Runtime and instruction sets of PyTorch are chosen by the environment, which is read
when they are loaded.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hvae_codec.bitstream import level_checks, read_index
from hvae_codec.codec.decoder import decode_file
from hvae_codec.codec.networks.onnx_runtime import OnnxRuntime
from hvae_codec.codec.networks.runtime import Runtime
from hvae_codec.codec.networks.weight_file import WeightFile
from hvae_codec.codec.networks.weights import Codec, load_codec
from hvae_codec.codec.tiles import tile_decoder

Levels = Sequence[Sequence[np.ndarray]]


class Recorder:
    """Stands where decoders compute the checks of a tile, and notes of which integers they are."""

    def __init__(self) -> None:
        self.symbols: dict[int, Levels] = {}

    def __call__(self, number: int, levels: Levels) -> tuple[int, ...]:
        """Return the checks of a tile's levels."""
        self.symbols[number] = [[np.array(part) for part in level] for level in levels]
        return level_checks(number, levels)

    def digest(self) -> str:
        """Return the sha256 of all symbols, tile by tile, coarse to fine."""
        digest = hashlib.sha256()
        for _, levels in sorted(self.symbols.items()):
            for level in levels:
                for part in level:
                    digest.update(part.astype("<i4").tobytes())
        return digest.hexdigest()


def decode(codec: Codec, data: bytes) -> tuple[str, np.ndarray]:
    """Decode a file as users do: the sha256 of its symbols, and its samples (H, W, C)."""
    tile_decoder.level_checks = recorder = Recorder()  # type: ignore[assignment]
    samples = decode_file(codec, data, read_index(data)).samples
    return recorder.digest(), samples


def torch_runtime(file: WeightFile, options: argparse.Namespace) -> Runtime:
    """Return the networks in PyTorch on the CPU."""
    import torch

    from hvae_codec.models.runtime import make_runtime

    torch.set_num_threads(options.threads)
    if options.without_onednn:
        torch.backends.mkldnn.set_flags(False)
    runtime: Any = make_runtime(file, "cpu")
    _carry_in(runtime, getattr(torch, options.carrier))
    runtime.tiles_at_once = options.together
    return runtime


def _carry_in(runtime: Any, dtype: Any) -> None:  # noqa: ANN401 - PyTorch may not be there
    """Carry integers in float32 (fast) or float64; the symbols are the same."""
    weights = runtime.weights
    for network in (weights.context.priors, *(model.trunk for model in weights.latents)):
        for buffer in network.buffers():
            if buffer.is_floating_point():
                buffer.data = buffer.data.to(dtype)


def make_integers_narrow() -> None:
    """Let NumPy count in 32 bits unless told otherwise, as it did on Windows before version 2."""
    arange = np.arange

    def narrow(*limits: int, **named: Any) -> np.ndarray:  # noqa: ANN401 - a type of NumPy's
        made = arange(*limits, **named)
        return made if named or made.dtype.kind != "i" else made.astype(np.int32)

    np.arange = narrow  # type: ignore[assignment]


def main() -> None:
    """Parse, decode, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--narrow", action="store_true", help="integers of 32 bits in NumPy")
    parser.add_argument("--plain", action="store_true", help="graphs as they were exported")
    parser.add_argument("--torch", action="store_true", help="PyTorch in place of ONNX Runtime")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    parser.add_argument("--carrier", default="float32", choices=["float32", "float64"])
    parser.add_argument("--without-onednn", action="store_true")
    parser.add_argument("--together", type=int, default=1, help="tiles in a batch of PyTorch")
    parser.add_argument("--pixels", type=Path, help="where the pixels go, as .npz")
    parser.add_argument("--set", type=Path, nargs="+", action="append", dest="sets")
    options = parser.parse_args()
    report, pixels = {}, {}
    if options.narrow:
        make_integers_narrow()
    for weights, *files in options.sets:
        codec = load_codec(weights)
        if options.torch:
            codec = replace(codec, runtime=torch_runtime(codec.file, options))
        elif options.plain:
            codec = replace(codec, runtime=OnnxRuntime(codec.file, is_plain=True))
        for file in files:
            report[file.stem], pixels[file.stem] = decode(codec, file.read_bytes())
    if options.pixels:
        np.savez(options.pixels, **pixels)
    print(json.dumps(report))


if __name__ == "__main__":
    main()

"""Measures the promise of exact decoding, and what it costs.

    python -m hvae_codec.benchmarks.exactness matrix FOLDER --out OUT
    python -m hvae_codec.benchmarks.exactness cost FOLDER --checkpoints runs/*/checkpoint.pt

`matrix` encodes every image at five qualities in this process, and decodes all files in one process
for each configuration of threads, instruction sets and carriers. `cost` compares the float trunks
of checkpoints with the integers that they are frozen into: rate and PSNR under the same Gaussians,
and the time of trunk and synthesis.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..bitstream import TileDamaged, read_index
from ..codec import api
from ..codec.check import other_configuration
from ..codec.decoder import decode_file
from ..codec.export import load_checkpoints
from ..codec.view import view_of
from ..codec.weights import load_codec
from ..models.dct import to_ycbcr
from ..models.dct_vae import DctVae
from ..models.training.data import validation_images
from ..models.training.losses import validate
from ..models.weights import range_of
from .bjontegaard_delta import Curve, bd_rate
from .run import find_images

_MODULE = "hvae_codec.benchmarks.exactness"
QUALITIES = (10, 30, 50, 70, 90)

CONFIGURATIONS: dict[str, tuple[dict[str, str], list[str]]] = {
    "one thread": ({"OMP_NUM_THREADS": "1"}, []),
    "two threads": ({"OMP_NUM_THREADS": "2"}, []),
    "ATen without vectors": ({"ATEN_CPU_CAPABILITY": "default"}, []),
    "ATen AVX2": ({"ATEN_CPU_CAPABILITY": "avx2"}, []),
    "ATen AVX-512": ({"ATEN_CPU_CAPABILITY": "avx512"}, []),
    "oneDNN SSE4.1": ({"ONEDNN_MAX_CPU_ISA": "SSE41"}, []),
    "oneDNN AVX2": ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, []),
    "oneDNN AVX-512": ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, []),
    "without oneDNN": ({}, ["--no-onednn"]),
    "float64, one thread, without oneDNN": ({}, ["--float64"]),
}
"""Name of each configuration -> its environment and its options."""


def matrix(folder: Path, out: Path) -> None:
    """Encode FOLDER here, decode it under every configuration, count what differs."""
    out.mkdir(parents=True, exist_ok=True)
    for path in find_images(folder):
        for quality in QUALITIES:
            image = np.asarray(Image.open(path).convert("RGB"))
            (out / f"{path.stem}-{quality:03}.hvae").write_bytes(api.encode(image, quality))
    expected = None
    for name, (environment, options) in CONFIGURATIONS.items():
        command = [sys.executable, "-m", _MODULE, "decode", str(out), *options]
        environment = {**os.environ, **environment}
        report = json.loads(subprocess.check_output(command, env=environment))
        pixels = np.load(out / "pixels.npy")
        expected = pixels if expected is None else expected
        difference = int(np.abs(pixels.astype(np.int16) - expected).max())
        print(
            f"{name:<36} {report['files']} files, {report['damaged']} with differing symbols, "
            f"pixels within {difference} of 255, {report['seconds']:.1f} s"
        )


def decode(folder: Path, *, float64: bool, no_onednn: bool) -> None:
    """Decode every file of FOLDER; a file whose symbols do not match their checksums is damaged."""
    torch.backends.mkldnn.set_flags(not no_onednn)
    codec, pixels, damaged = load_codec(), [], 0
    files = sorted(folder.glob("*.hvae"))
    start = time.perf_counter()
    for path in files:
        data = path.read_bytes()
        index = read_index(data)
        view = view_of(index.header)
        try:
            if float64:
                with other_configuration(codec) as other:
                    decoded = decode_file(other, data, index, view)
            else:
                decoded = decode_file(codec, data, index, view)
            pixels.append(decoded.samples.ravel())
        except TileDamaged:
            damaged += 1
            pixels.append(np.zeros(index.header.width * index.header.height * 3, np.uint8))
    seconds = time.perf_counter() - start
    np.save(folder / "pixels.npy", np.concatenate(pixels))
    print(json.dumps({"files": len(files), "damaged": damaged, "seconds": seconds}))


def cost(folder: Path, checkpoints: list[Path], images: int) -> None:
    """Compare float entropy models with their integers on the images of FOLDER."""
    trained, begins = load_checkpoints(checkpoints)
    pictures = validation_images(folder, images)
    frozen = [model.frozen() for model in trained]
    curves = {}
    for name, models in (("float", trained), ("integer", frozen)):
        served = [(q, models[range_of(q, begins)]) for q in QUALITIES]
        rows = [validate(model, pictures, [q])[0] for q, model in served]
        curves[name] = Curve(tuple(row.bpp for row in rows), tuple(row.psnr for row in rows))
        print(f"{name:<8} {curves[name]}")
    print(f"integer against float: {bd_rate(curves['float'], curves['integer']):+.2f} % BD-rate")
    ratio = _seconds(frozen[0], pictures[0]) / _seconds(trained[0], pictures[0])
    print(f"time of trunk and synthesis, integer over float: {ratio:.2f}")


class _Zeros:
    """The coder of a decoder without the entropy decoding."""

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        """See `LatentCoder`."""
        return torch.zeros_like(scale_index)


@torch.inference_mode()
def _seconds(model: DctVae, image: Tensor, repeats: int = 15) -> float:
    """Return the median time of trunk and synthesis for an image."""
    quality = torch.full((1,), 50)
    context = model.context(to_ycbcr(image.float()), quality)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        latents = model.latents(context, quality, _Zeros())
        model.synthesise(context, latents, quality)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main(argv: list[str] | None = None) -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description="Measure exact decoding.")
    commands = parser.add_subparsers(required=True)
    for function in (matrix, decode, cost):
        command = commands.add_parser(function.__name__, help=function.__doc__)
        command.set_defaults(function=function)
        command.add_argument("folder", type=Path)
        if function is matrix:
            command.add_argument("--out", type=Path, required=True)
        elif function is decode:
            command.add_argument("--float64", action="store_true")
            command.add_argument("--no-onednn", action="store_true")
        else:
            command.add_argument("--checkpoints", type=Path, nargs="+", required=True)
            command.add_argument("--images", type=int, default=41)
    options = vars(parser.parse_args(argv))
    options.pop("function")(**options)


if __name__ == "__main__":
    main()

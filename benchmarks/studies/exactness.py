"""Measures the promise of exact decoding, and what it costs.

    python -m hvae_codec.benchmarks.studies.exactness matrix FOLDER --out OUT
    python -m hvae_codec.benchmarks.studies.exactness cost FOLDER --checkpoints runs/*/checkpoint.pt

`matrix` encodes every image at five qualities in this process, and decodes all files in one process
for each configuration: ONNX Runtime and PyTorch, threads, instruction sets, a GPU where PyTorch
finds one. `cost` compares the float trunks of checkpoints with the integers that they are converted
to: rate and PSNR under the same Gaussians, and the time of trunk and synthesis.
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
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...bitstream import read_index
from ...codec import api
from ...codec.decoder import decode_file
from ...codec.files import find_images
from ...codec.networks.onnx_runtime import OnnxRuntime
from ...codec.networks.runtime import torch_side
from ...codec.networks.threads import THREADS_VARIABLE
from ...codec.networks.weight_file import serving_model
from ...codec.networks.weights import Codec, load_codec
from ...codec.options import DecodeOptions
from ...codec.symbols.schedule import CodingStep
from ...codec.symbols.walk import Prediction
from ...codec.tiles.conditions import CodingConditions
from ...codec.tiles.tiling import tiles_in
from ...codec.verify import symbol_count
from ..bjontegaard_delta import Curve, bd_rate
from ..run import read_image

if TYPE_CHECKING:
    from torch import Tensor

    from ...models.dct_vae import DctVae

_MODULE = "hvae_codec.benchmarks.studies.exactness"
QUALITIES = (10, 30, 50, 70, 90)


@dataclass(frozen=True)
class Configuration:
    """What computes in one process.

    Attributes:
        runtime: `onnx`, `onnx-plain` (graphs as they were exported), or the name of a device of
            PyTorch.
        environment: of the process.
        settings: of PyTorch, by name: `tf32`, `no-onednn`.
    """

    runtime: str
    environment: dict[str, str]
    settings: tuple[str, ...] = ()


def _torch(settings: tuple[str, ...] = (), **environment: str) -> Configuration:
    return Configuration("cpu", environment, settings)


_ONE, _TWO = {THREADS_VARIABLE: "1"}, {THREADS_VARIABLE: "2"}

CONFIGURATIONS = {
    "ONNX Runtime, one thread": Configuration("onnx", _ONE),
    "ONNX Runtime, two threads": Configuration("onnx", _TWO),
    "graphs as exported, one thread": Configuration("onnx-plain", _ONE),
    "graphs as exported, two threads": Configuration("onnx-plain", _TWO),
    "PyTorch, one thread": _torch(OMP_NUM_THREADS="1"),
    "PyTorch, two threads": _torch(OMP_NUM_THREADS="2"),
    "ATen without vectors": _torch(ATEN_CPU_CAPABILITY="default"),
    "ATen AVX2": _torch(ATEN_CPU_CAPABILITY="avx2"),
    "ATen AVX-512": _torch(ATEN_CPU_CAPABILITY="avx512"),
    "oneDNN SSE4.1": _torch(ONEDNN_MAX_CPU_ISA="SSE41"),
    "oneDNN AVX2": _torch(ONEDNN_MAX_CPU_ISA="AVX2"),
    "oneDNN AVX-512": _torch(ONEDNN_MAX_CPU_ISA="AVX512_CORE"),
    "PyTorch without oneDNN": _torch(("no-onednn",)),
}

ON_A_GPU = {
    "CUDA, TF32 off": Configuration("cuda", {}),
    "CUDA, TF32 on": Configuration("cuda", {}, ("tf32",)),
}
"""Beside the others, where PyTorch finds a GPU."""


def configurations() -> dict[str, Configuration]:
    """Return the configurations that can run here. Those of PyTorch need it installed."""
    if find_spec("torch") is None:
        return {k: c for k, c in CONFIGURATIONS.items() if c.runtime.startswith("onnx")}
    import torch

    return CONFIGURATIONS | (ON_A_GPU if torch.cuda.is_available() else {})


def matrix(folder: Path, out: Path) -> None:
    """Encode FOLDER here, decode it under every configuration, count what differs."""
    out.mkdir(parents=True, exist_ok=True)
    if any(out.glob("*.hvae")):
        raise SystemExit(f"{out} has coded files, which would count: name another --out")
    for path in find_images(folder):
        image = np.asarray(read_image(path))
        for quality in QUALITIES:
            (out / f"{path.name}-{quality:03}.hvae").write_bytes(api.encode(image, quality))
    expected = None
    for name, configuration in configurations().items():
        command = [sys.executable, "-m", _MODULE, "decode", str(out)]
        command += ["--runtime", configuration.runtime]
        command += [f"--{setting}" for setting in configuration.settings]
        environment = {**os.environ, **configuration.environment}
        report = json.loads(subprocess.check_output(command, env=environment))
        pixels = np.load(out / "pixels.npy")
        expected = pixels if expected is None else expected
        difference = int(np.abs(pixels.astype(np.int16) - expected).max())
        print(
            f"{name:<32} {report['differing']} of {report['symbols']} symbols differ in"
            f" {report['files']} files, pixels within {difference} of 255,"
            f" {report['seconds']:.1f} s",
            flush=True,
        )


def decode(folder: Path, *, runtime: str, tf32: bool, no_onednn: bool) -> None:
    """Decode every file of FOLDER. If a tile fails its checks, all its symbols count as wrong."""
    codec, pixels = _codec(runtime, tf32=tf32, no_onednn=no_onednn), []
    files = sorted(folder.glob("*.hvae"))
    symbols = differing = 0
    start = time.perf_counter()
    for path in files:
        data = path.read_bytes()
        index = read_index(data)
        header = index.header
        conditions = CodingConditions.of(header, codec.config)
        picture = decode_file(codec, data, index, DecodeOptions(keep_going=True))
        pixels.append(picture.samples.ravel())
        for number, window in tiles_in(header.height, header.width, header.tile_side):
            count = symbol_count(conditions, window)
            symbols += count
            differing += count * (number in picture.lost_tiles)
    seconds = time.perf_counter() - start
    np.save(folder / "pixels.npy", np.concatenate(pixels))
    found = {"files": len(files), "symbols": symbols, "differing": differing, "seconds": seconds}
    print(json.dumps(found))


def _codec(runtime: str, *, tf32: bool, no_onednn: bool) -> Codec:
    """Return the codec of the shipped weights on a runtime; see `Configuration`."""
    codec = load_codec()
    if runtime == "onnx":
        return codec
    if runtime == "onnx-plain":
        return replace(codec, runtime=OnnxRuntime(codec.file, is_plain=True))
    torch_runtime = torch_side("runtime", f"device {runtime}")
    import torch

    torch.backends.mkldnn.set_flags(not no_onednn)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    return replace(codec, runtime=torch_runtime.make_runtime(codec.file, runtime))


def cost(folder: Path, checkpoints: list[Path], images: int) -> None:
    """Compare float entropy models with their integers on the images of FOLDER."""
    from ...models.export import load_checkpoints
    from ...models.training.data import validation_images
    from ...models.training.losses import validate

    trained, firsts = load_checkpoints(checkpoints)
    pictures = validation_images(folder, images)
    integers = [model.to_integer() for model in trained]
    curves = {}
    for name, models in (("float", trained), ("integer", integers)):
        served = [(q, models[serving_model(firsts, q)]) for q in QUALITIES]
        rows = [validate(model, pictures, [q])[0] for q, model in served]
        curves[name] = Curve(tuple(row.bpp for row in rows), tuple(row.psnr for row in rows))
        print(f"{name:<8} {curves[name]}")
    print(f"integer against float: {bd_rate(curves['float'], curves['integer']):+.2f} % BD-rate")
    ratio = _seconds(integers[0], pictures[0]) / _seconds(trained[0], pictures[0])
    print(f"time of trunk and synthesis, integer over float: {ratio:.2f}")


class _Zeros:
    """The coder of a decoder without the entropy decoding."""

    def code(
        self,
        step: CodingStep,
        number: int,
        prediction: Prediction,
        residual: Callable[[], Tensor],
    ) -> Tensor:
        """See `codec.symbols.walk.SymbolCoder`."""
        import torch

        return torch.zeros_like(prediction.mean)


def _seconds(model: DctVae, image: Tensor, repeats: int = 15) -> float:
    """Return the median time of trunk and synthesis for an image."""
    import torch

    from ...models.networks.dct import to_ycbcr

    times = []
    with torch.inference_mode():
        quality = torch.full((1,), 50)
        context = model.context.quantise(to_ycbcr(image.float()), quality)
        for _ in range(repeats):
            start = time.perf_counter()
            latents = model.code_latents(context, quality, _Zeros())
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
            command.add_argument("--runtime", default="onnx")
            command.add_argument("--tf32", action="store_true")
            command.add_argument("--no-onednn", action="store_true")
        else:
            command.add_argument("--checkpoints", type=Path, nargs="+", required=True)
            command.add_argument("--images", type=int, default=41)
    options = vars(parser.parse_args(argv))
    options.pop("function")(**options)


if __name__ == "__main__":
    main()

"""A harness for atheris (`pip install atheris`): coverage-guided fuzzing of the decoder.

    python tests/fuzz/fuzz_decode.py -max_total_time=300 [CORPUS]

Checksums would stop nearly every input at the door, so they are mended first: what is fuzzed is
what stands behind them. Anything but a `BitstreamError` is a finding. `test_mended.py` does the
same without guidance, in a few seconds.
"""

import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from mending import mended
from PIL import Image

atheris: Any = import_module("atheris")  # not a dependency: type checkers need not find it

with atheris.instrument_imports(include=["hvae_codec.bitstream", "hvae_codec.codec"]):
    from hvae_codec.bitstream import BitstreamError, unpack_header
    from hvae_codec.codec import api
    from hvae_codec.codec.networks.weights import load_codec
    from hvae_codec.codec.options import DEFAULT_PRIOR

OTHER_PRIORS = ("factorised", "mixture")
"""Those that PyTorch is needed for; the Gaussian diffusion is too slow to be fuzzed."""

MAX_FUZZED_PX = 128 * 128  # larger images only take longer


def one_input(data: bytes) -> None:
    """Decode an input in the ways that users have."""
    options = data[-1] if data else 0
    data = mended(data[:-1], [load_codec(tune=tune).file.digest for tune in ("eye", "psnr")])
    try:
        api.inspect(data)
        header, _ = unpack_header(data)
        if header.width * header.height > MAX_FUZZED_PX:
            return
        api.decode(
            data,
            scale=(1, 2, 8, 32)[options & 3],
            levels=(None, 2)[options >> 2 & 1],
            keep_going=bool(options >> 3 & 1),
        )
    except BitstreamError:
        pass


def main() -> None:
    """Make a first corpus with the weights in use, then fuzz."""
    corpus = Path(tempfile.mkdtemp())
    offsets = Image.new("L", (2, 1), 120)
    for channels in (1, 2, 3, 4):
        for dtype in (np.uint8, np.uint16):
            noise = np.random.default_rng(channels).integers(0, 255, (9, 40, channels))
            image = noise.astype(dtype)
            files = {
                prior: api.encode(image, 10, prior=prior, content="photo")
                for prior in (DEFAULT_PRIOR, *OTHER_PRIORS)
            }
            files["lossless"] = api.encode(image, lossless=True)
            files["map"] = api.encode(image, 40, map=offsets, content="graphic")
            for name, file in files.items():
                path = corpus / f"{channels}_{np.dtype(dtype).name}_{name}"
                path.write_bytes(file + b"\0")
    atheris.Setup([*sys.argv, str(corpus)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

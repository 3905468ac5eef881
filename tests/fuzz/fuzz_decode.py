"""A harness for atheris (`pip install atheris`): coverage-guided fuzzing of the decoder.

    python tests/fuzz/fuzz_decode.py -max_total_time=300 [CORPUS]

Checksums would stop nearly every input at the door, so they are mended first: what is fuzzed is
what stands behind them. Anything but a `BitstreamError` is a finding.
"""

import struct
import sys
import tempfile
import zlib
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

atheris: Any = import_module("atheris")  # not a dependency: type checkers need not find it

with atheris.instrument_imports(include=["hvae_codec.bitstream", "hvae_codec.codec"]):
    from hvae_codec.bitstream import (
        BitstreamError,
        Header,
        pack_header,
        unpack_header,
    )
    from hvae_codec.codec import api
    from hvae_codec.codec.options import DEFAULT_PRIOR
    from hvae_codec.codec.weights import load_codec

OTHER_PRIORS = ("factorised", "mixture")
"""Those that PyTorch is needed for; the Gaussian diffusion is too slow to be fuzzed."""

MAX_FUZZED_PX = 128 * 128  # larger images only take longer


def one_input(data: bytes) -> None:
    """Decode an input in the ways that users have."""
    options = data[-1] if data else 0
    data = mended(data[:-1])
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


def mended(data: bytes) -> bytes:
    """Put the right checksums and weights into header and index, where these can be found."""
    fixed = bytearray(data)
    try:
        header, size = _header(fixed)
        fixed[:size] = pack_header(header)
        begin = len(pack_header(header))
        end = _index_end(bytes(fixed), begin, header)
        if end is not None:
            fixed[end : end + 4] = struct.pack("<I", zlib.crc32(fixed[begin:end]))
    except BitstreamError:
        pass
    return bytes(fixed)


def _header(data: bytearray) -> tuple[Header, int]:
    """Read a header whatever its checksum, and give it the weights at hand."""
    for end in range(12, 24):
        trial = bytearray(data)
        trial[end : end + 4] = struct.pack("<I", zlib.crc32(trial[:end]))
        try:
            header, size = unpack_header(trial)
        except BitstreamError:
            continue
        if size == end + 4:
            fields = {**header.__dict__, "weights": load_codec().file.digest[:4], "metadata": False}
            return Header(**fields), size
    raise BitstreamError("no header")


def _index_end(data: bytes, begin: int, header: Header) -> int | None:
    """Return where the index's checksum stands, if varints and checks are all there."""
    at, levels = begin + 1, data[begin] if len(data) > begin else 0
    for _ in range(header.tile_count * (levels + header.color.has_alpha)):
        while at < len(data) and data[at] >= 0x80:
            at += 1
        at += 1
    at += header.tile_count * (2 * (levels - 1) + 4 + 4 * header.color.has_alpha)
    return at if levels and at + 4 <= len(data) else None


def main() -> None:
    """Make a first corpus with the weights in use, then fuzz."""
    corpus = Path(tempfile.mkdtemp())
    for channels in (1, 2, 3, 4):
        for dtype in (np.uint8, np.uint16):
            image = (
                np.random.default_rng(channels).integers(0, 255, (9, 40, channels)).astype(dtype)
            )
            for prior in (DEFAULT_PRIOR, *OTHER_PRIORS):
                path = corpus / f"{channels}_{np.dtype(dtype).name}_{prior}"
                path.write_bytes(api.encode(image, 10, prior=prior) + b"\0")
    atheris.Setup([*sys.argv, str(corpus)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

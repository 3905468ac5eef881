"""A learned image codec: images in, small files out, the same images back.

>>> import hvae_codec
>>> data = hvae_codec.encode(image, quality=60)
>>> image = hvae_codec.decode(data)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors as errors
    from .bitstream import ArgumentError, BitstreamError, HvaeError
    from .codec.decode import (
        Decoded,
        EncodedImage,
        decode,
        decode_parts,
        open,
        quality_map,
        sample,
        verify,
    )
    from .codec.encode import encode
    from .codec.errors import ImageError, LeftOut, TargetError, WeightsError
    from .codec.info import FileInfo, inspect
    from .codec.symbols.stack import Sampling
    from .codec.verify import VerifyReport

__version__ = "1.2.0"
__all__ = [
    "ArgumentError",
    "BitstreamError",
    "Decoded",
    "EncodedImage",
    "FileInfo",
    "HvaeError",
    "ImageError",
    "LeftOut",
    "Sampling",
    "TargetError",
    "VerifyReport",
    "WeightsError",
    "__version__",
    "decode",
    "decode_parts",
    "encode",
    "inspect",
    "open",
    "quality_map",
    "sample",
    "verify",
]

_HOMES = {
    "ArgumentError": ".bitstream",
    "BitstreamError": ".bitstream",
    "encode": ".codec.encode",
    "FileInfo": ".codec.info",
    "HvaeError": ".bitstream",
    "ImageError": ".codec.errors",
    "LeftOut": ".codec.errors",
    "inspect": ".codec.info",
    "Sampling": ".codec.symbols.stack",
    "TargetError": ".codec.errors",
    "VerifyReport": ".codec.verify",
    "WeightsError": ".codec.errors",
}


if not TYPE_CHECKING:  # or a type checker would take every name for one of ours

    def __getattr__(name: str) -> Any:  # noqa: ANN401
        """Load the codec at its first use: `--help` answers at once."""
        if name == "errors":
            return import_module(".errors", __name__)
        if name in __all__:
            return getattr(import_module(_HOMES.get(name, ".codec.decode"), __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

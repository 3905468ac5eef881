"""A learned image codec: images in, small files out, the same images back.

>>> import hvae_codec
>>> data = hvae_codec.encode(image, quality=60)
>>> image = hvae_codec.decode(data)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bitstream import BitstreamError
    from .codec.api import decode, decode_parts, encode, open
    from .codec.errors import ImageError

__version__ = "0.1.0"
__all__ = [
    "BitstreamError",
    "ImageError",
    "__version__",
    "decode",
    "decode_parts",
    "encode",
    "open",
]

_HOMES = dict.fromkeys(["decode", "decode_parts", "encode", "open"], ".codec.api") | {
    "BitstreamError": ".bitstream",
    "ImageError": ".codec.errors",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Load the codec at its first use: importing torch takes seconds."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

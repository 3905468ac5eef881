"""A learned image codec: images in, small files out, the same images back.

>>> import hvae_codec
>>> data = hvae_codec.encode(image, quality=60)
>>> image = hvae_codec.decode(data)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .codec.api import decode, encode, open

__version__ = "0.1.0"
__all__ = ["__version__", "decode", "encode", "open"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Load the codec at its first use: importing torch takes seconds."""
    if name in {"decode", "encode", "open"}:
        from .codec import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Weights that are not installed, fetched by their hash from where the user says they are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ..errors import WeightsError
from ..files import digest_of, replacing

SOURCE_VARIABLE = "HVAE_CODEC_WEIGHTS_FROM"
"""Environment variable: a folder, or the URL of one, of weight files that are named by their hash,
`0123abcd.safetensors`; nothing is fetched without it."""

_OWN_MACHINE = "127.0.0.1", "localhost", "::1"

_SUFFIX = ".safetensors"


def cache_folder() -> Path | None:
    """Return where fetched weights are kept; None for a user without a home, as in a container."""
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "hvae-codec"
    except RuntimeError:
        return None


def fetch_weights(prefix: bytes) -> Path | None:
    """Fetch the weight file whose hash begins so, once.

    Returns:
        Its path; None where there is nowhere to fetch it from.

    Raises:
        WeightsError: it is not there, another file stands under its name, or there is no folder
            to keep it in.
    """
    folder, source = cache_folder(), os.environ.get(SOURCE_VARIABLE)
    if folder is None:
        if source:
            raise WeightsError(f"weights {prefix.hex()} cannot be kept: set HOME or XDG_CACHE_HOME")
        return None
    kept = folder / f"{prefix.hex()}{_SUFFIX}"
    # not by methods of Path, which raise where a folder is closed
    if os.path.isfile(kept) and digest_of(kept).startswith(prefix):
        return kept
    if not source:
        return None
    url = source if "://" in source else Path(source).absolute().as_uri()
    import http.client
    import urllib.request  # takes as long to load as all that a file's description needs

    if not _is_safe(url):
        raise WeightsError(f"{SOURCE_VARIABLE} is {url}: weights come from a folder or by https")

    address = f"{url.rstrip('/')}/{kept.name}"
    try:
        with replacing(kept) as part:
            with urllib.request.urlopen(address, timeout=60) as stream, part.open("xb") as file:
                if not _is_safe(stream.url):
                    raise WeightsError(f"{address} leads to {stream.url}, which is not https")
                shutil.copyfileobj(stream, file)
            if not digest_of(part).startswith(prefix):
                raise WeightsError(f"what {address} holds has another hash than {prefix.hex()}")
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise WeightsError(f"weights {prefix.hex()} cannot be fetched ({error})") from error
    return kept


def _is_safe(url: str) -> bool:
    """Tell whether nobody on the way can change what comes from an address."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    own = parts.scheme == "http" and parts.hostname in _OWN_MACHINE
    return own or parts.scheme in ("https", "file")

"""What a type checker knows of the public names: pyright fails here where it knows less.

Elsewhere in this repository it is told less strictly what to refuse.
"""
# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from typing import Any, assert_type

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import hvae_codec


def test_types_are_known() -> None:
    data = hvae_codec.encode(np.zeros((8, 8, 3), np.uint8), lossless=True)
    assert_type(data, bytes)
    assert_type(hvae_codec.decode(data), Image.Image)
    assert_type(hvae_codec.open(data).decode(scale=8), Image.Image)
    assert_type(hvae_codec.decode_parts(data).pixels, NDArray[Any])
    assert_type(hvae_codec.inspect(data).quality, int)


def test_a_name_that_is_not_there_is_refused() -> None:
    with pytest.raises(AttributeError):
        _ = hvae_codec.decoed  # type: ignore[attr-defined]
    with pytest.raises(hvae_codec.errors.NotOurFile) as caught:
        hvae_codec.decode(b"else")
    assert_type(caught.value, hvae_codec.errors.NotOurFile)

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""The Python interface in a program that is checked strictly: pyright reads this file, too."""

import io
import tempfile
import zipfile
from typing import assert_type

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import hvae_codec
from hvae_codec import Decoded, EncodedImage, FileInfo, VerifyReport

PICTURE = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)


def coded(picture: NDArray[np.uint8] | NDArray[np.uint16] = PICTURE) -> bytes:
    return hvae_codec.encode(picture, lossless=True, metadata={"exif": b"Exif\0\0" + bytes(5000)})


def test_types_are_known() -> None:
    data = coded()
    assert_type(data, bytes)
    assert_type(hvae_codec.decode(data), Image.Image)
    assert_type(hvae_codec.open(data).decode(scale=8), Image.Image)
    assert_type(hvae_codec.decode_parts(data).pixels, NDArray[np.uint8] | NDArray[np.uint16])
    assert_type(hvae_codec.inspect(data).quality, int)
    with pytest.raises(hvae_codec.errors.NotOurFile) as caught:
        hvae_codec.decode(b"else")
    assert_type(caught.value, hvae_codec.errors.NotOurFile)


def test_what_functions_return_has_a_name() -> None:
    parts: Decoded = hvae_codec.decode_parts(coded())
    opened: EncodedImage = hvae_codec.open(coded())
    info: FileInfo = hvae_codec.inspect(coded())
    report: VerifyReport = hvae_codec.verify(coded())
    assert opened.info == info
    assert (parts.whole_levels, report.differing) == (0, 0)


def test_what_is_returned_prints_in_a_line() -> None:
    deep = hvae_codec.decode_parts(coded(PICTURE.astype(np.uint16)))
    for shown in (hvae_codec.decode_parts(coded()), deep, hvae_codec.open(coded())):
        assert len(repr(shown)) < 200
        assert "\n" not in repr(shown)
    assert repr(hvae_codec.open(coded())).startswith("<EncodedImage of 5x4 px, ")


def test_decoded_pixels_are_the_callers() -> None:
    parts = hvae_codec.decode_parts(coded())
    pixels = parts.pixels
    pixels[0, 0] = 255
    assert parts.pixels is pixels
    assert np.array_equal(np.asarray(parts.image), PICTURE)


def test_files_of_the_standard_library_are_sources() -> None:
    archive = zipfile.ZipFile(io.BytesIO(), "w")
    archive.writestr("x.hvae", coded())
    with archive.open("x.hvae") as member, tempfile.SpooledTemporaryFile() as spooled:
        spooled.write(coded())
        assert hvae_codec.decode(member) == hvae_codec.decode(spooled)


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'decod'"):
        hvae_codec.decod  # pyright: ignore  # noqa: B018
    assert issubclass(hvae_codec.errors.Truncated, hvae_codec.BitstreamError)

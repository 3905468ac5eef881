"""Errors as callers meet them: each that a docstring names is public; each cause has a class."""

import builtins
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

import hvae_codec
from hvae_codec import errors
from hvae_codec.bitstream import Header, InvalidField, read_index, read_tile, write_container
from hvae_codec.codec.networks.weight_paths import WEIGHTS_VARIABLE

DOORS = ("hvae_codec", "hvae_codec.pillow", "hvae_codec.torch", "hvae_codec.webdataset")
"""The modules that a program imports."""

HOMES = ("hvae_codec.bitstream.errors", "hvae_codec.codec.errors")

PIXELS = np.zeros((8, 8, 3), np.uint8)


def told(text: str) -> set[str]:
    """The errors that a docstring names in its section Raises."""
    section = re.search(r"^ *Raises:\n(.*?)(?:\n *\n|\Z)", text, re.DOTALL | re.MULTILINE)
    lines = re.findall(r"^ *((?:[A-Z]\w+, )*[A-Z]\w+): ", section[1] if section else "", re.M)
    return {name for line in lines for name in line.split(", ")}


def public_docstrings(module: ModuleType) -> Iterator[tuple[str, str]]:
    """Names and docstrings of a module's functions and classes, and of the methods of these."""
    for name in getattr(module, "__all__", ()):
        member = getattr(module, name)
        yield name, inspect.getdoc(member) or ""
        for inner, method in vars(member).items() if inspect.isclass(member) else ():
            if not inner.startswith("_") and (text := inspect.getdoc(method)):
                yield f"{name}.{inner}", text


def is_public(error: str) -> bool:
    return error in errors.__all__ or hasattr(builtins, error)


@pytest.mark.parametrize("door", DOORS)
def test_every_error_that_is_told_of_is_public(door: str) -> None:
    for name, text in public_docstrings(import_module(door)):
        assert all(is_public(error) for error in told(text)), (name, told(text))


def test_what_encodes_and_decodes_tells_of_its_errors() -> None:
    named = dict(public_docstrings(hvae_codec))
    assert {"OSError", "ImageError", "ArgumentError", "TargetError"} <= told(named["encode"])
    for name in ("decode", "decode_parts", "verify", "inspect", "open", "quality_map"):
        assert {"OSError", "BitstreamError"} <= told(named[name]), name


def test_every_error_of_the_codec_is_public_and_has_the_root() -> None:
    found = {
        name
        for home in HOMES
        for name, kind in vars(import_module(home)).items()
        if inspect.isclass(kind) and issubclass(kind, Exception)
    }
    assert found == set(errors.__all__)
    kinds = {name: getattr(errors, name) for name in found - {"LeftOut"}}
    assert all(issubclass(kind, hvae_codec.HvaeError) for kind in kinds.values())
    # a damaged file is no wrong argument
    assert {n for n, kind in kinds.items() if issubclass(kind, ValueError)} == {"ArgumentError"}


def encoding(**options: Any) -> Callable[[], object]:  # noqa: ANN401
    return lambda: hvae_codec.encode(PIXELS, **options)


ARGUMENTS = {
    "quality 101": encoding(quality=101),
    "quality 60.5": encoding(quality=60.5),
    "quality, a word": encoding(quality="high"),
    "the usual quality and a size": encoding(quality=60, bpp=1),
    "another quality and a size": encoding(quality=61, bpp=1),
    "bpp, a word": encoding(bpp="1"),
    "a quality that Python does not print": encoding(quality=10**5000),
    "a size that no float holds": encoding(max_bytes=10**400),
    "two aims": encoding(psnr=35, max_bytes=100),
    "quality and lossless": encoding(quality=60, lossless=True),
    "effort": encoding(effort=10),
    "tune": encoding(tune="ear"),
    "content": encoding(content="painting"),
    "device": encoding(device="tpu"),
    "prior": encoding(prior="flow"),
    "page": encoding(page=0),
    "metadata": encoding(metadata={"icc": b""}),
    "scale": lambda: hvae_codec.decode(plain_file(), scale=3),
    "a region that Python does not print": lambda: hvae_codec.decode(
        plain_file(), region=(0, 0, 10**5000, 9)
    ),
    "region": lambda: hvae_codec.decode(plain_file(), region=(0, 0, 9, 9)),
    "levels": lambda: hvae_codec.decode(plain_file(), levels=-1),
    "seed": lambda: hvae_codec.Sampling(seed=-1),
    "temperature": lambda: hvae_codec.Sampling(temperature=-1),
    "a temperature that no float holds": lambda: hvae_codec.Sampling(temperature=10**400),
    "size": lambda: hvae_codec.sample((0, 1)),
    "quality of a drawn picture": lambda: hvae_codec.sample((1, 1), quality=101),
}


def plain_file() -> bytes:
    """A file that needs no weights."""
    return hvae_codec.encode(PIXELS, lossless=True)


@pytest.mark.parametrize("call", ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_a_wrong_argument_is_a_value_error(tiny_in_use: Path, call: Callable[[], object]) -> None:
    with pytest.raises(hvae_codec.ArgumentError) as caught:
        call()
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "quality", [60, 60.0, np.int64(60), np.uint8(60), np.float32(60)], ids=repr
)
def test_a_whole_number_of_any_type_is_a_quality(tiny_in_use: Path, quality: Any) -> None:  # noqa: ANN401
    data = hvae_codec.encode(PIXELS, quality, content="photo")
    assert hvae_codec.inspect(data).quality == 60


def damaged(place: int) -> bytes:
    data = bytearray(plain_file())
    data[place] ^= 1
    return bytes(data)


DAMAGED = {
    "another file": (lambda: b"\x89PNG\r\n\x1a\n", "NotOurFile"),
    "cut": (lambda: plain_file()[:-1], "Truncated"),
    "its header": (lambda: damaged(9), "HeaderDamaged"),
    "its tile": (lambda: damaged(-1), "TileDamaged"),
    "more than a file": (lambda: plain_file() + b"x", "TrailingData"),
}


@pytest.mark.parametrize(("make", "error"), DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_file_is_no_wrong_argument(make: Callable[[], bytes], error: str) -> None:
    data = make()
    for function in (hvae_codec.decode, hvae_codec.decode_parts, hvae_codec.verify):
        with pytest.raises(hvae_codec.BitstreamError) as caught:
            function(data)
        assert type(caught.value).__name__ == error
        assert not isinstance(caught.value, ValueError)


def test_a_value_that_a_file_may_not_have_is_its_field() -> None:
    """The same value is refused as an argument where a file is written."""
    data = plain_file()
    index = read_index(data)
    header = replace(index.header, metadata=True)
    for text in (b"[]", '{"a": "b"}'.encode("utf-16-le"), b'\xef\xbb\xbf{"a": "b"}'):
        metadata: Any = ((3, text),)
        with pytest.raises(InvalidField, match="no JSON object of strings"):
            hvae_codec.decode(write_container(header, metadata, [read_tile(data, index, 0)]))
    with pytest.raises(hvae_codec.ArgumentError, match="quality 101"):
        Header(width=1, height=1, quality=101, tile_side=1, weights=bytes(4))


def test_an_image_of_a_kind_that_cannot_be_coded_has_an_error_of_its_own(tmp_path: Path) -> None:
    several = [Image.new("L", (8, 8), grey) for grey in (0, 255)]
    several[0].save(tmp_path / "two.tif", save_all=True, append_images=several[1:])
    with pytest.raises(hvae_codec.ImageError, match="has 2 pictures"):
        hvae_codec.encode(tmp_path / "two.tif", lossless=True)
    with pytest.raises(hvae_codec.ImageError, match="pixels, the limit is"):
        hvae_codec.encode(np.broadcast_to(np.uint8(7), (14_000, 14_000)), lossless=True)


def test_weights_that_cannot_be_used_have_an_error_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"no weights")
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(path))
    with pytest.raises(hvae_codec.WeightsError, match="is not a weight file"):
        hvae_codec.encode(PIXELS)

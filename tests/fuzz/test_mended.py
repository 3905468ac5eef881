"""Wrong bytes under right checksums: still an error of one line, or some picture."""

import functools
import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from hvae_codec.bitstream import BitstreamError, read_index, unpack_header
from hvae_codec.codec import api
from hvae_codec.codec.networks.weights import load_codec

from .mending import mended

pytestmark = pytest.mark.usefixtures("tiny_in_use")

MAX_FUZZED_PX = 128 * 128
OTHERS = "learned", "alpha", "map", "exact_16", "both"
KINDS = "exact", *OTHERS


@functools.cache
def file_of(kind: str) -> bytes:
    noise = np.random.default_rng(3).integers(0, 256, (40, 70, 4), np.uint8)
    smooth = np.asarray(Image.fromarray(noise).resize((9, 5)).resize((70, 40)))
    if kind == "learned":
        return api.encode(smooth[..., :3], 20, content="photo", metadata={"text": {"a": "b"}})
    if kind == "alpha":
        return api.encode(smooth, 20, content="photo")
    if kind == "map":
        offsets = Image.fromarray(np.linspace(100, 140, 6).astype(np.uint8).reshape(2, 3))
        return api.encode(smooth[..., :3], 50, map=offsets, content="photo")
    if kind == "exact":
        return api.encode(smooth, lossless=True, metadata={"dpi": (72, 72)})
    if kind == "exact_16":
        return api.encode(noise[:20, :20].astype(np.uint16) << 4, lossless=True)
    mixed = np.repeat(smooth[..., :3], 2, axis=1)
    mixed[:, 64:] = mixed[:, 64:] // 128 * 255
    return api.encode(mixed, 30, content="graphic")


def digests() -> list[bytes]:
    return [load_codec().file.digest]


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_needs_no_mending(kind: str) -> None:
    data = file_of(kind)
    assert mended(data, digests()) == data


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_cut_off_the_checksums_is_put_back(kind: str) -> None:
    data = bytearray(file_of(kind))
    for at in (read_index(bytes(data)).begin - 1, unpack_header(data)[1] - 1):
        data[at] ^= 255
    assert mended(bytes(data), digests()) == file_of(kind)


@pytest.mark.parametrize(
    "kind", ["exact", *(pytest.param(k, marks=pytest.mark.slow) for k in OTHERS)]
)
@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_wrong_bytes_are_an_error_or_a_picture(kind: str, data: st.DataObject) -> None:
    file = bytearray(file_of(kind))
    last = data.draw(st.sampled_from([read_index(bytes(file)).begin + 40, len(file)])) - 1
    places = st.tuples(st.integers(5, min(last, len(file) - 1)), st.integers(0, 255))
    for at, value in data.draw(st.lists(places, min_size=1, max_size=4)):
        file[at] = value
    wrong = mended(bytes(file), digests())
    keep_going, scale = data.draw(st.booleans()), data.draw(st.sampled_from([1, 2, 8]))
    try:
        header, _ = unpack_header(wrong)
        if header.width * header.height > MAX_FUZZED_PX:
            return
        api.inspect(wrong)
        parts = api.decode_parts(io.BytesIO(wrong), scale=scale, keep_going=keep_going)
    except BitstreamError as error:
        assert "\n" not in str(error)
        return
    assert parts.pixels.shape[:2] == (-(-header.height // scale), -(-header.width // scale))

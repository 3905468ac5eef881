"""Varints against their definition, and the limits."""

import numpy as np
import pytest

from hvae_codec.bitstream import ArgumentError, InvalidField, Truncated
from hvae_codec.bitstream.varint import pack_varints, unpack_varints

EDGES = [0, 1, 127, 128, 16383, 16384, 2**21 - 1, 2**21, 2**28, 2**32 - 1]


def test_golden_bytes() -> None:
    assert pack_varints([0, 127, 128, 300]) == bytes.fromhex("00 7f 8001 ac02")
    assert [len(pack_varints([n])) for n in EDGES] == [1, 1, 1, 2, 2, 3, 3, 4, 5, 5]


def test_round_trip_stops_after_the_count() -> None:
    values, taken = unpack_varints(pack_varints(EDGES) + b"\x80\x80", len(EDGES))
    assert values.tolist() == EDGES
    assert values.dtype == np.int64
    assert taken == len(pack_varints(EDGES))


@pytest.mark.parametrize("value", [-1, 2**32])
def test_values_out_of_range_are_refused(value: int) -> None:
    with pytest.raises(ArgumentError, match=f"count {value}"):
        pack_varints([value])


def test_endless_and_cut_integers_are_told_apart() -> None:
    with pytest.raises(Truncated, match="the file is cut within integer 2 of 2"):
        unpack_varints(b"\x01\x80\x80", 2)
    with pytest.raises(InvalidField, match="more than 5 bytes"):
        unpack_varints(b"\x01" + b"\x80" * 6, 2)

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from hvae_codec.bitstream import check_empty, coder_of, push, words_of
from hvae_codec.codec.symbols import Limiter, Selector, SymbolReader, SymbolWriter
from hvae_codec.codec.weights import Codec
from hvae_codec.models.coders import scale_of
from hvae_codec.models.fixed_point import OFFSETS


def given(residual: Tensor) -> Callable[[], Tensor]:
    return lambda: residual


def refused() -> Tensor:
    raise AssertionError("a decoder has no posterior")


PARTS = [(0, 7), (1, 0), (1, 5), (2, 160), (2, 159)]
"""Calls of a walk: levels and positions; some levels are coded in halves."""


@pytest.mark.parametrize("tiles", [1, 3])
def test_a_reader_finds_what_a_writer_wrote(tiny_codec: Codec, tiles: int) -> None:
    generator = torch.Generator().manual_seed(tiles)
    writer = SymbolWriter(OFFSETS)
    indices, written = [], []
    for level, count in PARTS:
        index = torch.randint(0, 64, (tiles, 2, count), generator=generator).float()
        residual = torch.randn(index.shape, generator=generator) * scale_of(index)
        if count:
            residual[0, 0, 0] = 90_000.3  # far beyond any table
        indices.append(index)
        written.append(writer.code(level, index, given(residual)))
        assert torch.equal(written[-1], torch.round(residual))
    stacks = []
    for tile in range(tiles):
        coder = coder_of()
        for tables, symbols in reversed([part for level in writer.levels for part in level]):
            push(coder, tables[tile], symbols[tile], tiny_codec.tables)
        stacks.append(coder_of(words_of(coder)))
    reader = SymbolReader(stacks, tiny_codec.tables, OFFSETS)
    for (level, _), index, expected in zip(PARTS, indices, written, strict=True):
        read = reader.code(level, index, refused)
        assert read.shape == index.shape
        assert torch.equal(read, expected)
    for popped, pushed in zip(reader.levels, writer.levels, strict=True):
        for symbols, (_, expected) in zip(popped, pushed, strict=True):
            assert np.array_equal(symbols, expected)
    for coder in stacks:
        check_empty(coder)


def test_tables_are_those_of_the_nearest_scale() -> None:
    writer = SymbolWriter(OFFSETS)
    index = torch.tensor([[[0.0, 0.49, 0.5, 12.75, 63.0]]])
    writer.code(0, index, given(torch.zeros_like(index)))
    assert writer.levels[0][0][0].tolist() == [[0, 0, 8, 104, 504]]


def test_a_limiter_stops_and_leaves_zeros() -> None:
    writer = SymbolWriter(OFFSETS)
    limiter = Limiter(writer, 2)
    index = torch.zeros(1, 2, 3)
    for level, expected in enumerate((5.0, 5.0, 0.0)):
        symbols = limiter.code(level, index, given(torch.full_like(index, 5.2)))
        assert torch.equal(symbols, torch.full_like(index, expected))
    assert len(writer.levels) == 2


def test_a_selector_codes_some_channels_and_leaves_zeros() -> None:
    writer = SymbolWriter(OFFSETS)
    chosen = [torch.tensor([True, False, True]), torch.tensor([False, False, False])]
    selector = Selector(writer, chosen)
    residual = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]])
    index = torch.tensor([[[1.0, 1.0], [9.0, 9.0], [2.0, 2.0]]])
    symbols = selector.code(0, index, given(residual))
    assert symbols.tolist() == [[[1, 2], [0, 0], [5, 6]]]
    assert writer.levels[0][0][0].tolist() == [[8, 8, 16, 16]]
    assert writer.levels[0][0][1].tolist() == [[1, 2, 5, 6]]
    assert not selector.code(1, index, given(residual)).any()

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from hvae_codec.bitstream import check_empty, coder_of, push, words_of
from hvae_codec.codec.symbols import SymbolReader, SymbolWriter
from hvae_codec.codec.weights import Codec
from hvae_codec.models.coders import scale_of
from hvae_codec.models.fixed_point import OFFSETS


def given(residual: Tensor) -> Callable[[], Tensor]:
    return lambda: residual


def refused() -> Tensor:
    raise AssertionError("a decoder has no posterior")


@pytest.mark.parametrize("tiles", [1, 3])
def test_a_reader_finds_what_a_writer_wrote(tiny_codec: Codec, tiles: int) -> None:
    generator = torch.Generator().manual_seed(tiles)
    writer = SymbolWriter(OFFSETS)
    indices, written = [], []
    for level, count in enumerate((7, 0, 160)):
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
        for tables, symbols in reversed(writer.levels):
            push(coder, tables[tile], symbols[tile], tiny_codec.tables)
        stacks.append(coder_of(words_of(coder)))
    reader = SymbolReader(stacks, tiny_codec.tables, OFFSETS)
    for level, (index, expected) in enumerate(zip(indices, written, strict=True)):
        read = reader.code(level, index, refused)
        assert read.shape == index.shape
        assert torch.equal(read, expected)
        assert np.array_equal(reader.levels[level], writer.levels[level][1])
    for coder in stacks:
        check_empty(coder)


def test_tables_are_those_of_the_nearest_scale() -> None:
    writer = SymbolWriter(OFFSETS)
    index = torch.tensor([[[0.0, 0.49, 0.5, 12.75, 63.0]]])
    writer.code(0, index, given(torch.zeros_like(index)))
    assert writer.levels[0][0].tolist() == [[0, 0, 8, 104, 504]]

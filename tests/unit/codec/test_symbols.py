from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from hvae_codec.bitstream import check_empty, coder_of, gaussian_tables, push, words_of
from hvae_codec.codec.symbols import AnsStack, Limiter, Selector, SymbolReader, SymbolWriter
from hvae_codec.codec.tables import latent_tables
from hvae_codec.codec.weights import Codec
from hvae_codec.models.coders import scale_of


def given(residual: Tensor) -> Callable[[], Tensor]:
    return lambda: residual


def refused() -> Tensor:
    raise AssertionError("a decoder has no posterior")


PARTS = [(0, 7), (1, 0), (1, 5), (2, 160), (2, 159)]
"""Calls of a walk: levels and positions; some levels are coded in halves."""


@pytest.mark.parametrize("tiles", [1, 3])
def test_a_reader_finds_what_a_writer_wrote(tiny_codec: Codec, tiles: int) -> None:
    generator = torch.Generator().manual_seed(tiles)
    writer = SymbolWriter(tiny_codec.tables)
    indices, written = [], []
    for level, count in PARTS:
        index = torch.randint(0, 253, (tiles, 2, count), generator=generator) / 4
        residual = torch.randn(index.shape, generator=generator) * scale_of(index)
        if count:
            residual[0, 0, 0] = 90_000.3  # far beyond any table
        indices.append(index)
        written.append(writer.code(level, index, given(residual)))
        assert torch.equal(written[-1], torch.round(residual))
    stacks = []
    pushed = [writer.levels(tile) for tile in range(tiles)]
    for levels in pushed:
        coder = coder_of()
        for tables, symbols in reversed([part for level in levels for part in level]):
            push(coder, tables, symbols, tiny_codec.tables)
        stacks.append(coder_of(words_of(coder)))
    reader = SymbolReader([AnsStack(coder, tiny_codec.tables) for coder in stacks])
    for (level, _), index, expected in zip(PARTS, indices, written, strict=True):
        read = reader.code(level, index, refused)
        assert read.shape == index.shape
        assert torch.equal(read, expected)
    for tile, levels in enumerate(pushed):
        for popped, level in zip(reader.levels, levels, strict=True):
            for symbols, (_, expected) in zip(popped, level, strict=True):
                assert np.array_equal(symbols[tile], expected)
    for coder in stacks:
        check_empty(coder)


def test_tables_are_those_of_the_nearest_scale(tiny_codec: Codec) -> None:
    quarters = torch.arange(253)
    rows = latent_tables(quarters)
    assert rows[[0, 1, 127]].tolist() == [520, 521, 647]  # of latents alone, a quarter each
    assert rows[[128, 129, 130, 252]].tolist() == [8 * 32, 8 * 32, 8 * 33, 8 * 63]
    index = quarters / 4
    nearest = torch.where(index < 32, index, torch.floor(index + 0.5))
    expected = gaussian_tables(scale_of(nearest).double().numpy(), np.zeros(1))
    for number, row in enumerate(rows.tolist()):
        assert tiny_codec.tables.start[row] == expected.start[number]
        pmf, gaussian = tiny_codec.tables.table(row), expected.table(number)
        assert pmf == pytest.approx(gaussian, abs=16)


def test_a_correction_is_that_many_scales(tiny_codec: Codec) -> None:
    quarters = torch.tensor([[0, 20, 126], [252, 251, 3]])
    by = torch.tensor([[2], [-1]])
    assert latent_tables(quarters, by).tolist() == [[528, 548, 8 * 34], [8 * 62, 8 * 62, 520]]
    assert latent_tables(quarters, -3)[0].tolist() == [520, 528, 520 + 114]


def test_livelier_channels_are_corrected_for_all_of_a_level(tiny_codec: Codec) -> None:
    generator = torch.Generator().manual_seed(0)
    index = torch.full((1, 3, 3000), 12.0)
    times = torch.tensor([1.0, 1.3, 0.78])[:, None]  # a scale index is 13 %
    writer = SymbolWriter(tiny_codec.tables)
    for _ in range(2):
        writer.code(0, index, given(torch.randn(index.shape, generator=generator) * times * 0.445))
    (classes, corrections), *halves = writer.levels()[0]
    assert classes.tolist() == [518] * 3
    assert corrections.tolist() == [0, 2, -2]
    for tables, _ in halves:
        assert tables.reshape(3, -1)[:, 0].tolist() == [520 + 4 * (12 + by) for by in (0, 2, -2)]


def test_a_limiter_stops_and_leaves_zeros(tiny_codec: Codec) -> None:
    writer = SymbolWriter(tiny_codec.tables)
    limiter = Limiter(writer, 2)
    index = torch.zeros(1, 2, 3)
    for level, expected in enumerate((5.0, 5.0, 0.0)):
        symbols = limiter.code(level, index, given(torch.full_like(index, 5.2)))
        assert torch.equal(symbols, torch.full_like(index, expected))
    assert len(writer.levels()) == 2


def test_a_selector_codes_some_channels_and_leaves_zeros(tiny_codec: Codec) -> None:
    writer = SymbolWriter(tiny_codec.tables)
    chosen = [torch.tensor([True, False, True]), torch.tensor([False, False, False])]
    selector = Selector(writer, chosen)
    residual = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]])
    index = torch.tensor([[[1.0, 1.0], [9.0, 9.0], [2.0, 2.0]]])
    symbols = selector.code(0, index, given(residual))
    assert symbols.tolist() == [[[1, 2], [0, 0], [5, 6]]]
    corrections, coded = writer.levels()[0]
    assert len(corrections[1]) == 2
    uncorrected = coded[0] - 4 * np.repeat(corrections[1], 2)
    assert uncorrected.tolist() == [524, 524, 528, 528]
    assert coded[1].tolist() == [1, 2, 5, 6]
    assert not selector.code(1, index, given(residual)).any()

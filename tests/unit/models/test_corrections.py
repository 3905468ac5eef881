import math

import torch
from torch import Tensor

from hvae_codec.models.coders import SCALES, gaussian_bits, scale_of
from hvae_codec.models.corrections import CLASSES, REACH, choose, corrected, tables_of

OWN = torch.zeros(3, dtype=torch.long) - 1


def cost(tables: Tensor, symbols: Tensor) -> Tensor:
    """Gaussians of whole scale indices; corrections, under table -1, take 4 bits a step."""
    bits = gaussian_bits(symbols.double(), scale_of(tables.clamp_min(0)))
    return torch.where(tables < 0, 4.0 * symbols.abs(), bits)


def drawn(times: list[float], count: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    index = torch.full((len(times), count), 20)
    spread = scale_of(index) * torch.tensor(times)[:, None]
    symbols = (torch.randn(index.shape, generator=generator) * spread).round()
    channels = torch.arange(len(times))[:, None].expand_as(index)
    return channels.flatten(), index.flatten(), symbols.flatten()


def test_each_channel_gets_the_scale_that_it_has() -> None:
    step = (256 / 0.1) ** (1 / (SCALES - 1))
    found = choose(*drawn([1.0, step**2, 9.0], 2000), torch.add, OWN, cost)
    assert found.tolist() == [0, 2, REACH]


def test_few_symbols_are_not_worth_a_correction() -> None:
    assert choose(*drawn([1.3, 0.7, 1.0], 4), torch.add, OWN, cost).tolist() == [0, 0, 0]


def test_a_channel_without_symbols_is_left_alone() -> None:
    nothing = torch.zeros(0, dtype=torch.long)
    assert choose(nothing, nothing, nothing, torch.add, OWN, cost).tolist() == [0, 0, 0]


def test_signs_and_sizes_of_symbols_survive_being_gathered() -> None:
    seen = []

    def noted(tables: Tensor, symbols: Tensor) -> Tensor:
        seen.append((tables.tolist(), symbols.tolist()))
        return torch.zeros(len(symbols))

    largest = 2**20
    symbols = torch.tensor([-largest, 7, 7, largest, -1])
    channels, scales = torch.tensor([0, 0, 0, 1, 2]), torch.tensor([511, 3, 3, 0, 252])
    choose(channels, scales, symbols, lambda scales, by: scales, OWN, noted)
    assert ([3, 511, 0, 252], [7, -largest, largest, -1]) in seen


def test_context_tables_keep_their_fraction() -> None:
    tables = torch.tensor([[0.0, 8 * 30 + 5, 8 * 63 + 7]])
    assert corrected(tables, 2).tolist() == [[16, 8 * 32 + 5, 8 * 63 + 7]]
    assert corrected(tables, torch.tensor([-3])).tolist() == [[0, 8 * 27 + 5, 8 * 60 + 7]]


def test_classes_are_pairs_of_bit_lengths() -> None:
    counts = torch.arange(70_000)
    lengths = [int(math.log2(n)) + 1 if n else 0 for n in counts.tolist()]
    expected = [512 + min(length // 2, CLASSES - 1) for length in lengths]
    assert tables_of(counts).tolist() == expected

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hvae_codec.codec.weights import Codec
from hvae_codec.models.coders import SCALES
from hvae_codec.models.config import PRESETS, ModelConfig
from hvae_codec.models.dct_vae import DctVae
from hvae_codec.models.leaves import FloatGain
from hvae_codec.models.priors.masked_diffusion import steps_of
from hvae_codec.models.steps import BLACK, EVERYWHERE, WHITE, Part, pick, place, start_scales
from hvae_codec.models.trunk import parts_of


class Drawer:
    """Draws symbols, and notes what it was shown."""

    def __init__(self, seed: int = 0):
        self.generator = torch.Generator().manual_seed(seed)
        self.level = 0
        self.indices: list[Tensor] = []
        self.symbols: list[Tensor] = []

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        assert level in (self.level, self.level + 1)
        self.level = level
        self.indices.append(scale_index)
        drawn = torch.randint(-3, 4, scale_index.shape, generator=self.generator)
        self.symbols.append(drawn)
        return drawn.to(scale_index)


class Repeater(Drawer):
    """Gives the symbols of another walk again."""

    def __init__(self, first: Drawer):
        super().__init__()
        self.first = first

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        self.indices.append(scale_index)
        return self.first.symbols[len(self.indices) - 1].to(scale_index)


class Ones:
    """Symbols are one everywhere."""

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        return torch.ones_like(scale_index)


@pytest.mark.parametrize("config", [*PRESETS.values(), ModelConfig(checkerboard_levels=0)])
@pytest.mark.parametrize("order", [parts_of, steps_of])
def test_every_variable_is_coded_once(
    config: ModelConfig, order: Callable[[ModelConfig], list[Part]]
) -> None:
    channels = config.latent_channels if order is parts_of else config.context_channels
    count = torch.zeros(1, channels, 4, 4, dtype=torch.int64)
    for part in order(config):
        ones = torch.ones(1, part.stop - part.start, len(part.squares), dtype=torch.int64)
        count[:, part.start : part.stop] += place(ones, part.squares, 4, 4)
    assert (count == 1).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 1), (2, 2), (3, 5), (4, 6)])
def test_two_colours_make_a_board(size: tuple[int, int]) -> None:
    x = torch.arange(1.0, 1 + 6 * size[0] * size[1]).view(2, 3, *size)
    black, white = (place(pick(x, squares), squares, *size) for squares in (BLACK, WHITE))
    assert torch.equal(black + white, x)
    assert not (black * white).any()
    assert black[0, 0, 0, 0] == 1  # the corner is black, and no neighbours share a colour
    assert not (black[..., 1:] * black[..., :-1]).any()
    assert not (black[..., 1:, :] * black[..., :-1, :]).any()
    assert torch.equal(place(pick(x, EVERYWHERE), EVERYWHERE, *size), x)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 1), (2, 2), (3, 5), (4, 6)])
def test_zones_of_the_context_begin_far_apart(size: tuple[int, int]) -> None:
    x = torch.arange(1.0, 1 + 6 * size[0] * size[1]).view(2, 3, *size)
    turns = [part.squares for part in steps_of(PRESETS["tiny"])[:7]]
    boards = [place(pick(x, squares), squares, *size) for squares in turns]
    black = place(pick(x, BLACK), BLACK, *size)
    for first in (sum(boards[:2]), boards[4]):
        assert isinstance(first, Tensor)
        assert torch.equal(first[..., ::2, ::2], x[..., ::2, ::2])
    assert torch.equal(boards[0][..., ::4, ::4], x[..., ::4, ::4])
    assert torch.equal(boards[0] + boards[1] + boards[2], black)
    assert torch.equal(boards[4] + boards[5], black)
    for white in (boards[3], boards[6]):
        assert torch.equal(black + white, x)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 2), (3, 5)])
def test_a_walk_fills_every_latent(tiny_codec: Codec, size: tuple[int, int]) -> None:
    model, at = copy.deepcopy(tiny_codec.models[0]), torch.tensor([50])
    context = torch.zeros(1, model.config.context_channels, *size, dtype=torch.float64)
    drawer = Drawer()
    latents = model.latents(context, at, drawer)
    assert latents.shape == (1, model.config.latent_channels, 4 * size[0], 4 * size[1])
    assert sum(s.numel() for s in drawer.symbols) == latents.numel()
    for index in drawer.indices:
        assert index.min() >= 0
        assert index.max() <= SCALES - 1
    # one step more of every symbol: all latents change, the first level's by exactly one step,
    # where nothing is shown beside the middle
    model.reconstruction.offsets.data.zero_()
    more = model.latents(context, at, Ones())
    none = model.latents(context, at, Zeros())
    first = slice(0, model.config.level_channels[0])
    assert (more != none).float().mean() > 0.95
    black = torch.zeros(4 * size[0], 4 * size[1], dtype=torch.bool)
    black[0::2, 0::2] = black[1::2, 1::2] = True
    assert torch.equal((more - none)[0, first][:, black], torch.ones(8, int(black.sum())))


class Zeros:
    """Symbols are zero everywhere."""

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        return torch.zeros_like(scale_index)


def test_later_levels_know_earlier_ones(tiny_codec: Codec) -> None:
    model, at = tiny_codec.models[0], torch.tensor([50])
    context = torch.zeros(1, model.config.context_channels, 2, 2, dtype=torch.float64)
    one, other = Drawer(0), Drawer(1)
    model.latents(context, at, one)
    model.latents(context, at, other)
    assert torch.equal(one.indices[0], other.indices[0])
    assert not all(torch.equal(a, b) for a, b in zip(one.indices, other.indices, strict=True))


def test_tiles_do_not_see_each_other_in_a_batch(tiny_codec: Codec) -> None:
    model = tiny_codec.models[0]
    generator = torch.Generator().manual_seed(0)
    shape = (3, model.config.context_channels, 2, 3)
    context = torch.randint(-9, 10, shape, generator=generator).double()
    at = torch.tensor([0, 40, 100])
    together = Drawer()
    latents = model.latents(context, at, together)
    for k in range(3):
        alone = Drawer()
        alone.symbols = [s[k : k + 1] for s in together.symbols]
        repeated = Repeater(alone)
        assert torch.equal(
            model.latents(context[k : k + 1], at[k : k + 1], repeated), latents[k : k + 1]
        )
        for a, b in zip(repeated.indices, together.indices, strict=True):
            assert torch.equal(a, b[k : k + 1])


def test_frozen_trunk_follows_the_float_one(tiny_model: DctVae) -> None:
    # not to the bit, for rounding the weights is a change; near, or training would be in vain
    frozen = tiny_model.frozen()
    context = torch.zeros(1, tiny_model.config.context_channels, 2, 2)
    quality = torch.tensor([60])
    with torch.no_grad():
        drawer = Drawer()
        expected = tiny_model.latents(context, quality.float(), drawer)
        repeated = Repeater(drawer)
        latents = frozen.latents(context.double(), quality, repeated)
    assert (latents - expected).abs().mean() < 0.1  # steps
    for a, b in zip(drawer.indices, repeated.indices, strict=True):
        assert (a - b).abs().mean() < 1  # scale indices of 64


def test_scales_start_on_the_device_of_the_model() -> None:
    start_scales(FloatGain(6).to("meta"), torch.ones(3, device="meta"))

import copy

import pytest
import torch
from torch import Tensor

from hvae_codec.codec.config import LATENTS_A_SIDE
from hvae_codec.codec.symbols.scales import QUARTERS, SCALES
from hvae_codec.codec.symbols.schedule import ANCHORS, CodingStep
from hvae_codec.codec.symbols.walk import Prediction
from hvae_codec.models.dct_vae import DctVae
from hvae_codec.models.integer.layers import FloatGain
from hvae_codec.models.networks.quantizers import BitCounter
from hvae_codec.models.networks.step import StepNetwork, pick, place
from hvae_codec.models.weight_models import Weights


class Drawer:
    """Draws symbols, and notes what it was shown."""

    def __init__(self, seed: int = 0):
        self.generator = torch.Generator().manual_seed(seed)
        self.steps: list[CodingStep] = []
        self.predictions: list[Prediction] = []
        self.symbols: list[Tensor] = []

    def code(
        self, step: CodingStep, number: int, prediction: Prediction, residual: object
    ) -> Tensor:
        assert number == 0
        self.steps.append(step)
        self.predictions.append(prediction)
        self.symbols.append(self.decided(prediction.quarters.shape).to(prediction.quarters))
        return self.symbols[-1]

    def decided(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randint(-3, 4, shape, generator=self.generator)

    @property
    def quarters(self) -> list[Tensor]:
        return [prediction.quarters for prediction in self.predictions]


class Repeater(Drawer):
    """Gives the symbols of another walk again."""

    def __init__(self, symbols: list[Tensor]):
        super().__init__()
        self.given = symbols

    def decided(self, shape: tuple[int, ...]) -> Tensor:
        return self.given[len(self.symbols)]


class Same(Drawer):
    """Symbols have one value everywhere."""

    def __init__(self, value: float):
        super().__init__()
        self.value = value

    def decided(self, shape: tuple[int, ...]) -> Tensor:
        return torch.full(shape, self.value)


@pytest.fixture(scope="module")
def model(integer_weights: Weights) -> DctVae:
    return integer_weights.model_at(50)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 2), (3, 5)])
def test_a_walk_fills_every_latent(model: DctVae, size: tuple[int, int]) -> None:
    model, at = copy.deepcopy(model), torch.tensor([50])
    context = torch.zeros(1, model.config.context_channels, *size, dtype=torch.float64)
    drawer = Drawer()
    latents = model.code_latents(context, at, drawer)
    height, width = (LATENTS_A_SIDE * side for side in size)
    assert latents.shape == (1, model.config.latent_channels, height, width)
    assert sum(s.numel() for s in drawer.symbols) == latents.numel()
    assert tuple(drawer.steps) == model.latents.trunk.schedule
    for quarters in drawer.quarters:
        assert quarters.min() >= 0
        assert quarters.max() <= (SCALES - 1) * QUARTERS
        assert torch.equal(quarters, quarters.round())
    # one step more of every symbol: all latents change, the first level's by exactly one step,
    # where nothing is shown beside the middle
    model.latents.reconstruction.offsets.data.zero_()
    more, none = (model.code_latents(context, at, Same(value)) for value in (1.0, 0.0))
    first = slice(0, model.config.level_channels[0])
    assert (more != none).float().mean() > 0.95
    anchors = pick((more - none)[:, first], ANCHORS)
    assert anchors.numel() == 4 * height * width  # eight channels, half of the positions
    assert torch.equal(anchors, torch.ones_like(anchors))


def test_latents_are_shown_where_symbols_say_and_moved_by_the_reconstruction(
    model: DctVae,
) -> None:
    model, at = copy.deepcopy(model), torch.tensor([50])
    model.latents.reconstruction.offsets.data.fill_(-0.125)
    context = torch.ones(1, model.config.context_channels, 2, 2, dtype=torch.float64)
    drawer = Drawer()
    latents = model.code_latents(context, at, drawer)
    expected = torch.zeros_like(latents)
    for step, prediction, symbols in zip(
        drawer.steps, drawer.predictions, drawer.symbols, strict=True
    ):
        shown = prediction.mean + symbols - 0.125 * symbols.sign()
        expected[:, step.start : step.stop] += place(shown, step.squares, 8, 8)
    assert torch.equal(latents, expected)


def test_later_levels_know_earlier_ones(model: DctVae) -> None:
    at = torch.tensor([50])
    context = torch.zeros(1, model.config.context_channels, 2, 2, dtype=torch.float64)
    one, other = Drawer(0), Drawer(1)
    model.code_latents(context, at, one)
    model.code_latents(context, at, other)
    assert torch.equal(one.quarters[0], other.quarters[0])
    for a, b in zip(one.predictions[1:], other.predictions[1:], strict=True):
        assert not torch.equal(a.mean, b.mean)
    assert not all(torch.equal(a, b) for a, b in zip(one.quarters, other.quarters, strict=True))


def test_tiles_do_not_see_each_other_in_a_batch(model: DctVae) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (3, model.config.context_channels, 2, 3)
    context = torch.randint(-9, 10, shape, generator=generator).double()
    at = torch.tensor([0, 40, 100])
    together = Drawer()
    latents = model.code_latents(context, at, together)
    for k in range(3):
        own = slice(k, k + 1)
        repeated = Repeater([s[own] for s in together.symbols])
        assert torch.equal(model.code_latents(context[own], at[own], repeated), latents[own])
        for a, b in zip(repeated.predictions, together.predictions, strict=True):
            assert torch.equal(a.mean, b.mean[own])
            assert torch.equal(a.quarters, b.quarters[own])


def test_a_posterior_is_asked_with_what_decoders_know(model: DctVae) -> None:
    """Its residual comes back as it is: gathered where the step codes, on the means' board."""
    at = torch.tensor([50])
    context = torch.zeros(1, model.config.context_channels, 2, 2, dtype=torch.float64)
    targets = torch.randn(1, 140, 8, 8, generator=torch.Generator().manual_seed(0))
    states: list[Tensor] = []

    def aimed(step: CodingStep, h: Tensor, mean: Tensor) -> Tensor:
        assert torch.equal(place(pick(mean, step.squares), step.squares, 8, 8), mean)
        states.append(h)
        return targets[:, step.start : step.stop] - mean

    plain = copy.deepcopy(model)
    plain.latents.reconstruction.offsets.data.zero_()
    latents = plain.code_latents(context, at, BitCounter(), aimed)
    torch.testing.assert_close(latents, targets)
    assert len(states) == len(model.latents.trunk.schedule)


def test_the_integer_trunk_follows_the_float_one(tiny_model: DctVae, model: DctVae) -> None:
    # not to the bit, for rounding the weights is a change; near, or training would be in vain
    context = torch.zeros(1, tiny_model.config.context_channels, 2, 2)
    quality = torch.tensor([60])
    with torch.no_grad():
        drawer = Drawer()
        expected = tiny_model.code_latents(context, quality.float(), drawer)
        repeated = Repeater(drawer.symbols)
        latents = model.code_latents(context.double(), quality, repeated)
    assert (latents - expected).abs().mean() < 0.1  # steps
    for a, b in zip(drawer.quarters, repeated.quarters, strict=True):
        assert (a - b).abs().mean() < QUARTERS  # of 64 scale indices


def test_scales_start_on_the_device_of_the_model(model: DctVae) -> None:
    network = StepNetwork(8, model.latents.trunk.schedule[0], False, (0, 4))
    network.head_gain = FloatGain(16).to("meta")
    network.start_scales(torch.ones(8, device="meta"))

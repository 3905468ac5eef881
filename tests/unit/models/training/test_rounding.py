"""Filters rounded with compensation: on the lattice that ships, and nearer to what they were."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hvae_codec.codec.symbols.fixed_point import ACCUMULATOR_LIMIT, ACTIVATION_MAX, UNIT
from hvae_codec.models.dct_vae import DctVae
from hvae_codec.models.integer.fixed_point import channel_shifts
from hvae_codec.models.integer.layers import FloatConv
from hvae_codec.models.storage import from_arrays, is_eight_bit, restored, stored
from hvae_codec.models.training import rounding
from hvae_codec.models.training.losses import prior_bpp, run
from hvae_codec.models.training.rounding import round_filters
from tests.conftest import smooth_images

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rounded(tiny_model: DctVae) -> DctVae:
    model = copy.deepcopy(tiny_model)
    generator = torch.Generator().manual_seed(5)
    batches = [smooth_images(4, 128, generator).to(torch.uint8) for _ in range(3)]
    round_filters(model, batches, (20, 60))
    return model


def shipped(model: DctVae) -> dict[str, Tensor]:
    """What a weight file holds of a model, brought back to float."""
    integer = model.to_integer()
    for network in (integer.context, integer.latents):
        prefix = "context." if network is integer.context else "0."
        arrays: dict[str, np.ndarray] = {}
        for name, tensor in network.state_dict().items():
            arrays |= stored(prefix + name, tensor)
        network.load_state_dict(restored(from_arrays(arrays, prefix)))
    return integer.to_float().state_dict()


def test_export_finds_nothing_left_to_round(rounded: DctVae) -> None:
    theirs, ours = shipped(rounded), rounded.state_dict()
    in_integers = [f"{n}.weight" for n, m in rounded.named_modules() if isinstance(m, FloatConv)]
    in_eight_bits = [name for name in ours if is_eight_bit(name)]
    assert in_integers and in_eight_bits
    for name in in_integers:
        assert torch.equal(ours[name], theirs[name]), name
    for name in in_eight_bits:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-5, atol=0, msg=name)


def test_what_ships_in_float_stays(tiny_model: DctVae, rounded: DctVae) -> None:
    ours, before = rounded.state_dict(), tiny_model.state_dict()
    touched = {name for name in ours if not torch.equal(ours[name], before[name])}
    assert touched
    for name in touched:
        filters = name.removesuffix(".bias") + ".weight" if name.endswith(".bias") else name
        decides = filters.startswith(("context.prior", "latents.trunk."))
        assert decides or is_eight_bit(filters), name


def test_the_prior_sees_all_qualities(tiny_model: DctVae, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file has one for all models, whichever range each serves."""
    seen: dict[str, set[int]] = {"prior": set(), "trunk": set()}

    def watched_prior(prior: Any, context: Tensor, quality: Tensor, norm: Any) -> Tensor:  # noqa: ANN401
        seen["prior"] |= {*quality.int().tolist()}
        return prior_bpp(prior, context, quality, norm)

    def watched_run(*args: Any, **options: Any) -> Any:  # noqa: ANN401
        seen["trunk"] |= {*args[2].int().tolist()}
        return run(*args, **options)

    monkeypatch.setattr(rounding, "prior_bpp", watched_prior)
    monkeypatch.setattr(rounding, "run", watched_run)
    generator = torch.Generator().manual_seed(5)
    batches = [smooth_images(8, 128, generator).to(torch.uint8) for _ in range(3)]
    round_filters(copy.deepcopy(tiny_model), batches, (20, 30))
    assert min(seen["trunk"]) >= 20 and max(seen["trunk"]) <= 30
    assert min(seen["prior"]) < 20 and max(seen["prior"]) > 80


def inputs(channels: int, generator: torch.Generator) -> Tensor:
    """(16, channels, 16, 16), alike as activations are: smooth, and all but mixtures of four."""
    sources = torch.randn(4, 16 * 18 * 18, generator=generator)
    mixed = torch.randn(channels, 4, generator=generator) @ sources
    x = mixed.view(channels, 16, 18, 18).transpose(0, 1)
    x = nn.functional.avg_pool2d(x, 3, stride=1)
    return x + 0.1 * torch.randn(x.shape, generator=generator)


def error_of(conv: nn.Module, reference: nn.Module, x: Tensor) -> float:
    return (conv(x) - reference(x)).square().mean().item()


@pytest.mark.parametrize("kind", ["integers", "eight bits"])
def test_errs_less_than_rounding_to_the_nearest(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    if kind == "integers":
        conv: rounding.Filters = FloatConv(16, 24, 3)
        seen, unseen = (100 * inputs(16, generator)).chunk(2)
    else:
        conv = nn.Conv2d(16, 24, 3, padding=1)
        seen, unseen = inputs(16, generator).chunk(2)
    with torch.no_grad():
        conv.weight.copy_(torch.randn(conv.weight.shape, generator=generator) * 0.1)
        settled, nearest = copy.deepcopy(conv), copy.deepcopy(conv)
        largest = conv.weight.abs().amax(dim=(1, 2, 3), keepdim=True)
        if isinstance(conv, FloatConv):
            shift = channel_shifts(conv.weight, conv.bias * UNIT, conv.input_min)
            units = torch.exp2(-shift)[:, None, None, None]
        else:
            units = largest / 127
        nearest.weight.copy_(torch.round(conv.weight / units) * units)
        rounding._round(settled, rounding._gram(conv, seen, generator))
        steps = settled.weight / units
        torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-3)
        assert 0 < error_of(settled, conv, unseen) < 0.5 * error_of(nearest, conv, unseen)


def test_sums_stay_within_the_bound() -> None:
    """The finest units that the nearest integers allow may be too fine for others."""
    generator = torch.Generator().manual_seed(1)
    conv = FloatConv(64, 48, 3)
    most = ACCUMULATOR_LIMIT / ACTIVATION_MAX / 64  # what weights of six bits may sum to
    with torch.no_grad():
        conv.weight.copy_(0.5 + torch.rand(conv.weight.shape, generator=generator))
        conv.weight.mul_(0.9995 * most / conv.weight.sum(dim=(1, 2, 3), keepdim=True))
        x = 100 * inputs(64, generator)
        rounding._round(conv, rounding._gram(conv, x, generator))
        integer = conv.to_integer()
        integer.check("conv")
        shipped = integer.weight * torch.exp2(-integer.shift)[:, None, None, None]
    assert len(integer.shift.unique()) == 2  # some kept six bits
    assert torch.equal(shipped, conv.weight)

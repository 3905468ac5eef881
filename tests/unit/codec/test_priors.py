"""Every prior of the context through the real stack: what is pushed is popped, at its price."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

import hvae_codec
from hvae_codec.bitstream import (
    ArgumentError,
    EntropyCoder,
    Prior,
    bulk_words,
    read_index,
)
from hvae_codec.codec.config import PATCH_PX
from hvae_codec.codec.decoder import decode_file
from hvae_codec.codec.encoder import encode_pixels
from hvae_codec.codec.errors import BoundError, PayloadTooShort, WeightsError
from hvae_codec.codec.images import Pixels, to_pixels
from hvae_codec.codec.networks.weight_file import read_weight_file
from hvae_codec.codec.networks.weight_paths import WEIGHTS_VARIABLE
from hvae_codec.codec.networks.weights import Codec
from hvae_codec.codec.options import DecodeOptions, EncodeOptions
from hvae_codec.codec.quality.curve import step_of
from hvae_codec.codec.symbols.schedule import context_mask
from hvae_codec.codec.symbols.stack import AnsStack, CountingStack, Sampling, SamplingStack
from hvae_codec.codec.tiles.conditions import CodingConditions
from hvae_codec.codec.tiles.tile_encoder import encode_tiles, push_tile
from hvae_codec.codec.tiles.tiling import Window
from hvae_codec.models.dct_vae import ContextModel, DctVae
from hvae_codec.models.integer import convert
from hvae_codec.models.integer.norms import Norm
from hvae_codec.models.networks.dct import to_ycbcr
from hvae_codec.models.priors import DEFAULT_PRIOR, make_prior
from hvae_codec.models.priors.interface import ResearchPrior
from hvae_codec.models.priors.stack import TensorStack
from hvae_codec.models.training.contexts import float_norm
from hvae_codec.models.weight_models import load_weights
from tests.conftest import PRIORS_AT_HAND, torch_codec, weights_of
from tests.inverses import check_inverse
from tests.weight_files import save_without_graphs

Integers = NDArray[np.int32]
OTHERS = tuple(name for name in PRIORS_AT_HAND if name != DEFAULT_PRIOR)
PRIORS = [p for p in Prior if p.label in OTHERS]
BASELINES = [p for p in PRIORS if p.label in ("factorised", "mixture", "vamp")]
SIZES = [(1, 1), (1, 3), (4, 5)]


def with_every_prior(model: DctVae, photograph: np.ndarray) -> DctVae:
    """An integer model with priors that start from a photograph and are fitted no further."""
    context = copy.copy(model.context)
    norm, rgb = float_norm(model), torch.tensor(photograph).permute(2, 0, 1)[None]
    rows, columns = (side // PATCH_PX * PATCH_PX for side in photograph.shape[:2])
    px = context.dct.analyse(to_ycbcr(rgb[..., :rows, :columns].float()))
    patches, priors = px[0].flatten(1).T / context.gain, dict(context.priors.items())
    for name in OTHERS:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            prior: Any = make_prior(name, model.config)
            prior.start_from(patches, norm.spread)
        priors[name] = convert.to_integer(prior)
    context._modules = {**context._modules, "priors": nn.ModuleDict(priors)}
    return DctVae(model.config, context, model.latents)


@pytest.fixture(scope="module")
def every_model(tiny_integers: DctVae, photograph: np.ndarray) -> DctVae:
    return with_every_prior(tiny_integers, photograph)


@pytest.fixture(scope="module")
def every_path(every_model: DctVae, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("priors") / "every.safetensors"
    return save_without_graphs(path, weights_of(every_model))


@pytest.fixture(scope="module")
def every_codec(every_path: Path) -> Codec:
    return torch_codec(read_weight_file(every_path))


def context_of(codec: Codec) -> ContextModel:
    return codec.research_priors.context


def largest(quality: int) -> int:
    """The largest symbol that pixels in 0...255 give at a quality."""
    return int(4096 / step_of(quality))


def drawn(codec: Codec, size: tuple[int, int], quality: int, seed: int, is_grey: bool) -> Integers:
    """A context of wild symbols, most of them small."""
    rng, shape = np.random.default_rng(seed), (codec.config.context_channels, *size)
    wild = rng.normal(size=shape) * 4 ** rng.normal(size=shape)
    u = np.rint(wild).clip(-largest(quality), largest(quality)).astype(np.int32)
    return u * context_mask(codec.config, is_grey)[:, None, None]


def round_trip(codec: Codec, kind: Prior, u: Integers, quality: int, is_grey: bool) -> float:
    """Push a context above other words and pop it again; returns the bits that it took."""
    conditions = CodingConditions(codec.config, quality, is_grey)
    size = (u.shape[1], u.shape[2])

    def push(coder: EntropyCoder) -> None:
        stack = AnsStack(coder, codec.tables.pmfs, is_encoder=True)
        codec.research_priors.push(kind.label, stack, u, conditions)
        assert stack.lowest <= bulk_words(coder)

    def pop(coder: EntropyCoder) -> NDArray[np.float32]:
        stack = AnsStack(coder, codec.tables.pmfs)
        found = codec.research_priors.pop(kind.label, stack, size, conditions)
        assert found.dtype == np.float32
        return found

    return check_inverse(push, pop, u)


@pytest.mark.parametrize("is_grey", [False, True])
@pytest.mark.parametrize(
    "size", [SIZES[0], *(pytest.param(s, marks=pytest.mark.slow) for s in SIZES[1:])]
)
@pytest.mark.parametrize("kind", PRIORS, ids=lambda kind: kind.label)
def test_what_is_pushed_is_popped(
    every_codec: Codec, kind: Prior, size: tuple[int, int], is_grey: bool
) -> None:
    for quality in (0, 37, 100):
        u = drawn(every_codec, size, quality, quality, is_grey)
        assert round_trip(every_codec, kind, u, quality, is_grey) > 0


@given(
    kind=st.sampled_from(BASELINES),
    rows=st.integers(1, 3),
    columns=st.integers(1, 3),
    quality=st.integers(0, 100),
    seed=st.integers(0, 2**31),
    is_grey=st.booleans(),
)
@settings(max_examples=30)
def test_whatever_is_pushed_is_popped(
    every_codec: Codec, kind: Prior, rows: int, columns: int, quality: int, seed: int, is_grey: bool
) -> None:
    u = drawn(every_codec, (rows, columns), quality, seed, is_grey)
    round_trip(every_codec, kind, u, quality, is_grey)


def from_prior(codec: Codec, kind: Prior, size: tuple[int, int], quality: int) -> Integers:
    """A context that the prior itself draws."""
    draws = SamplingStack(codec.tables.pmfs, Sampling(seed=1))
    conditions = CodingConditions(codec.config, quality, is_grey=False)
    return codec.research_priors.pop(kind.label, draws, size, conditions).astype(np.int32)


def bits_of(codec: Codec, kind: Prior, u: Integers, quality: int) -> float:
    """What the prior says that a context takes."""
    context = context_of(codec)
    with torch.inference_mode():
        prior: Any = context.priors[kind.label]
        at = torch.tensor([quality])
        return float(prior.bits(torch.tensor(u)[None].float(), at, context.norm).sum())


@pytest.mark.parametrize("quality", [10, 50, 90])
@pytest.mark.parametrize("kind", BASELINES, ids=lambda kind: kind.label)
def test_a_context_takes_what_its_prior_says(every_codec: Codec, kind: Prior, quality: int) -> None:
    u = from_prior(every_codec, kind, (8, 8), quality)
    counted = CountingStack(every_codec.tables.pmfs)
    conditions = CodingConditions(every_codec.config, quality, is_grey=False)
    every_codec.research_priors.push(kind.label, counted, u, conditions)
    spent = round_trip(every_codec, kind, u, quality, False)
    assert spent == pytest.approx(counted.bits, rel=0.001, abs=64)
    # scales are rounded to 13 % and means to eighths, and one component stands for all
    assert spent == pytest.approx(bits_of(every_codec, kind, u, quality), rel=0.02, abs=64)


@pytest.mark.parametrize("kind", PRIORS, ids=lambda kind: kind.label)
@pytest.mark.parametrize("is_grey", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_file_names_its_prior_and_decodes_by_it(
    every_codec: Codec, photograph: np.ndarray, kind: Prior, is_grey: bool
) -> None:
    pixels = photograph[:100, 200:330]
    pixels = to_pixels(pixels[..., 1].copy() if is_grey else pixels)
    # bits-back borrows from the latents, which must be many
    quality, tile = (95, 32) if kind is Prior.GAUSSIAN_DIFFUSION else (50, 2)
    usual, data = (
        encode_pixels(
            every_codec,
            pixels,
            quality,
            EncodeOptions(tile_px=tile * PATCH_PX, prior=p.label, content="photo"),
        )
        for p in (Prior.MASKED_DIFFUSION, kind)
    )
    index = read_index(data)
    assert index.header.prior == kind
    one = decode_file(every_codec, data, index).samples
    assert np.array_equal(one, decode_file(every_codec, usual, read_index(usual)).samples)


@pytest.mark.parametrize("kind", BASELINES, ids=lambda kind: kind.label)
def test_a_prior_of_one_quality_gets_no_map(
    every_path: Path, tiny_in_use: Path, kind: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(every_path))
    picture = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    picture[:32] = 244  # a sky above noise: the eye would want it better
    data = hvae_codec.encode(picture, 40, prior=kind.label, content="photo")
    assert read_index(data).quality_map is None
    assert hvae_codec.decode(data).size == (96, 96)
    with pytest.raises(ArgumentError, match="one quality a file"):
        hvae_codec.encode(picture, 40, prior=kind.label, roi=np.zeros((2, 2), np.uint8))


def test_a_prior_that_is_not_there_is_named(tiny_codec: Codec, photograph: np.ndarray) -> None:
    with pytest.raises(WeightsError, match="no prior vamp, only masked-diffusion"):
        encode_pixels(
            tiny_codec, to_pixels(photograph[:32, :32]), 50, EncodeOptions(prior=Prior.VAMP.label)
        )
    with pytest.raises(WeightsError, match="prior flow is not one of"):
        make_prior("flow", tiny_codec.config)


@pytest.mark.skipif("factorised" not in OTHERS, reason="CompressAI fits it")
def test_a_context_that_no_pixels_give_is_refused(every_codec: Codec) -> None:
    u = np.full((every_codec.config.context_channels, 1, 1), 9999, np.int32)
    with pytest.raises(ArgumentError, match="outside"):
        round_trip(every_codec, Prior.FACTORISED, u, 50, False)


INTEGERS = [
    "factorised.densities.cumulative",
    "factorised.densities.steps",
    "mixture.components.masses",
    "vamp.components.means",
    "vamp.components.indices",
]


@pytest.mark.parametrize("broken", [i for i in INTEGERS if i.partition(".")[0] in OTHERS])
def test_integers_out_of_range_are_refused(every_model: DctVae, broken: str) -> None:
    priors = copy.deepcopy(every_model.context.priors)
    convert.check(priors)
    priors.get_buffer(broken).view(-1)[0] -= 2**25
    with pytest.raises(BoundError):
        convert.check(priors)


@pytest.mark.parametrize("kind", BASELINES, ids=lambda kind: kind.label)
def test_coefficients_cost_as_many_bits_more_as_their_step_is_finer(
    every_codec: Codec, kind: Prior
) -> None:
    u = from_prior(every_codec, kind, (6, 6), 100)
    finer = step_of(90) / step_of(100)
    again = np.floor(u / finer + 0.5).astype(np.int32)
    bits = bits_of(every_codec, kind, u, 100) - bits_of(every_codec, kind, again, 90)
    assert 0.5 < bits / u.size / np.log2(finer) < 1.02


def test_weights_with_priors_are_saved_whole(every_path: Path, every_model: DctVae) -> None:
    context = load_weights(every_path).context
    assert tuple(context.priors) == (DEFAULT_PRIOR, *OTHERS)
    for name, values in every_model.context.state_dict().items():
        assert torch.equal(context.state_dict()[name], values), name
    assert tuple(every_model.to_float().context.priors) == (DEFAULT_PRIOR,)


class BitsBack(nn.Module):
    """Takes symbols from what lies on the stack before it codes, as bits-back does, far down."""

    def __init__(self, inner: ResearchPrior):
        super().__init__()
        self.inner, self.masses = inner, torch.full((400, 256), 2**16)

    def push(
        self, stack: TensorStack, u: Tensor, quality: Tensor, norm: Norm, mask: Tensor
    ) -> None:
        extra = stack.pop_under(self.masses)
        self.inner.push(stack, u, quality, norm, mask)
        stack.push_under(self.masses, extra)

    def pop(
        self, stack: TensorStack, size: tuple[int, int], quality: Tensor, norm: Norm, mask: Tensor
    ) -> Tensor:
        extra = stack.pop_under(self.masses)
        u = self.inner.pop(stack, size, quality, norm, mask)
        stack.push_under(self.masses, extra)
        return u


def test_bits_back_needs_the_words_that_it_reached_into(
    every_codec: Codec, photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    priors = context_of(every_codec).priors
    bits_back = nn.ModuleDict({**dict(priors.items()), "vamp": BitsBack(priors["mixture"])})  # type: ignore[arg-type]
    monkeypatch.setitem(context_of(every_codec)._modules, "priors", bits_back)
    pixels = to_pixels(photograph[:160, :160])
    data, usual = (
        encode_pixels(every_codec, pixels, 80, EncodeOptions(prior=p.label))
        for p in (Prior.VAMP, Prior.MIXTURE)
    )
    assert abs(len(data) - len(usual)) <= 8  # what it took came back
    index = read_index(data)
    needed = 4 * np.cumsum(index.level_words[0])
    assert needed[0] >= 400
    assert needed[0] > 4 * read_index(usual).level_words[0, 0]
    for levels, end in enumerate(needed.tolist()):
        cut, options = data[: index.begin + end], DecodeOptions(levels=levels)
        one = decode_file(every_codec, cut, index, options).samples
        assert np.array_equal(one, decode_file(every_codec, data, index, options).samples)
    assert np.array_equal(
        decode_file(every_codec, data, index).samples,
        decode_file(every_codec, usual, read_index(usual)).samples,
    )


def test_bits_back_that_finds_too_few_is_refused(
    every_codec: Codec, photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    priors = context_of(every_codec).priors
    bits_back = nn.ModuleDict({**dict(priors.items()), "vamp": BitsBack(priors["mixture"])})  # type: ignore[arg-type]
    monkeypatch.setitem(context_of(every_codec)._modules, "priors", bits_back)
    flat = to_pixels(np.full((32, 32, 3), 128, np.uint8))
    with pytest.raises(PayloadTooShort, match="fewer than this prior of the context borrows"):
        encode_pixels(every_codec, flat, 10, EncodeOptions(prior=Prior.VAMP.label, content="photo"))


@pytest.mark.slow
@pytest.mark.parametrize("level", [0, 255])
def test_a_search_stays_within_what_pixels_can_give(every_codec: Codec, level: int) -> None:
    pixels = Pixels(np.full((64, 64, 3), level, np.uint8))
    conditions = CodingConditions(every_codec.config, 30, is_grey=False)
    (symbols,) = encode_tiles(every_codec, pixels, [Window(0, 0, 2, 2)], conditions, effort=2)
    assert np.abs(symbols.context).max() <= largest(30) + 1  # rounded up
    push_tile(every_codec, 0, symbols, prior=Prior.FACTORISED)

"""Every prior of the context through the real stack: what is pushed is popped, at its price."""

import copy
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hvae_codec.bitstream import InvalidField, Prior, bulk_words, coder_of, read_index, words_of
from hvae_codec.codec.decoder import decode_file
from hvae_codec.codec.encoder import encode_pixels, tile_symbols, write_tile
from hvae_codec.codec.grey import coded_context
from hvae_codec.codec.images import Pixels, to_pixels
from hvae_codec.codec.sampling import Draws, Sampling
from hvae_codec.codec.symbols import AnsStack, Ledger
from hvae_codec.codec.tiling import Window
from hvae_codec.codec.view import view_of
from hvae_codec.codec.weights import Codec, load_codec
from hvae_codec.models.config import PATCH_PX
from hvae_codec.models.dct import to_ycbcr
from hvae_codec.models.dct_vae import DctVae
from hvae_codec.models.errors import BoundError, WeightsError
from hvae_codec.models.leaves import FLOAT, check
from hvae_codec.models.priors import OTHERS, prior_kind
from hvae_codec.models.priors.interface import ContextPrior, Norm, SymbolStack
from hvae_codec.models.quality import step_of
from hvae_codec.models.training.contexts import float_norm
from hvae_codec.models.weights import save_weights

PRIORS = [Prior.MASKED_DIFFUSION, *(p for p in Prior if p.label in OTHERS)]
BASELINES = [p for p in PRIORS if p.label in ("factorised", "mixture", "vamp")]
SIZES = [(1, 1), (1, 3), (4, 5)]


def with_every_prior(model: DctVae, photograph: np.ndarray) -> DctVae:
    """A frozen model with priors that start from a photograph and are fitted no further."""
    pytest.importorskip("compressai")
    norm, rgb = float_norm(model), torch.tensor(photograph).permute(2, 0, 1)[None]
    rows, columns = (side // PATCH_PX * PATCH_PX for side in photograph.shape[:2])
    px = model.dct.analyse(to_ycbcr(rgb[..., :rows, :columns].float()))
    patches = px[0].flatten(1).T / model.context_gain
    for name in OTHERS:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            prior = prior_kind(name)(model.config, FLOAT)
            prior.start_from(patches, norm.spread)  # type: ignore[operator]
        model = model.with_prior(name, prior)
    return model


@pytest.fixture(scope="module")
def every_codec(
    tiny_codec: Codec,
    photograph: np.ndarray,
    tables: dict[str, np.ndarray],
    tmp_path_factory: pytest.TempPathFactory,
) -> Codec:
    path = tmp_path_factory.mktemp("priors") / "every.safetensors"
    save_weights(path, [with_every_prior(tiny_codec.models[0], photograph)], [0], tables)
    return load_codec(path)


def largest(quality: int) -> int:
    """The largest symbol that pixels in 0...255 give at a quality."""
    return int(4096 / float(step_of(torch.tensor(quality))))


def drawn(codec: Codec, size: tuple[int, int], quality: int, seed: int, is_grey: bool) -> Tensor:
    """A context of wild symbols, most of them small."""
    generator = torch.Generator().manual_seed(seed)
    shape = 1, codec.config.context_channels, *size
    wild = torch.randn(shape, generator=generator) * 4 ** torch.randn(shape, generator=generator)
    u = wild.round().double().clamp(-largest(quality), largest(quality))
    return u * coded_context(codec.config, is_grey)[:, None, None]


def round_trip(codec: Codec, kind: Prior, u: Tensor, quality: int, is_grey: bool) -> float:
    """Push a context above other words and pop it again; returns the bits that it took."""
    prior, norm = codec.prior(kind), codec.norm
    at, coded = torch.tensor([quality]), coded_context(codec.config, is_grey)
    below = np.random.default_rng(5).integers(1, 2**32, 50, np.uint32)
    coder = coder_of(below)
    before = coder.num_valid_bits()
    stack = AnsStack(coder, codec.tables)
    with torch.inference_mode():
        prior.push(stack, u, at, norm, coded)
        assert stack.lowest <= bulk_words(coder)
        again = coder_of(words_of(coder))
        found = prior.pop(AnsStack(again, codec.tables), (u.shape[2], u.shape[3]), at, norm, coded)
    assert found.dtype == torch.float64
    assert torch.equal(found, u)
    assert np.array_equal(words_of(again), below)
    return coder.num_valid_bits() - before


@pytest.mark.parametrize("is_grey", [False, True])
@pytest.mark.parametrize("size", SIZES)
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
@settings(max_examples=30, deadline=None)
def test_whatever_is_pushed_is_popped(
    every_codec: Codec, kind: Prior, rows: int, columns: int, quality: int, seed: int, is_grey: bool
) -> None:
    u = drawn(every_codec, (rows, columns), quality, seed, is_grey)
    round_trip(every_codec, kind, u, quality, is_grey)


def from_prior(codec: Codec, kind: Prior, size: tuple[int, int], quality: int) -> Tensor:
    """A context that the prior itself draws."""
    draws, norm = Draws(codec.tables, Sampling(seed=1)), codec.norm
    every = coded_context(codec.config, False)
    return codec.prior(kind).pop(draws, size, torch.tensor([quality]), norm, every)


@pytest.mark.parametrize("quality", [10, 50, 90])
@pytest.mark.parametrize("kind", BASELINES, ids=lambda kind: kind.label)
def test_a_context_takes_what_its_prior_says(every_codec: Codec, kind: Prior, quality: int) -> None:
    norm, at = every_codec.norm, torch.tensor([quality])
    u = from_prior(every_codec, kind, (8, 8), quality)
    every = coded_context(every_codec.config, False)
    with torch.inference_mode():
        bound = float(every_codec.prior(kind).bits(u.float(), at, norm).sum())
        ledger = Ledger(every_codec.tables)
        every_codec.prior(kind).push(ledger, u, at, norm, every)
    spent = round_trip(every_codec, kind, u, quality, False)
    assert spent == pytest.approx(ledger.bits, rel=0.001, abs=64)
    # scales are rounded to 13 % and means to eighths, and one component stands for all
    assert spent == pytest.approx(bound, rel=0.02, abs=64)


@pytest.mark.parametrize("kind", BASELINES, ids=lambda kind: kind.label)
def test_a_file_names_its_prior_and_decodes_by_it(
    every_codec: Codec, photograph: np.ndarray, kind: Prior
) -> None:
    pixels = to_pixels(photograph[:100, 200:330])
    usual, data = (
        encode_pixels(every_codec, pixels, 50, tile=2, prior=p) for p in (PRIORS[0], kind)
    )
    index = read_index(data)
    assert index.header.prior == kind
    one = decode_file(every_codec, data, index, view_of(index.header)).samples
    index = read_index(usual)
    assert np.array_equal(
        one, decode_file(every_codec, usual, index, view_of(index.header)).samples
    )


def test_a_prior_that_is_not_there_is_named(tiny_codec: Codec, photograph: np.ndarray) -> None:
    with pytest.raises(WeightsError, match="no prior vamp, only masked-diffusion"):
        encode_pixels(tiny_codec, to_pixels(photograph[:32, :32]), 50, prior=Prior.VAMP)
    with pytest.raises(WeightsError, match="prior flow is not one of"):
        prior_kind("flow")


def test_a_context_that_no_pixels_give_is_refused(every_codec: Codec) -> None:
    u = torch.full((1, every_codec.config.context_channels, 1, 1), 9999.0)
    with pytest.raises(InvalidField, match="outside"):
        round_trip(every_codec, Prior.FACTORISED, u.double(), 50, False)


@pytest.mark.parametrize(
    "broken", ["factorised.densities.cumulative", "mixture.components.masses",
               "vamp.components.means", "vamp.components.indices", "factorised.densities.steps"],
)  # fmt: skip
def test_integers_out_of_range_are_refused(
    tiny_codec: Codec, photograph: np.ndarray, broken: str
) -> None:
    model = with_every_prior(tiny_codec.models[0], photograph)
    check(model.entropy)
    model.entropy.priors.get_buffer(broken).view(-1)[0] -= 2**25
    with pytest.raises(BoundError):
        check(model.entropy)


@pytest.mark.parametrize("kind", BASELINES, ids=lambda kind: kind.label)
def test_coefficients_cost_as_many_bits_more_as_their_step_is_finer(
    every_codec: Codec, kind: Prior
) -> None:
    model, fine, coarse = every_codec.models[0], torch.tensor([100]), torch.tensor([90])
    u = from_prior(every_codec, kind, (6, 6), 100)
    again = torch.floor(u * model.context_steps(fine) / model.context_steps(coarse) + 0.5)
    bits = [
        float(every_codec.prior(kind).bits(context.float(), at, model.entropy.norm).sum())
        for context, at in ((u, fine), (again, coarse))
    ]
    finer = float(torch.log2(step_of(coarse) / step_of(fine)))
    assert 0.5 < (bits[0] - bits[1]) / u.numel() / finer < 1.02


def test_weights_with_priors_are_saved_whole(every_codec: Codec, tmp_path: Path) -> None:
    model = every_codec.models[0]
    assert tuple(model.entropy.priors) == ("masked-diffusion", *OTHERS)
    for one, other in itertools.pairwise([model, model.thawed()]):
        assert one.config.other_priors and not other.config.other_priors


class BitsBack(nn.Module):
    """Takes symbols from what lies on the stack before it codes, as bits-back does, far down."""

    def __init__(self, inner: ContextPrior):
        super().__init__()
        self.inner, self.masses = inner, torch.full((400, 256), 2**16)

    def push(
        self, stack: SymbolStack, u: Tensor, quality: Tensor, norm: Norm, coded: Tensor
    ) -> None:
        extra = stack.pop_under(self.masses)
        self.inner.push(stack, u, quality, norm, coded)
        stack.push_under(self.masses, extra)

    def pop(
        self, stack: SymbolStack, size: tuple[int, int], quality: Tensor, norm: Norm, coded: Tensor
    ) -> Tensor:
        extra = stack.pop_under(self.masses)
        u = self.inner.pop(stack, size, quality, norm, coded)
        stack.push_under(self.masses, extra)
        return u


@pytest.mark.parametrize("side", [32, 160])  # of one patch, whose stack is popped dry, and of 25
def test_bits_back_needs_the_words_that_it_reached_into(
    every_codec: Codec, photograph: np.ndarray, side: int
) -> None:
    model = copy.deepcopy(every_codec.models[0])
    model.entropy.priors["vamp"] = BitsBack(model.entropy.prior)
    codec, pixels = replace(every_codec, models=(model,)), to_pixels(photograph[:side, :side])
    data, usual = (encode_pixels(codec, pixels, 80, prior=p) for p in (Prior.VAMP, PRIORS[0]))
    assert abs(len(data) - len(usual)) <= 8  # what it took came back
    index = read_index(data)
    needed = 4 * np.cumsum(index.level_words[0])
    assert needed[0] >= min(400, needed[-1])
    for levels, end in enumerate(needed.tolist()):
        cut, view = data[: index.begin + end], view_of(index.header)
        one = decode_file(codec, cut, index, view, levels=levels).samples
        assert np.array_equal(one, decode_file(codec, data, index, view, levels=levels).samples)
    assert np.array_equal(
        decode_file(codec, data, index, view_of(index.header)).samples,
        decode_file(codec, usual, read_index(usual), view_of(index.header)).samples,
    )


@pytest.mark.parametrize("level", [0, 255])
def test_a_search_stays_within_what_pixels_can_give(every_codec: Codec, level: int) -> None:
    pixels = Pixels(np.full((64, 64, 3), level, np.uint8))
    symbols = tile_symbols(every_codec, pixels, Window(0, 0, 2, 2), 30, effort=2)
    assert symbols.context.abs().max() <= largest(30) + 1  # rounded up
    write_tile(every_codec, 0, symbols, prior=Prior.FACTORISED)


def test_deciding_saves_bits_by_rounding_to_the_other_side(
    tiny_codec: Codec, photograph: np.ndarray
) -> None:
    model, at = tiny_codec.models[0], torch.tensor([30])
    prior, norm = model.entropy.prior, tiny_codec.norm
    coded = coded_context(model.config, is_grey=False)
    rgb = torch.tensor(photograph).permute(2, 0, 1)[None, :, :128, :128].float()
    exact = model.exact_context(to_ycbcr(rgb), at)
    decided, slices = prior.decide(exact, at, norm, coded)
    nearest = torch.floor(exact + 0.5).double()
    assert torch.equal(decided, decided.round())
    assert 0 < (decided != nearest).sum() < decided.numel() / 10
    assert (decided - exact).abs().max() < 1
    ledgers = [Ledger(tiny_codec.tables) for _ in range(3)]
    prior.push(ledgers[0], nearest, at, norm, coded)
    prior.push(ledgers[1], decided, at, norm, coded)
    prior.push_slices(ledgers[2], slices, decided, coded)
    assert ledgers[1].bits < ledgers[0].bits
    for one, other in zip(ledgers[1].pairs, ledgers[2].pairs, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))

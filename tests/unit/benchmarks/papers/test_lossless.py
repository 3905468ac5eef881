from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hvae_codec.benchmarks.papers import lossless
from hvae_codec.benchmarks.papers.bins import Bins
from hvae_codec.benchmarks.papers.codes import code_of
from hvae_codec.benchmarks.papers.data import ImageSet, drawn
from hvae_codec.benchmarks.papers.lossless import Lossless, measure
from hvae_codec.benchmarks.papers.pixels import pop_pixels, push_pixels
from hvae_codec.bitstream import EntropyCoder, coder_of, words_of
from hvae_codec.models.distributions import Normal
from hvae_codec.models.vae import Hvae, VaeConfig
from hvae_codec.models.vae.objectives import TrainConfig
from hvae_codec.models.vae.priors import Mixture
from hvae_codec.models.vae.training import Trainer, train
from tests.inverses import check_inverse

STROKES = drawn("mnist-static", train=200, test=40)
COLOURED = drawn("cifar10", train=60, test=12)
COLOUR: dict[str, Any] = {
    "image": (3, 32, 32),
    "likelihood": "logistic",
    "mixtures": 2,
    "latent_channels": 2,
}


def model(steps: int, images: ImageSet = STROKES, **changes: Any) -> Hvae:  # noqa: ANN401
    base: dict[str, Any] = {
        "scales": ((4, 1), (2, 1)),
        "width": 8,
        "hidden": 8,
        "blocks": 1,
        "context": "dct",
        "context_side": 3,
        "context_code": "lattice",
        "context_bits": 3,
        "prior": "gaussian",
        "components": 3,
        "diffusion_steps": 4,
        "diffusion_train_steps": 4,
        "diffusion_width": 8,
    }
    torch.manual_seed(0)
    found = Hvae(VaeConfig(**(base | changes)))
    found.fit(images.train_batches)
    config = TrainConfig(steps=steps, batch=16, rate=1e-2, last_rate=1e-3, warmup=5)
    train(Trainer(found, config, images))
    return found.eval()


def some_images(images: ImageSet = STROKES, count: int = 40) -> Tensor:
    return next(iter(images.batches("test", count, count)))


def codec_of(found: Hvae, images: ImageSet = STROKES) -> Lossless:
    return Lossless(found, images.batch(0, 32, 0))


def check_chain(codec: Lossless, x: Tensor) -> None:
    """A chain of images comes back, and the stack is what it was before."""
    pixels = (x * codec.levels).round().long()

    def push(coder: EntropyCoder) -> None:
        for image in pixels:
            codec.push(coder, image[None])

    def pop(coder: EntropyCoder) -> Tensor:
        return torch.cat([codec.pop(coder) for _ in pixels]).flip(0)

    check_inverse(push, pop, pixels, words=lossless.initial_words(codec, pixels))


@pytest.fixture(scope="module")
def bins() -> Bins:
    return Bins.build()


def words(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(1, 1 << 32, count, dtype=np.uint32)


def test_numbers_are_drawn_as_the_gaussian_says_and_go_back(bins: Bins) -> None:
    normal = Normal(torch.randn(1, 5000).double(), torch.randn(1, 5000).double() - 1)
    start = words(4000)
    coder = coder_of(start)
    z = bins.pop(coder, normal, 2.0**-7)
    scaled = (z - normal.mean) / normal.std
    # 5,000 numbers: five standard errors
    assert scaled.mean().item() == pytest.approx(0, abs=5 / 5000**0.5)
    assert scaled.std().item() == pytest.approx(1, abs=5 / 10_000**0.5)
    bins.push(coder, normal, 2.0**-7, z)
    assert np.array_equal(words_of(coder), start)


def test_a_number_costs_its_density(bins: Bins) -> None:
    width = 2.0**-6
    normal = Normal(torch.randn(1, 4000).double(), 0.5 * torch.randn(1, 4000).double())
    z = width * torch.round(normal.draw() / width)
    coder = coder_of(words(4))
    before = coder.num_valid_bits()
    bins.push(coder, normal, width, z)
    bits = coder.num_valid_bits() - before
    density = -(normal.log_density(z).item() / np.log(2) + 4000 * np.log2(width))
    assert bits == pytest.approx(density, rel=1e-3)


@pytest.mark.parametrize(
    "changes",
    [
        {"prior": "diffusion"},
        {"prior": "diffusion", "predict": "input"},  # DCT-VAE
        {"prior": "gaussian"},
        {"prior": "mixture"},
        {"prior": "diffusion", "context_code": "noise"},  # DVP-VAE itself
        {"prior": "mixture", "context_code": "noise", "context": "downsample"},
        {"prior": "normal", "context": "none"},
        {"prior": "vamp", "context": "none", "readout": "path"},
    ],
    ids=lambda changes: " ".join(changes.values()),
)
def test_a_chain_comes_back_exactly(changes: dict[str, Any]) -> None:
    check_chain(codec_of(model(5, **changes)), some_images(count=6))


def test_a_chain_in_colour_comes_back_exactly() -> None:
    codec = codec_of(model(3, COLOURED, **COLOUR, prior="mixture"), COLOURED)
    check_chain(codec, some_images(COLOURED, 3))


def test_numbers_far_off_come_back_too() -> None:
    """An untrained model leaves words on top that the next pop would trip over."""
    check_chain(codec_of(model(0, prior="diffusion", diffusion_steps=2)), some_images(count=20))


@pytest.mark.parametrize("prior", ["gaussian", pytest.param("mixture", marks=pytest.mark.slow)])
def test_bytes_are_the_bound(prior: str) -> None:
    found = measure(model(40, prior=prior), some_images(), STROKES.batch(0, 32, 0))
    assert found["exact"]
    # of 40 images: one sample of z each on the stack, eight in the bound, 3 % between them
    assert found["net_excess"] == pytest.approx(0, abs=0.03)
    assert found["bits_image"] > found["net_bits_image"]
    assert found["bytes"] * 8 == pytest.approx(found["bits_image"] * 40)


def test_bytes_in_colour_are_the_bound() -> None:
    x = some_images(COLOURED, 4)
    found = measure(model(3, COLOURED, **COLOUR), x, COLOURED.batch(0, 16, 0))
    assert found["exact"]
    assert found["net_excess"] == pytest.approx(0, abs=0.01)  # pixels are nearly all of it


@pytest.mark.slow
def test_a_diffusion_takes_no_more_than_its_bound() -> None:
    """It takes less where its few steps are far off: a far number costs an escape, no square."""
    found = measure(model(40, prior="diffusion"), some_images(), STROKES.batch(0, 32, 0))
    assert found["exact"]
    assert found["net_excess"] < 0.02


def test_a_mixture_costs_its_density(bins: Bins) -> None:
    """Bits-back: of the component no more is spent than z tells."""
    components = Normal(torch.randn(3, 40).double(), torch.full((3, 40), -0.5).double())
    mixture = Mixture(1, components, torch.log_softmax(torch.randn(3).double(), 0))
    code, width = code_of(mixture, 2.0**-8), 2.0**-8
    coder = coder_of(words(400))
    before, expected = coder.num_valid_bits(), 0.0
    for _ in range(50):
        z = width * torch.round(mixture.draw() / width)
        code.push(coder, z, code.take(coder, z))
        expected -= mixture.log_density(z).item() / np.log(2) + 40 * np.log2(width)
    assert coder.num_valid_bits() - before == pytest.approx(expected, rel=1e-3)


def test_levels_cost_their_probability() -> None:
    likelihood = model(0, COLOURED, **COLOUR).double().likelihood
    features = torch.randn(1, 8, 32, 32).double()
    pixels = torch.randint(0, 256, (1, 3, 32, 32))
    coder = coder_of(words(4))
    before = coder.num_valid_bits()
    with torch.no_grad():
        push_pixels(coder, likelihood, features, pixels)  # type: ignore[arg-type]
        expected = -likelihood.log_prob(pixels.double() / 255, features).item() / np.log(2)
        spent = coder.num_valid_bits() - before
        assert torch.equal(pop_pixels(coder, likelihood, features), pixels)  # type: ignore[arg-type]
    # levels of less than 2**-24 take no more than 24 bits
    assert spent == pytest.approx(expected, rel=1e-3)
    assert coder.num_valid_bits() == before


@pytest.mark.parametrize(
    "changes",
    [
        {"pixelcnn_layers": 1},
        {"inference": "serial", "readout": "bottom", "context": "none", "prior": "normal"},
    ],
)
def test_what_cannot_be_coded_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="needs a ladder, and pixels that are independent"):
        codec_of(model(0, **changes))

import numpy as np
import pytest
import torch
from torch import Tensor

from hvae_codec.benchmarks.papers import lossless
from hvae_codec.benchmarks.papers.bins import Bins
from hvae_codec.benchmarks.papers.data import drawn
from hvae_codec.benchmarks.papers.lossless import Lossless, measure
from hvae_codec.bitstream import coder_of, words_of
from hvae_codec.models.distributions import Normal
from hvae_codec.models.vae import Hvae, VaeConfig
from hvae_codec.models.vae.objectives import TrainConfig
from hvae_codec.models.vae.training import Trainer, train

IMAGES = drawn("mnist-static", train=200, test=40)


def model(steps: int, prior: str = "diffusion", **changes: object) -> Hvae:
    base = {
        "scales": ((4, 1), (2, 1)),
        "width": 8,
        "hidden": 8,
        "blocks": 1,
        "context": "dct",
        "context_side": 3,
        "context_code": "lattice",
        "context_bits": 3,
        "prior": prior,
        "diffusion_steps": 4,
        "diffusion_train_steps": 4,
        "diffusion_width": 8,
    }
    torch.manual_seed(0)
    found = Hvae(VaeConfig(**(base | changes)))  # type: ignore[arg-type]
    found.fit_context(IMAGES.contexts())
    config = TrainConfig(steps=steps, batch=16, rate=1e-2, last_rate=1e-3, warmup=5, ema=0.9)
    train(Trainer(found, config, IMAGES))
    return found.eval()


def some_images() -> Tensor:
    return next(iter(IMAGES.batches("test", 40, 40)))[0]


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


@pytest.mark.parametrize("prior", ["diffusion", "gaussian"])
def test_a_chain_comes_back_exactly(prior: str) -> None:
    codec = Lossless(model(20, prior), IMAGES.batch(0, 32, 0)[0])
    x = some_images()[:6].double()
    start = words(lossless.initial_words(codec, x))
    coder = coder_of(start)
    for image in x:
        codec.push(coder, image[None])
    back = coder_of(words_of(coder))
    for image in x.flip(0):
        assert torch.equal(codec.pop(back)[0], image)
    assert np.array_equal(words_of(back), start)


def test_bytes_are_the_bound() -> None:
    found = measure(model(40, "gaussian"), some_images(), IMAGES.batch(0, 32, 0)[0])
    assert found["exact"]
    # of 40 images: one sample of z each on the stack, eight in the bound, 3 % between them
    assert found["net_excess"] == pytest.approx(0, abs=0.03)
    assert found["bits_image"] > found["net_bits_image"]
    assert found["bytes"] * 8 == pytest.approx(found["bits_image"] * 40)


def test_a_diffusion_takes_no_more_than_its_bound() -> None:
    """It takes less where its few steps are far off: a far number costs an escape, no square."""
    found = measure(model(40), some_images(), IMAGES.batch(0, 32, 0)[0])
    assert found["exact"]
    assert found["net_excess"] < 0.02


def test_numbers_far_off_come_back_too() -> None:
    """An untrained model leaves words on top that the next pop would trip over."""
    found = model(0, diffusion_steps=2)
    x = some_images()[:20].double()
    codec = Lossless(found, IMAGES.batch(0, 32, 0)[0])
    start = words(4000)
    coder = coder_of(start)
    for image in x:
        codec.push(coder, image[None])
    back = coder_of(words_of(coder))
    for image in x.flip(0):
        assert torch.equal(codec.pop(back)[0], image)
    assert np.array_equal(words_of(back), start)


@pytest.mark.parametrize(
    "changes",
    [{"context_code": "noise"}, {"pixelcnn_layers": 1}, {"flow_steps": 1}, {"prior": "mixture"}],
)
def test_what_cannot_be_coded_is_refused(changes: dict[str, object]) -> None:
    prior = str(changes.pop("prior", "diffusion"))
    with pytest.raises(ValueError, match="needs a ladder with a context on a lattice"):
        Lossless(model(0, prior, **changes), IMAGES.batch(0, 4, 0)[0])

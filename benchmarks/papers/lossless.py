"""Lossless coding by bits-back: the bound of a model with continuous latents, as bytes.

    push one image                            pop it
      pop  u, z_L ... z_1  under q              pop  u, z_L ... z_1  under p
      push x               under p(x | z)       pop  x               under p(x | z)
      push z_1 ... z_L, u  under p              push z_1 ... z_L, u  under q

Each line on the right undoes one on the left, from the last to the first. Popping under q gets
back the bits that pushing under p spends, all but KL(q || p) of them (Frey 1997, Townsend 2019).
The walk is the model's own, with coders that pop. A context on a lattice is not popped: it is known
from the image. Mixtures and diffusions have parts of their own, which are popped together with
their variable (`codes`).

What lies on top of the stack are not always clean bits: a number that was far from its
distribution leaves words of which the next pop makes a number that is far off as well. So the top
of the stack is exchanged for its exclusive or with known bytes before an image, which costs nothing
and undoes itself.

Both sides compute q and p by the same float64 networks, one image at a time, and so get the same
numbers on one machine with one number of threads. Files are not portable.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...bitstream import EntropyCoder, coder_of, pop_under, push_under, words_of
from ...bitstream.escape import TOTAL
from ...models.distributions import Normal
from ...models.vae.coders import Distribution, Inference, Posterior
from ...models.vae.config import VaeConfig
from ...models.vae.ladder import Ladder
from ...models.vae.likelihoods import Independent
from ...models.vae.model import Hvae
from .bins import Bins
from .codes import Code, Parts, Width, code_of
from .pixels import levels, pop_pixels, push_pixels

WORD_BITS = 32
FINENESS = 4
"""Bins in a narrow deviation of q."""

BOUND_SAMPLES = 8

BYTE = np.full((1, 256), TOTAL >> 8)


class _Coded(NamedTuple):
    """A variable of the walk: how it is coded, and what is pushed of it."""

    code: Code
    z: Tensor
    parts: Parts


@dataclass
class _PopPosterior:
    """Pops each variable under q, and the parts that go with it."""

    coder: EntropyCoder
    widths: dict[int, Width]
    coded: list[_Coded] = field(default_factory=list)

    def code(self, layer: int, prior: Distribution, posterior: Callable[[], Posterior]) -> Tensor:
        q, width = posterior(), self.widths[layer]
        z = q.mean if q.gaussian is None else Bins.build().pop(self.coder, q.gaussian, width)
        code = code_of(prior, width)
        self.coded.append(_Coded(code, z, code.take(self.coder, z)))
        return z


@dataclass
class _PopPrior:
    """Pops each variable and its parts under p."""

    coder: EntropyCoder
    widths: dict[int, Width]
    coded: list[_Coded] = field(default_factory=list)

    def code(self, layer: int, prior: Distribution, posterior: Callable[[], Posterior]) -> Tensor:
        code = code_of(prior, self.widths[layer])
        self.coded.append(_Coded(code, *code.pop(self.coder)))
        return self.coded[-1].z


@dataclass
class _Known:
    """Takes known values, and keeps the posteriors with their layers."""

    values: list[Tensor]
    posteriors: list[tuple[int, Normal | None]] = field(default_factory=list)

    def code(self, layer: int, prior: Distribution, posterior: Callable[[], Posterior]) -> Tensor:
        self.posteriors.append((layer, posterior().gaussian))
        return self.values[len(self.posteriors) - 1]


class Lossless:
    """A model as a codec of images, integers (1, C, H, W) in 0...1 (Bernoulli) or 0...255.

    Raises:
        ValueError: the model is none that can be coded.
    """

    def __init__(self, model: Hvae, calibration: Tensor):
        config, likelihood = model.config, model.likelihood
        if not isinstance(model.hierarchy, Ladder) or not isinstance(likelihood, Independent):
            raise ValueError(
                "lossless coding needs a ladder, and pixels that are independent given z: "
                "Bernoulli or discretised logistics"
            )
        self.model, self.likelihood = model.double().eval(), likelihood
        self.levels = levels(likelihood)
        self.widths = _widths(self.model, calibration.double())
        self.known = np.random.default_rng(1).integers(0, 256, _most_numbers(config) // 2 + 16)

    @torch.no_grad()
    def push(self, coder: EntropyCoder, pixels: Tensor) -> None:
        """Push one image; pops from the stack on its way."""
        self._whiten(coder)
        latents = _PopPosterior(coder, self.widths)
        walked = self.model.infer(latents, pixels.double() / self.levels)
        push_pixels(coder, self.likelihood, walked.features, pixels)
        for code, z, parts in reversed(latents.coded):
            code.push(coder, z, parts)

    @torch.no_grad()
    def pop(self, coder: EntropyCoder) -> Tensor:
        """Pop the image that was pushed last."""
        latents = _PopPrior(coder, self.widths)
        walked = self.model.walk(latents, 1)
        pixels = pop_pixels(coder, self.likelihood, walked.features)
        known = _Known([z for _, z, _ in latents.coded])
        self.model.infer(known, pixels.double() / self.levels)
        for (layer, q), (code, z, parts) in zip(
            reversed(known.posteriors), reversed(latents.coded), strict=True
        ):
            code.give_back(coder, z, parts)
            if q is not None:
                Bins.build().push(coder, q, self.widths[layer], z)
        self._whiten(coder)
        return pixels

    def _whiten(self, coder: EntropyCoder) -> None:
        """Exchange the top of the stack for its exclusive or with known bytes; undoes itself."""
        push_under(coder, BYTE, pop_under(coder, BYTE, self.known.size) ^ self.known)


def _most_numbers(config: VaeConfig) -> int:
    """Return how many numbers an image pops at most, its latents and the parts of its prior."""
    latents = sum(math.prod(shape) for shape in config.latent_shapes)
    context = 0 if config.context == "none" else math.prod(config.context_shape)
    top = context or math.prod(config.latent_shapes[-1])
    chain = (config.diffusion_steps + 1) * top if config.prior == "diffusion" else 0
    return latents + context + chain


@torch.no_grad()
def _widths(model: Hvae, x: Tensor) -> dict[int, Width]:
    """Return the width of the bins of each layer: of a lattice that of its cells.

    Otherwise a power of two, `FINENESS` times finer than the narrowest twentieth of q's deviations.
    """
    inference, widths = Inference(), dict[int, Width]()
    model.infer(inference, x)
    for terms, posterior in zip(inference.terms, inference.posteriors, strict=True):
        if posterior.gaussian is not None:
            narrow = torch.quantile(posterior.gaussian.std.flatten()[:100_000], 0.05)
            widths[terms.layer] = 2.0 ** math.floor(math.log2(float(narrow) / FINENESS))
    if model.context is not None and model.context.cell is not None:
        widths[0] = model.context.cell.double().expand(model.config.context_shape)
    return widths


def initial_words(lossless: Lossless, pixels: Tensor) -> int:
    """Return how many words the stack needs beforehand, so that no pop finds it empty."""
    plenty = 1 << 14
    coder = _Watched(coder_of(_random_words(plenty)))
    for image in pixels[:20]:
        lossless.push(cast(EntropyCoder, coder), image[None])
    return plenty - coder.lowest + 4


class _Watched:
    """A stack that remembers how low it was."""

    def __init__(self, coder: EntropyCoder):
        self.coder, self.lowest = coder, coder.num_words()

    def decode(self, model: object, *params: Any) -> NDArray[np.int32]:  # noqa: ANN401
        found = self.coder.decode(model, *params)
        self.lowest = min(self.lowest, self.coder.num_words())
        return found

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all else is the stack's own
        return getattr(self.coder, name)


def _random_words(count: int) -> NDArray[np.uint32]:
    return np.random.default_rng(0).integers(1, 1 << 32, count, dtype=np.uint32)


def measure(model: Hvae, x: Tensor, calibration: Tensor) -> dict[str, Any]:
    """Code a chain of images x (B, C, H, W) in [0, 1], and decode it.

    Returns:
        `exact`: every image came back, and the stack as it was before. `bits_image` counts the
        whole stack, `net_bits_image` leaves the words out that lay there beforehand, and
        `elbo_bits_image` is the bound of these images; `excess` and `net_excess` relate them.
    """
    lossless = Lossless(model, calibration)
    pixels = (x.double() * lossless.levels).round().long()
    elbo = _bound_bits(lossless.model, pixels.double() / lossless.levels)
    start = _random_words(initial_words(lossless, pixels))
    coder = coder_of(start)
    for image in pixels:
        lossless.push(coder, image[None])
    words = words_of(coder)
    back = coder_of(words)
    exact = all(torch.equal(lossless.pop(back)[0], image) for image in pixels.flip(0))
    exact = exact and np.array_equal(words_of(back), start)
    bits = WORD_BITS * words.size / len(x)
    net = WORD_BITS * (words.size - start.size) / len(x)
    return {
        "images": len(x),
        "exact": exact,
        "bytes": 4 * words.size,
        "bits_image": bits,
        "net_bits_image": net,
        "elbo_bits_image": elbo,
        "excess": bits / elbo - 1,
        "net_excess": net / elbo - 1,
        "initial_bits": WORD_BITS * start.size,
    }


@torch.no_grad()
def _bound_bits(model: Hvae, x: Tensor) -> float:
    """Return the bound on -log2 p(x), in bits an image: the mean of a few samples of z."""
    bounds = [model.terms(part).log_weight for part in x.split(100) for _ in range(BOUND_SAMPLES)]
    return -float(torch.cat(bounds).mean()) / math.log(2)

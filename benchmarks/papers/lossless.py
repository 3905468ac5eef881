"""Lossless coding by bits-back: the bound of a model with continuous latents, as bytes.

    push one image                            pop it
      pop  z_L ... z_1   under q(z | x)         pop  u               under p(u)
      push x             under p(x | z)         pop  z_L ... z_1     under p(z | u)
      push z_1 ... z_L   under p(z | u)         pop  x               under p(x | z)
      push u             under p(u)             push z_1 ... z_L     under q(z | x)

Each line on the right undoes one on the left, from the last to the first. Popping under q gets
back the bits that pushing under p spends, all but KL(q || p) of them (Frey 1997, Townsend 2019).
The walk is the model's own, with a coder that pops. A diffusion over u has latents of its own,
which are popped together with z (`chain`).

What lies on top of the stack are not always clean bits: a number that was far from its
distribution leaves words of which the next pop makes a number that is far off as well. So the top
of the stack is exchanged for its exclusive or with known bytes before an image, which costs nothing
and undoes itself.

Both sides compute q and p by the same float64 networks, one image at a time on one thread, and
so get the same numbers on one machine. Files are not portable.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...bitstream import Coder, coder_of, pop_under, push_under, words_of
from ...models.distributions import Normal
from ...models.vae.coders import Distribution, Inference, Posterior
from ...models.vae.ladder import Ladder
from ...models.vae.likelihoods import Independent
from ...models.vae.model import Hvae, Walked
from ...models.vae.priors import Diffusion, LatticeNormal
from .bins import Bins
from .chain import Levels, give_back, pop_context, push_context, take

TOTAL_BITS = 24
WORD_BITS = 32
FINENESS = 4
"""Bins in a narrow deviation of q."""

BOUND_SAMPLES = 8

BYTE = np.full((1, 256), 1 << (TOTAL_BITS - 8))


@dataclass
class _Kept:
    """Priors and values of a walk, from the top to the bottom."""

    layers: list[tuple[Normal, Tensor]] = field(default_factory=list)
    context: Diffusion | LatticeNormal | None = None
    levels: Levels = field(default_factory=dict)


class _Pop:
    """Pops each z, and keeps both it and its prior: under q for a known u, under p without."""

    def __init__(self, lossless: Lossless, coder: Coder, u: Tensor | None):
        self.lossless, self.coder, self.u = lossless, coder, u
        self.kept = _Kept()

    def code(self, layer: int, prior: Distribution, posterior: Callable[[], Posterior]) -> Tensor:
        if layer == 0:
            assert isinstance(prior, Diffusion | LatticeNormal)
            self.kept.context = prior
            if self.u is not None:
                return self.u
            bins, step = self.lossless.bins, self.lossless.step
            u, self.kept.levels = pop_context(bins, self.coder, prior, step)
            return u
        assert isinstance(prior, Normal)
        normal = prior
        if self.u is not None:
            q = posterior().gaussian
            assert q is not None
            normal = q
        z = self.lossless.bins.pop(self.coder, normal, self.lossless.widths[layer])
        self.kept.layers.append((prior, z))
        return z


class _Ask:
    """Takes known values, and keeps the posteriors."""

    def __init__(self, values: list[Tensor]):
        self.values = values
        self.asked: list[Normal] = []

    def code(self, layer: int, prior: Distribution, posterior: Callable[[], Posterior]) -> Tensor:
        if layer:
            q = posterior().gaussian
            assert q is not None
            self.asked.append(q)
        return self.values[layer]


class Lossless:
    """A model as a codec of binary images.

    Raises:
        ValueError: the model is none that can be coded: it needs a ladder with a context on a
            lattice, Gaussian posteriors, and independent Bernoulli pixels.
    """

    def __init__(self, model: Hvae, calibration: Tensor):
        config = model.config
        fits = (
            isinstance(model.hierarchy, Ladder)
            and isinstance(model.likelihood, Independent)
            and config.likelihood == "bernoulli"
            and model.context is not None
            and model.context.step is not None
            and config.prior in ("normal", "gaussian", "diffusion")
            and not config.flow_steps
        )
        if not fits:
            raise ValueError(
                "lossless coding needs a ladder with a context on a lattice, Gaussian posteriors, "
                "and independent Bernoulli pixels"
            )
        self.model = model.double().eval()
        assert model.context is not None and model.context.step is not None
        self.step = model.context.step.double().expand(model.config.context_shape)
        self.bins = Bins.build()
        self.widths = _widths(self.model, calibration.double())

    def _whiten(self, coder: Coder) -> None:
        """Exchange the top of the stack for its exclusive or with known bytes; undoes itself."""
        config = self.model.config
        units = sum(math.prod(shape) for shape in config.latent_shapes)
        if config.prior == "diffusion":
            units += (config.diffusion_steps + 1) * math.prod(config.context_shape)
        known = np.random.default_rng(1).integers(0, 256, units // 2 + 16)
        push_under(coder, BYTE, pop_under(coder, BYTE, known.size) ^ known)

    @torch.no_grad()
    def push(self, coder: Coder, x: Tensor) -> None:
        """Push one image, (1, 1, H, W) of 0 and 1; pops from the stack on its way."""
        context = self.model.context
        assert context is not None
        u, _ = context.posterior(x).draw()
        self._whiten(coder)
        pops = _Pop(self, coder, u)
        walked = self._walk(pops, x)
        prior = pops.kept.context
        assert prior is not None
        levels = take(self.bins, coder, prior, u)
        push_under(coder, self._masses(walked), x.flatten().to(torch.int64).numpy())
        for layer in range(len(pops.kept.layers), 0, -1):
            normal, z = pops.kept.layers[layer - 1]
            self.bins.push(coder, normal, self.widths[layer], z)
        push_context(self.bins, coder, prior, self.step, u, levels)

    @torch.no_grad()
    def pop(self, coder: Coder) -> Tensor:
        """Pop the image that was pushed last, (1, 1, H, W)."""
        pops = _Pop(self, coder, None)
        walked = self.model.walk(pops, 1)
        side = self.model.config.image[1]
        pixels = pop_under(coder, self._masses(walked), side * side)
        x = torch.from_numpy(pixels.astype(np.float64)).view(1, 1, side, side)
        u, prior = walked.context, pops.kept.context
        assert u is not None and prior is not None
        give_back(self.bins, coder, prior, u, pops.kept.levels)
        asks = _Ask([u, *walked.latents])
        self._walk(asks, x)
        for layer in range(len(asks.asked), 0, -1):
            z = asks.values[layer]
            self.bins.push(coder, asks.asked[layer - 1], self.widths[layer], z)
        self._whiten(coder)
        return x

    def _walk(self, coder: Any, x: Tensor) -> Walked:  # noqa: ANN401 - a Coder of the walk
        return self.model.walk(coder, 1, self.model.hierarchy.encode(x))

    def _masses(self, walked: Walked) -> NDArray[np.int64]:
        """Return integer masses of 0 and 1 for each pixel, (n, 2), of sum 2**24."""
        likelihood = self.model.likelihood
        assert isinstance(likelihood, Independent)
        p = torch.sigmoid(likelihood.raw(walked.features)).flatten().numpy()
        total = 1 << TOTAL_BITS
        ones = np.rint(p * total).clip(1, total - 1).astype(np.int64)
        return np.stack([total - ones, ones], axis=1)


@torch.no_grad()
def _widths(model: Hvae, x: Tensor) -> list[float]:
    """Return the width of the bins of each layer, by number; the first is not used.

    A power of two, `FINENESS` times finer than the narrowest twentieth of q's deviations.
    """
    asks = _Spread()
    model.infer(asks, x)
    return [1.0, *(2.0 ** math.floor(math.log2(std / FINENESS)) for std in asks.narrow)]


class _Spread(Inference):
    """Inference that keeps the narrow deviations of each layer."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow: list[float] = []

    def code(self, layer: int, prior: Distribution, posterior: Callable[[], Posterior]) -> Tensor:
        if layer:
            q = posterior().gaussian
            assert q is not None
            self.narrow.append(float(torch.quantile(q.std.flatten()[:100_000], 0.05)))
        return super().code(layer, prior, posterior)


def initial_words(lossless: Lossless, x: Tensor) -> int:
    """Return how many words the stack needs beforehand, so that no pop finds it empty."""
    plenty = 1 << 14
    coder = _Watched(coder_of(_random_words(plenty)))
    for image in x[:20]:
        lossless.push(cast(Coder, coder), image[None])
    return plenty - coder.lowest + 4


class _Watched:
    """A stack that remembers how low it was."""

    def __init__(self, coder: Coder):
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
    """Code a chain of images x (B, 1, H, W), and decode it.

    Returns:
        `exact`: every image came back, and the stack as it was before. `bits_image` counts the
        whole stack, `net_bits_image` leaves the words out that lay there beforehand, and
        `elbo_bits_image` is the bound of these images; `excess` and `net_excess` relate them.
    """
    lossless, x = Lossless(model, calibration), x.double()
    with torch.no_grad():
        bounds = [lossless.model.terms(x).log_weight.mean() for _ in range(BOUND_SAMPLES)]
    elbo = -float(torch.stack(bounds).mean()) / math.log(2)
    start = _random_words(initial_words(lossless, x))
    coder = coder_of(start)
    for image in x:
        lossless.push(coder, image[None])
    words = words_of(coder)
    back = coder_of(words)
    exact = all(torch.equal(lossless.pop(back)[0], image) for image in x.flip(0))
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

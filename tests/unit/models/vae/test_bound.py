"""The weights and the bound of every kind of model, beside p(x) by quadrature.

Models have a unit or two a layer, so that p(x) = sum over a grid of p(u) p(z | u) p(x | z) is exact
to many digits. It sees nothing of the posteriors. Images are all 16 of 2x2 binary pixels.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hvae_codec.models import diffusion
from hvae_codec.models.vae import Hvae, VaeConfig, contexts
from hvae_codec.models.vae.coders import Distribution, Posterior
from hvae_codec.models.vae.priors import DiffusionPrior, VampPrior
from hvae_codec.models.vae.serial import Serial

STEP = 0.6
GRID = STEP * torch.arange(-12, 13).double()
"""Of every unit. The trapezoid rule on it is exact to 1e-6 for deviations of a half or more."""

IMAGES = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4))).double().view(-1, 1, 2, 2)
SAMPLES = 3000

LADDER: dict[str, Any] = {"scales": ((1, 2),)}
SERIAL: dict[str, Any] = {"inference": "serial", "network": "mlp", "readout": "bottom"}
TWO = SERIAL | {"units": (1, 1), "mlp_hidden": (4, 4)}
LATTICE = {"context_code": "lattice"}

MODELS = [
    *({**LADDER, "prior": prior} for prior in ("normal", "mixture", "vamp", "diffusion")),
    {**LADDER, "readout": "path", "prior": "gaussian"},
    {**LADDER, "pixelcnn_layers": 1},
    {**LADDER, "context": "dct"},
    {**LADDER, "context": "downsample", "prior": "mixture"},
    {**LADDER, "context": "linear", "prior": "diffusion", "predict": "input"},
    {**LADDER, **LATTICE, "context": "dct"},
    {**LADDER, **LATTICE, "context": "dct", "prior": "mixture"},
    {**LADDER, **LATTICE, "context": "downsample", "prior": "diffusion"},
    {**TWO, "prior": "vamp"},
    {**TWO, "prior": "mixture", "rho": 0.5},
    {**SERIAL, "units": (1, 1, 1), "mlp_hidden": (4, 4, 4), "skips": True},
    {**SERIAL, "units": (2,), "mlp_hidden": (4,), "flow_steps": 2},
    {**SERIAL, "network": "conv", "scales": ((1, 2),)},
]


def build(changes: dict[str, Any]) -> Hvae:
    """A model that is a little awake: far from it, a few weights would be all of their mean."""
    base = {
        "image": (1, 2, 2), "width": 4, "hidden": 4, "blocks": 1, "context_side": 1,
        "components": 2, "diffusion_width": 4, "diffusion_blocks": 1, "diffusion_steps": 6,
        "log_snr": (1.0, -3.0),
    }  # fmt: skip
    model = Hvae(VaeConfig(**(base | changes)))
    for name, p in model.named_parameters():
        if p.dim() == 1 or not p.any():
            nn.init.normal_(p, std=0.15)
        elif p.dim() == 2:
            p.data *= 0.6  # dense layers of so few units start too wide for the grid
        if "posterior" in name and name.endswith(("last.bias", "net.4.bias", "head.bias")):
            p.data[len(p) // 2 :] += 0.5  # log deviations: weights of a wide q have light tails
    if model.context and model.context.code == "noise":
        nn.init.constant_(model.context.log_variance, 0.0)
    model.fit(lambda: [IMAGES.float()])
    return model.double().eval()


class _Given:
    """Takes given values, by layer, and adds up log p of them."""

    def __init__(self, values: dict[int, Tensor], top: Callable[[Tensor], Tensor] | None):
        self.values, self.top, self.log_p = values, top, torch.zeros(())

    def code(self, layer: int, prior: Distribution, posterior: Callable[[], Posterior]) -> Tensor:
        z = self.values[layer]
        is_top = layer == min(self.values)
        self.log_p = self.log_p + (self.top(z) if self.top and is_top else prior.log_density(z))
        return z


def cell_of(model: Hvae) -> float | None:
    cell = model.context.cell if model.context else None
    return None if cell is None else float(cell)


def joint(model: Hvae) -> tuple[Tensor, Tensor | None]:
    """Return p(x, u) of each image and each u of its grid, (16, U), and u; z is summed over."""
    shapes = list(reversed(model.config.latent_shapes))
    first = 0 if model.context else 1
    shapes = [model.config.context_shape, *shapes] if model.context else shapes
    sizes = [math.prod(shape) for shape in shapes]
    axes, weight = [GRID] * sum(sizes), STEP ** sum(sizes)
    if cell := cell_of(model):
        axes[0], weight = cell * torch.arange(-12, 13).double(), weight / STEP
    points = torch.cartesian_prod(*axes).view(-1, sum(sizes))
    values = {
        layer: part.view(-1, *shape)
        for layer, (part, shape) in enumerate(
            zip(points.split(sizes, dim=1), shapes, strict=True), start=first
        )
    }
    given = _Given(values, top_density(model))
    with torch.no_grad():
        walked = model.walk(given, len(points))
        log_p = [
            given.log_p + model.likelihood.log_prob(x.expand(len(points), -1, -1, -1),
                                                    walked.features)
            for x in IMAGES
        ]  # fmt: skip
    p = weight * torch.stack(log_p).exp()
    if not model.context:
        return p.sum(1, keepdim=True), None
    return p.view(len(IMAGES), len(axes[0]), -1).sum(2), axes[0]


def top_density(model: Hvae) -> Callable[[Tensor], Tensor] | None:
    """Return log p of the top variable where the model has but an estimate of it, by quadrature."""
    if isinstance(model.prior, DiffusionPrior):
        return lambda u: diffusion_density(model.prior, u, model)  # type: ignore[arg-type]
    if isinstance(model.prior, VampPrior) and isinstance(model.hierarchy, Serial):
        first, second = model.hierarchy.posteriors
        below = first([torch.sigmoid(model.prior.pseudo_inputs)])
        given = second([GRID[:, None]])

        def log_p(z: Tensor) -> Tensor:
            one = torch.stack([below.log_units(v.expand_as(below.mean)) for v in GRID]).exp()
            two = given.log_units(z[:, None]).exp()  # (points, grid, 1)
            return (STEP * torch.einsum("gkm,pgm->pk", one, two).mean(1)).log()

        return log_p
    return None


def diffusion_density(prior: DiffusionPrior, u: Tensor, model: Hvae) -> Tensor:
    """log r(u): the chain as products of matrices, over a grid of its own."""
    step = 0.1
    y = step * torch.arange(-80, 81).double()[:, None, None, None]
    flat = y.flatten()
    p = torch.exp(-0.5 * flat.square()) / math.sqrt(2 * math.pi)

    def log_snr(i: int) -> Tensor:
        return prior.schedule(torch.full((len(y),), i / prior.steps).double())

    for i in range(prior.steps, 0, -1):
        r = prior.reverse.transition(y, log_snr(i), log_snr(i - 1))
        p = step * p @ r.log_units(flat.expand(len(y), 1, 1, -1)).exp()[:, 0, 0]
    last = prior.reverse.last(y, log_snr(0))
    cell = cell_of(model)
    masses = diffusion.log_units(
        last, u.flatten().expand(len(y), 1, 1, -1), None if cell is None else torch.tensor(cell)
    )
    return (step * p @ masses.exp()[:, 0, 0]).log()


@pytest.fixture
def wide_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the context's noise be as wide as p(u): a narrow one would need very many samples."""
    monkeypatch.setattr(contexts, "LOG_VARIANCE", (-12.0, 1.0))


@pytest.mark.usefixtures("wide_noise")
@pytest.mark.parametrize("changes", MODELS, ids=str)
def test_weights_and_bound(changes: dict[str, Any]) -> None:
    """p(x) sums to one, and is the mean of the weights; the bound is the mean of their logarithm.

    A context on a lattice is known from x: weights are those of p(x, f(x)).
    """
    model = build(changes)
    p, u = joint(model)
    assert p.sum().item() == pytest.approx(1, abs=1e-3)
    if cell_of(model) and model.context and u is not None:
        at = model.context.posterior(IMAGES).mean.flatten()
        p = p.gather(1, (u[None] - at[:, None]).abs().argmin(1, keepdim=True))
    p = p.sum(1)
    with torch.no_grad():
        terms = model.terms(IMAGES.repeat_interleave(SAMPLES, 0))
    ratio = terms.log_weight.exp().view(len(IMAGES), SAMPLES) / p[:, None]
    error = ratio.std() / ratio.numel() ** 0.5
    assert error < 0.03
    assert abs(ratio.mean() - 1) < 4 * error
    apart = terms.log_weight - terms.elbo
    assert abs(apart.mean()) <= 4 * apart.std() / apart.numel() ** 0.5 + 1e-9

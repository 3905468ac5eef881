"""Filters rounded so that each weight makes up for what rounding the ones before it did (GPTQ).

Rounded to the nearest, the weights of a filter err each by itself, and the filter by the sum of it.
But inputs are alike: what one weight adds too much another can take away. Weights are rounded one
by one, and the error of each goes to those yet to come, in the proportions that least squares give
on real inputs (Frantar et al. 2022, after Hassibi et al. 1993); at last to the bias.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ...codec.symbols.fixed_point import ACCUMULATOR_LIMIT, UNIT
from ..dct_vae import DctVae
from ..integer.fixed_point import WEIGHT_MAX, channel_shifts, largest_sum, quantise_filter
from ..integer.layers import FloatConv
from ..networks.dct import to_ycbcr
from ..networks.quantizers import Rounder
from ..storage import eight_bit_scale, is_eight_bit
from .config import EVERY_QUALITY
from .losses import prior_bpp, run

DAMPING = 1e-4
"""Share of the mean square of all inputs that is added to each, for some may hardly be seen."""

POSITIONS = 1024
"""Most positions that a batch gives to what is known of a convolution's inputs."""

Filters = FloatConv | nn.Conv2d


@torch.no_grad()
def round_filters(model: DctVae, batches: Iterable[Tensor], qualities: tuple[int, int]) -> None:
    """Round, in place, all filters of a float model that its weight file holds in 8 bits.

    `DctVae.to_integer` and `weight_models.save_weights` then find nothing left to round but biases.

    Args:
        model: whose filters see what training would show them, in real arithmetic.
        batches: crops (B, 3, H, W) of training photographs, uint8.
        qualities: the model's range, both ends included. The prior of the context, which a file has
            once for all models, sees every quality.
    """
    filters = dict(_filters(model))
    grams: dict[str, Tensor] = {}
    generator = torch.Generator().manual_seed(0)

    def watch(name: str, conv: Filters) -> RemovableHandle:
        def before(_: nn.Module, args: tuple[Tensor]) -> None:
            grams[name] = grams.get(name, 0) + _gram(conv, args[0], generator)

        return conv.register_forward_pre_hook(before)

    watches = [watch(name, conv) for name, conv in filters.items()]

    def drawn(count: int, lowest: int, highest: int) -> Tensor:
        return torch.randint(lowest, highest + 1, (count,), generator=generator).float()

    for crops in batches:
        rgb = crops.float()
        run(model, rgb, drawn(len(rgb), *qualities), Rounder(), with_prior=False)
        quality = drawn(len(rgb), *EVERY_QUALITY)
        context = model.context.quantise(to_ycbcr(rgb), quality)
        prior_bpp(model.context.prior, context, quality, model.context.norm)
    for each in watches:
        each.remove()
    for name, gram in grams.items():
        _round(filters[name], gram)


def _filters(model: DctVae) -> Iterator[tuple[str, Filters]]:
    for name, module in model.named_modules():
        if isinstance(module, FloatConv | nn.Conv2d) and (
            isinstance(module, FloatConv) or is_eight_bit(f"{name}.weight")
        ):
            yield name, module


def _constant(conv: Filters) -> float:
    """Return the input that a bias is the weight of."""
    return UNIT if isinstance(conv, FloatConv) else 1.0


def _gram(conv: Filters, x: Tensor, generator: torch.Generator) -> Tensor:
    """Sum the products of each two inputs of (B, I, H, W), a constant last: (I k^2 + 1) squared."""
    size = conv.weight.shape[-1]
    windows = F.pad(x, [size // 2] * 4).unfold(2, size, 1).unfold(3, size, 1)
    batch, _, height, width = windows.shape[:4]
    chosen = torch.randperm(batch * height * width, generator=generator)[:POSITIONS]
    sample, position = chosen // (height * width), chosen % (height * width)
    columns = windows[sample, :, position // width, position % width].float().flatten(1).T
    columns = torch.cat([columns, columns.new_full((1, columns.shape[1]), _constant(conv))])
    return (columns @ columns.T).double()


def _round(conv: Filters, gram: Tensor) -> None:
    weight, bias = conv.weight, conv.bias
    assert bias is not None
    rows = torch.cat([weight.flatten(1), bias[:, None]], dim=1).double()
    gram = gram / gram.diagonal().mean()
    gram.diagonal().add_(DAMPING)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
    factor = torch.linalg.cholesky(inverse, upper=True)
    if isinstance(conv, FloatConv):
        rows = _within_bound(conv, rows, factor)
    else:
        units = torch.from_numpy(eight_bit_scale(weight.detach().numpy())).double().flatten()
        rows = _compensated(rows, units, factor)
    weight.copy_(rows[:, :-1].view_as(weight))
    bias.copy_(rows[:, -1])


def _within_bound(conv: FloatConv, rows: Tensor, factor: Tensor) -> Tensor:
    """Round to the finest units under which no sum can leave the exact range."""
    shift = channel_shifts(conv.weight.float(), conv.bias.float() * UNIT, conv.input_min)
    while True:
        rounded = _compensated(rows, torch.exp2(-shift).double(), factor)
        weight, bias = rounded[:, :-1].view_as(conv.weight), rounded[:, -1] * UNIT
        worst = largest_sum(*quantise_filter(weight, bias, shift), conv.input_min)
        over = (worst >= ACCUMULATOR_LIMIT - 1) & (shift > 1)
        if not over.any():
            return rounded
        shift = shift - over.to(shift.dtype)


def _compensated(rows: Tensor, units: Tensor, factor: Tensor) -> Tensor:
    """Round the filters `rows` (O, n + 1), but not their biases, to multiples of `units` (O,).

    Args:
        rows: weights, then the bias.
        units: for which all weights are at most WEIGHT_MAX.
        factor: of the inverse of the inputs' products, upper triangular.

    Returns:
        The rounded filters. The largest weight of each is what it would be without the others, so
        that units that were made from it can be made from it again.
    """
    rows = rows.clone()
    units = units[:, None]
    nearest = torch.round(rows[:, :-1] / units).clamp(-WEIGHT_MAX, WEIGHT_MAX)
    largest = nearest.abs() == nearest.abs().amax(dim=1, keepdim=True)
    for n in range(rows.shape[1] - 1):
        now = rows[:, n : n + 1]
        integers = torch.round(now / units).clamp(-WEIGHT_MAX, WEIGHT_MAX)
        integers = torch.where(largest[:, n : n + 1], nearest[:, n : n + 1], integers)
        error = (now - integers * units) / factor[n, n]
        rows[:, n + 1 :] -= error * factor[n, n + 1 :]
        rows[:, n : n + 1] = integers * units
    return rows

"""Float networks to integer ones and back, layer by layer."""

from __future__ import annotations

import copy
from collections.abc import Callable

from torch import nn

from ...codec.errors import BoundError
from .layers import FloatLayer, IntegerConv, IntegerLayer
from .prepared import PreparedConv


def to_integer(network: nn.Module) -> nn.Module:
    """Return a copy of a network with integer layers in place of its float layers.

    Raises:
        BoundError: an integer layer could leave the exact range.
    """
    integer = _replaced(network, FloatLayer, lambda layer: layer.to_integer())
    check(integer)
    return integer.eval().requires_grad_(False)


def empty_integer(network: nn.Module) -> nn.Module:
    """Return a copy of a network with integer layers, zeros in their buffers, to be loaded."""
    integer = _replaced(network, FloatLayer, lambda layer: layer.empty_integer())
    return integer.eval().requires_grad_(False)


def prepared(network: nn.Module, quality: int) -> nn.Module:
    """Return a copy of an integer network for one quality, with all done that needs no input."""
    return _replaced(network, IntegerLayer, lambda layer: layer.prepared(quality))


def with_ready_filters(network: nn.Module) -> nn.Module:
    """Return a copy of an integer network whose filters need not be scaled at each call."""
    return _replaced(network, IntegerConv, lambda layer: PreparedConv(*layer.scaled()))


def to_float(network: nn.Module) -> nn.Module:
    """Return a trainable copy of a network with float layers in place of its integer layers."""
    return _replaced(network, IntegerLayer, lambda layer: layer.to_float()).requires_grad_()


def simulate_integers(network: nn.Module, on: bool = True) -> None:
    """Switch quantisation-aware training of the float layers of a network on or off.

    The norm, whose rounding is finer, stays real.
    """
    for layer in network.modules():
        if isinstance(layer, FloatLayer):
            layer.simulate = on


def check(network: nn.Module) -> None:
    """Prove the bounds of every layer that decides symbols, at export and again when loading.

    Raises:
        BoundError: a layer could leave the exact range, or is a float layer.
    """
    for name, layer in network.named_modules():
        if isinstance(layer, FloatLayer):
            raise BoundError(f"{name}: a float layer decides symbols; convert the network first")
        if isinstance(layer, IntegerLayer):
            layer.check(name)


def _replaced(
    network: nn.Module, kind: type[nn.Module], convert: Callable[..., nn.Module]
) -> nn.Module:
    if isinstance(network, kind):
        return convert(network)
    copied = copy.copy(network)
    # a shallow copy shares its dictionaries with the original
    copied._parameters = {k: copy.deepcopy(v) for k, v in network._parameters.items()}
    copied._buffers = {k: copy.deepcopy(v) for k, v in network._buffers.items()}
    copied._modules = {
        name: None if child is None else _replaced(child, kind, convert)
        for name, child in network._modules.items()
    }
    return copied

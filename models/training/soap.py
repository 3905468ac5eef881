"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al., 2024).

The gradient of a convolution is a tensor (outputs, taps, inputs). Each of its sides has a running
covariance; Adam's moments are kept in the covariances' eigenbases, which one step of orthogonal
iteration refreshes now and then. For image codecs, see Zhang & Zhu 2026 (arXiv 2601.20769): rate
and distortion pull weights apart less when the step is preconditioned.

Parameters of one shape are stacked and take their steps together: a GPU would wait for most of its
time between the many small products of each alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

MAX_SIDE = 512
"""Longer sides keep the identity as their basis."""


def _covariance(grads: Tensor, side: int) -> Tensor:
    rows = grads.movedim(1 + side, 1).flatten(2)
    return rows @ rows.mT


def as_sides(grad: Tensor) -> Tensor:
    """(O, I, h, w) -> (O, h w, I): a view, where weights lie channels last."""
    return grad.permute(0, 2, 3, 1).flatten(1, 2)


def rotate(x: Tensor, bases: list[Tensor], back: bool = False) -> Tensor:
    """Turn every side of `x` (n, O, T, I) into its basis, or back; an empty basis leaves it alone.

    Three matrix products that copy nothing: on a CPU most of SOAP's time is spent here.

    Args:
        x: gradients of n parameters.
        bases: (n, O, O), (n, T, T) and (n, I, I), or none at all.
        back: from the bases.
    """
    if not bases:
        return x
    outputs, taps, inputs = (b.mT if back and b.numel() else b for b in bases)
    if outputs.numel():
        x = (outputs.mT @ x.flatten(2)).view_as(x)
    if taps.numel():
        x = torch.matmul(taps.mT[:, None], x)
    if inputs.numel():
        x = (x.flatten(1, 2) @ inputs).view_as(x)
    return x


class Soap(torch.optim.Optimizer):
    """SOAP for the weights of convolutions, Adam for everything else.

    Args:
        params: parameters or groups of them, as for every optimiser.
        lr: learning rate, of Adam's size.
        betas: decay of the first moment; of the second moments and the covariances.
        every: steps between two refreshes of the bases.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.95, 0.98),
        eps: float = 1e-8,
        every: int = 10,
    ):
        defaults = {"lr": lr, "betas": betas, "eps": eps, "every": every, "steps": 0}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step from the gradients as they are."""
        assert closure is None, "there is no need to evaluate the loss again"
        for group in self.param_groups:
            group["steps"] += 1
            refreshes = group["steps"] % group["every"] == 0
            for parameters in _stacks(group):
                self._move(parameters, group)
                state = self.state[parameters[0]]
                for side in range(len(state["bases"]) if refreshes else 0):
                    _refresh(state, side)

    def _move(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        sides = 3 if parameters[0].ndim == 4 else 0  # nothing else has sides
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        grad = torch.stack([as_sides(one) if sides else one for one in grads])
        state = self.state[parameters[0]]  # the first of a stack keeps it for all
        if not state or len(state["mean"]) != len(parameters):  # some were frozen since, or thawed
            _begin(state, grad, sides)
        (beta1, beta2), bases = group["betas"], state["bases"]
        state["count"] += 1
        turned = rotate(grad, bases)
        state["mean"].lerp_(turned, 1 - beta1)
        state["square"].lerp_(turned.square(), 1 - beta2)
        root = (state["square"] / (1 - beta2 ** state["count"])).sqrt_().add_(group["eps"])
        update = rotate(state["mean"] / root, bases, back=True)
        update *= group["lr"] / (1 - beta1 ** state["count"])
        if sides:
            update = update.unflatten(2, parameters[0].shape[2:]).permute(0, 1, 4, 2, 3)
        for parameter, change in zip(parameters, update, strict=True):
            parameter.sub_(change)
        for side, covariance in enumerate(state["covariances"]):
            if covariance.numel():
                covariance.lerp_(_covariance(grad, side), 1 - beta2)


def _stacks(group: dict[str, Any]) -> list[list[Tensor]]:
    """Return the parameters of a group that learn, by shape, where any has a gradient."""
    stacks: dict[torch.Size, list[Tensor]] = {}
    for parameter in group["params"]:
        if parameter.requires_grad:
            stacks.setdefault(parameter.shape, []).append(parameter)
    return [stack for stack in stacks.values() if any(p.grad is not None for p in stack)]


def _begin(state: dict[str, Any], grad: Tensor, sides: int) -> None:
    state["count"] = grad.new_zeros(())
    state["mean"], state["square"] = torch.zeros_like(grad), torch.zeros_like(grad)
    empty = grad.new_empty(0)
    state["covariances"] = [
        _covariance(grad, i) if 1 < grad.shape[1 + i] <= MAX_SIDE else empty for i in range(sides)
    ]
    state["bases"] = [_axes(c) if c.numel() else empty for c in state["covariances"]]


def _axes(covariance: Tensor) -> Tensor:
    """Return the eigenvectors; in float32, LAPACK gives up where most units are dead."""
    return torch.linalg.eigh(covariance.double()).eigenvectors.to(covariance)


def _refresh(state: dict[str, Any], side: int) -> None:
    """One step of orthogonal iteration, the axes in order of their variance."""
    basis, covariance = state["bases"][side], state["covariances"][side]
    if not basis.numel():
        return
    turned = covariance @ basis
    order = (basis * turned).sum(1).argsort(dim=-1, descending=True)  # (n, axes)
    refreshed = torch.linalg.qr(turned.gather(2, order[:, None].expand_as(turned))).Q
    from_old = [refreshed.new_empty(0)] * len(state["bases"])
    from_old[side] = basis.mT @ refreshed
    state["mean"].copy_(rotate(state["mean"], from_old))
    shape = [1] * state["square"].ndim
    shape[0], shape[1 + side] = order.shape
    along = order.view(shape).expand_as(state["square"])
    state["square"].copy_(state["square"].gather(1 + side, along))
    basis.copy_(refreshed)

"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al., 2024).

The gradient of a convolution is a tensor (outputs, taps, inputs). Each of its sides has a running
covariance; Adam's moments are kept in the covariances' eigenbases, which one step of orthogonal
iteration refreshes now and then. For image codecs, see Zhang & Zhu 2026 (arXiv 2601.20769): rate
and distortion pull weights apart less when the step is preconditioned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

MAX_SIDE = 512
"""Longer sides keep the identity as their basis."""


def _covariance(grad: Tensor, side: int) -> Tensor:
    rows = grad.movedim(side, 0).flatten(1)
    return rows @ rows.T


def as_sides(grad: Tensor) -> Tensor:
    """(O, I, h, w) -> (O, h w, I): a view, where weights lie channels last."""
    return grad.permute(0, 2, 3, 1).flatten(1, 2)


def rotate(x: Tensor, bases: list[Tensor], back: bool = False) -> Tensor:
    """Turn every side of `x` into its basis, or back; an empty basis leaves its side alone.

    Three matrix products that copy nothing: on a CPU most of SOAP's time is spent here.
    """
    if not bases:
        return x
    outputs, taps, inputs = (b.mT if back and b.numel() else b for b in bases)
    if outputs.numel():
        x = (outputs.T @ x.flatten(1)).view_as(x)
    if taps.numel():
        x = torch.matmul(taps.T, x)
    return x @ inputs if inputs.numel() else x


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
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "every": every})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step from the gradients as they are."""
        assert closure is None, "there is no need to evaluate the loss again"
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, group)

    def _step(self, parameter: Tensor, group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        sides = 3 if parameter.ndim == 4 else 0  # nothing else has sides
        grad = as_sides(parameter.grad) if sides else parameter.grad
        state = self.state[parameter]
        if not state:
            _begin(state, grad, sides)
        (beta1, beta2), bases = group["betas"], state["bases"]
        state["step"] += 1
        turned = rotate(grad, bases)
        state["mean"].lerp_(turned, 1 - beta1)
        state["square"].lerp_(turned.square(), 1 - beta2)
        root = (state["square"] / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
        update = rotate(state["mean"] / root, bases, back=True)
        if sides:
            update = update.unflatten(1, parameter.shape[2:]).permute(0, 3, 1, 2)
        parameter.sub_(update, alpha=group["lr"] / (1 - beta1 ** state["step"]))
        for side, covariance in enumerate(state["covariances"]):
            if covariance.numel():
                covariance.lerp_(_covariance(grad, side), 1 - beta2)
        if state["step"] % group["every"] == 0:
            for side in range(len(bases)):
                _refresh(state, side)


def _begin(state: dict[str, Any], grad: Tensor, sides: int) -> None:
    state["step"] = 0
    state["mean"], state["square"] = torch.zeros_like(grad), torch.zeros_like(grad)
    empty = grad.new_empty(0)
    state["covariances"] = [
        _covariance(grad, i) if 1 < grad.shape[i] <= MAX_SIDE else empty for i in range(sides)
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
    order = (basis * turned).sum(0).argsort(descending=True)
    refreshed = torch.linalg.qr(turned[:, order]).Q
    from_old = [refreshed.new_empty(0)] * len(state["bases"])
    from_old[side] = basis.T @ refreshed
    state["mean"] = rotate(state["mean"], from_old)
    state["square"] = state["square"].index_select(side, order)
    state["bases"][side] = refreshed

"""Collapse, independence and non-identifiability on a discrete model (DCT-VAE, sec. 3.3).

A top-down model p(z_C) p(z_l | z_C) p(z_A | z_l, z_C) p(x | z_A, z_l, z_C) whose variables have a
few values each, so that every distribution is a table. The paper states, for its sec. 3.3:

    p(z_l | z_C, x) = p(z_l | z_C)                       posterior collapse
      <=>  p(x | z_l, z_C) = p(x | z_C)                  conditional independence
       =>  p(x | z_A, z_l, z_C) = p(x | z_A, z_C)        non-identifiability

The equivalence holds. There is no way back from the third line: where x depends on z_l through
z_A alone, z_l is not identifiable by that definition and not collapsed. The implication needs an
assumption that the diagram does not name: with z_l and z_A two fair coins and x = z_l XOR z_A, z_l
is collapsed, and p(x | z_A, z_l) depends on it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

TOLERANCE = 1e-9


@dataclass(frozen=True)
class DiscreteHierarchy:
    """The tables of a model, float64; the last axis of each is the variable's.

    Args:
        c: (C,), p(z_C).
        l: (C, L), p(z_l | z_C).
        a: (C, L, A), p(z_A | z_l, z_C).
        x: (C, L, A, X), p(x | z_A, z_l, z_C).
    """

    c: Tensor
    l: Tensor  # noqa: E741 - the papers' letter
    a: Tensor
    x: Tensor

    def joint(self) -> Tensor:
        """Return p(z_C, z_l, z_A, x), (C, L, A, X)."""
        above = self.c[:, None, None] * self.l[:, :, None] * self.a
        return above[..., None] * self.x

    def collapsed(self) -> bool:
        """Tell whether p(z_l | z_C, x) = p(z_l | z_C)."""
        joint = self.joint().sum(2)  # (C, L, X)
        posterior = joint / joint.sum(1, keepdim=True)
        return bool(((posterior - self.l[:, :, None]).abs() < TOLERANCE).all())

    def independent(self) -> bool:
        """Tell whether p(x | z_l, z_C) = p(x | z_C)."""
        joint = self.joint().sum(2)
        given_l = joint / joint.sum(2, keepdim=True)
        given_c = joint.sum(1, keepdim=True) / joint.sum((1, 2), keepdim=True)
        return bool(((given_l - given_c).abs() < TOLERANCE).all())

    def identifiable(self) -> bool:
        """Tell whether p(x | z_A, z_l, z_C) depends on z_l."""
        mean = self.x.mean(1, keepdim=True)
        return bool(((self.x - mean).abs() > TOLERANCE).any())

    def information(self) -> float:
        """Return I(x; z_l | z_C), nats: 0 exactly where z_l is collapsed."""
        joint = self.joint().sum(2)
        given = joint / joint.sum((1, 2), keepdim=True)
        apart = given.sum(2, keepdim=True) * given.sum(1, keepdim=True)
        return float((joint * torch.log(given / apart)).nansum())


def table(*shape: int) -> Tensor:
    return torch.softmax(2 * torch.randn(*shape).double(), dim=-1)


def some() -> DiscreteHierarchy:
    return DiscreteHierarchy(table(3), table(3, 2), table(3, 2, 4), table(3, 2, 4, 5))


def without_l(model: DiscreteHierarchy) -> DiscreteHierarchy:
    """Make z_A and x blind to z_l."""
    return DiscreteHierarchy(
        model.c,
        model.l,
        model.a[:, :1].expand_as(model.a),
        model.x[:, :1].expand_as(model.x),
    )


def test_tables_make_a_distribution() -> None:
    assert abs(float(some().joint().sum()) - 1) < 1e-12


def test_collapse_is_conditional_independence() -> None:
    """Proposition 1, both ways, on random models and on blind ones."""
    for model in [some() for _ in range(20)]:
        assert model.collapsed() == model.independent() == (model.information() < 1e-9)
        assert not model.collapsed()
        blind = without_l(model)
        assert blind.collapsed() and blind.independent() and not blind.identifiable()


def test_what_is_not_identifiable_need_not_collapse() -> None:
    """Proposition 2, the way back that does not exist: x sees z_l through z_A alone."""
    model = some()
    through = DiscreteHierarchy(model.c, model.l, model.a, model.x[:, :1].expand_as(model.x))
    assert not through.identifiable()
    assert not through.collapsed()


def test_what_collapses_may_be_identifiable() -> None:
    """Proposition 2 as the paper's diagram states it has a counterexample: x = z_l XOR z_A."""
    half = torch.tensor([0.5, 0.5]).double()
    x = torch.zeros(1, 2, 2, 2).double()
    for z_l in (0, 1):
        for z_a in (0, 1):
            x[0, z_l, z_a, z_l ^ z_a] = 1
    xor = DiscreteHierarchy(torch.ones(1).double(), half.expand(1, 2), half.expand(1, 2, 2), x)
    assert xor.collapsed() and xor.independent()
    assert xor.identifiable()

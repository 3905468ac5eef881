import torch
from torch import Tensor

from hvae_codec.models.vae.propositions import DiscreteHierarchy


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

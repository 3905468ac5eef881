import pytest
import torch
from torch import Tensor, nn

from hvae_codec.models.distributions import Normal
from hvae_codec.models.vae.flows import DenseStep, Flow, FlowPosterior


def randomised(flow: nn.Module) -> nn.Module:
    for p in flow.parameters():
        nn.init.normal_(p, std=0.5)
    return flow.double()


def test_log_det_is_that_of_the_jacobian() -> None:
    flow = randomised(Flow(5, 3, 8))
    z = torch.randn(1, 5).double()
    jacobian = torch.autograd.functional.jacobian(lambda u: flow(u[None])[0][0], z[0])
    assert isinstance(jacobian, Tensor) and jacobian.shape == (5, 5)
    expected = torch.linalg.slogdet(jacobian)[1]
    assert flow(z)[1].item() == pytest.approx(expected.item(), abs=1e-4)


def test_a_unit_sees_only_those_before_it() -> None:
    step = randomised(DenseStep(6, 8))
    for output in (0, 1):  # m and s
        jacobian = torch.autograd.functional.jacobian(
            lambda z, output=output: step(z[None])[output][0], torch.randn(6).double()
        )
        assert isinstance(jacobian, Tensor)
        assert not torch.triu(jacobian).any()
        assert torch.tril(jacobian, -1).any()


def test_density_of_what_is_drawn() -> None:
    """Integrated over a grid in the place of the start, the density at the end is one."""
    flow = Flow(1, 2, 4).double()
    randomised(flow)
    count = 4001
    start = torch.linspace(-8, 8, count)[:, None].double()
    z, log_det = flow(start)
    log_q = Normal(0 * start, 0 * start).log_density(start) - log_det
    order = z[:, 0].argsort()
    mass = torch.trapezoid(log_q.exp()[order], z[order, 0])
    assert mass.item() == pytest.approx(1, abs=1e-3)
    posterior = FlowPosterior(Normal(torch.zeros(3, 1).double(), torch.zeros(3, 1).double()), flow)
    assert posterior.draw()[0].shape == (3, 1) and posterior.gaussian is None

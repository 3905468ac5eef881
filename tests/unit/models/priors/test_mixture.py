import pytest
import torch

from hvae_codec.models.priors.mixture import clusters


@pytest.mark.parametrize("shared", [False, True])
def test_clusters_are_found(shared: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[-2.0, 0.5, 1.0], [1.0, -1.0, 0.0]])
    which = (torch.arange(3000) % 4 == 0).long()  # a quarter is of the second
    deviations = torch.tensor([[0.1, 0.3, 0.2], [0.1, 0.3, 0.2] if shared else [0.4, 0.1, 0.1]])
    x = centres[which] + deviations[which] * torch.randn(3000, 3, generator=generator)
    x = x[torch.randperm(3000, generator=generator)]
    first = [int((x[:, 0] < -0.5).nonzero()[0]), int((x[:, 0] > -0.5).nonzero()[0])]
    x[[0, 1, *first]] = x[[*first, 0, 1]]  # one of each stands first
    means, found, weights = clusters(x, 2, shared)
    torch.testing.assert_close(means, centres, atol=0.05, rtol=0)
    torch.testing.assert_close(found, deviations, atol=0.02, rtol=0)
    expected = torch.tensor([0.5, 0.5] if shared else [0.75, 0.25])
    torch.testing.assert_close(weights, expected, atol=0.02, rtol=0)

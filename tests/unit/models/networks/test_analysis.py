import torch

from hvae_codec.codec.config import PRESETS
from hvae_codec.codec.symbols.schedule import EVERYWHERE, CodingStep
from hvae_codec.models.networks.analysis import LatentPosterior


def test_a_posterior_begins_as_the_linear_coefficients_and_can_widen_the_dead_zone() -> None:
    config = PRESETS["tiny"]
    head = LatentPosterior(config, CodingStep(0, 0, 0, 2, EVERYWHERE, True, ((0, 2),)))
    features = torch.zeros(1, config.analysis_widths[1], 1, 5)
    h = torch.zeros(1, config.trunk_width, 1, 5)
    residual = torch.tensor([-2.2, -0.6, 0.0, 0.6, 3.0]).expand(1, 2, 1, 5)
    with torch.no_grad():
        assert torch.equal(head(features, h, residual), residual)
        assert head.shrink.bias is not None
        head.shrink.bias[0] = 0.25
        shrunk = head(features, h, residual)
    expected = torch.tensor([-1.95, -0.45, 0.0, 0.45, 2.75])
    torch.testing.assert_close(shrunk[0, 0, 0], expected)
    assert torch.equal(shrunk[0, 1], residual[0, 1])

import pytest

from hvae_codec.models.vae import ConfigError, VaeConfig
from hvae_codec.models.vae.objectives import TrainConfig

SERIAL = {"inference": "serial", "network": "mlp", "readout": "bottom"}


def test_json_gives_the_same_configuration_back() -> None:
    config = VaeConfig(context="dct", prior="diffusion", scales=((14, 2), (7, 1)))
    assert VaeConfig.from_json(config.to_json()) == config
    training = TrainConfig(steps=7, optimiser="adam")
    assert TrainConfig.from_json(training.to_json()) == training


def test_json_leaves_defaults_out() -> None:
    """So that a new option changes neither the JSON nor the key of what does not use it."""
    assert VaeConfig().to_json() == {} == TrainConfig().to_json()
    assert VaeConfig(scales=((7, 1),), rho=1).to_json() == {"scales": [[7, 1]]}
    assert TrainConfig(steps=7, seed=0).to_json() == {"steps": 7}


@pytest.mark.parametrize("kind", [VaeConfig, TrainConfig])
def test_an_unknown_key_raises(kind: type[VaeConfig] | type[TrainConfig]) -> None:
    with pytest.raises(ConfigError, match=f"{kind.__name__} has no widht"):
        kind.from_json({"widht": 3})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"readout": "sum"}, "'sum' is not one of aggregate, path, bottom"),
        ({"rho": 1.5}, r"rho 1.5 is outside 0\.\.\.1"),
        ({"network": "mlp"}, "a ladder has no mlp"),
        ({"inference": "serial"}, "its readout is bottom"),
        ({"rho": 0.9}, "belong to the serial model"),
        ({"context": "dct", "prior": "vamp"}, "needs context none"),
        ({"context": "linear", "context_code": "lattice"}, "a lattice has no gradient"),
        ({"context": "dct", "context_side": 29}, "is larger than the image, 28"),
        ({"scales": ((7, 2), (14, 2))}, "do not fall"),
        ({"image": (1, 28, 32)}, "are not square"),
        (SERIAL | {"prior": "vamp", "flow_steps": 2}, "a VampPrior needs Gaussian posteriors"),
        ({"flow_steps": 2}, "flow steps are for the posteriors of an mlp"),
        (SERIAL | {"pixelcnn_layers": 2}, "an mlp has none"),
        (SERIAL | {"prior": "diffusion"}, "a diffusion is over"),
    ],
)
def test_what_does_not_go_together_raises(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VaeConfig(**changes)  # type: ignore[arg-type]


def test_training_ranges() -> None:
    with pytest.raises(ConfigError, match="'sgd' is not one of"):
        TrainConfig(optimiser="sgd")


@pytest.mark.parametrize("changes", [{"kl_zero": 1}, {"kl_ramp": 1}, {"free_nats": 0.5}])
def test_the_importance_weighted_bound_takes_no_weights_of_kl(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="no KL to anneal or to free"):
        TrainConfig(samples=5, **changes)  # type: ignore[arg-type]


def test_layers_and_shapes() -> None:
    config = VaeConfig(scales=((14, 4), (7, 4)))
    assert config.layers == 8
    assert sum(c * h * w for c, h, w in config.latent_shapes) == 980  # DVP-VAE, table 7

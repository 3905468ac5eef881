"""What a hierarchical VAE is made of, as data.

One frozen dataclass describes every model of the papers. It is written to JSON, hashed and
compared, and it raises for every value that it does not know. Fields at their default are not
written, so a new option changes neither the JSON nor the hash of models that do not use it.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...codec.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CHOICES = {
    "inference": ("ladder", "serial"),
    "network": ("conv", "mlp"),
    "context": ("none", "dct", "downsample", "linear"),
    "context_code": ("noise", "lattice"),
    "prior": ("normal", "gaussian", "mixture", "vamp", "diffusion"),
    "schedule": ("linear-log-snr", "linear-beta", "cosine"),
    "predict": ("noise", "input"),
    "readout": ("aggregate", "path", "bottom"),
    "likelihood": ("bernoulli", "logistic"),
}
"""The words that each field may hold."""


@dataclass(frozen=True)
class VaeConfig:
    """A hierarchical VAE: its hierarchy, its context, its priors and its likelihood.

    Args:
        image: channels, height and width of x; height equals width.
        inference: `ladder` is top-down inference (Sønderby 2016, Child 2021). `serial` is
            q(z_1 | x) prod q(z_l+1 | z_l) without shared features (OU-VAE, sec. 1).
        network: `mlp` is for the serial model only.
        scales: (side, layers) of the latents, the largest side first; z_1 lies in the first.
        latent_channels: channels of each z_l.
        width: channels of the residual path.
        hidden: channels inside a residual block.
        blocks: residual blocks for each scale of the encoder (ladder), or between two
            stochastic layers (serial).
        units: sizes of z_1 ... z_L of an MLP.
        mlp_hidden: units of the two hidden layers before each z_l.
        skips: p(z_l | z_l+1, z_l+2) and p(x | z_1, z_2) in place of z_l+1 and z_1 alone
            ("OU-VAE+", sec. 5.2.2).
        context: u = f(x), the top latent variable (DCT-VAE, sec. 4; DVP-VAE, sec. 3).
        context_side: side d of u, (c, d, d).
        context_code: `noise` is r(u | x) = N(f(x), sigma**2) with a learned sigma (DVP-VAE,
            eq. 9). `lattice` rounds f(x) to a lattice of `context_bits` bits (DCT-VAE, sec. 4.2).
        context_bits: b of the lattice, whose points are 2**(1 - b) apart from -1 to 1: with both
            ends 2**b + 1 points, one more than b bits name.
        prior: of the top variable: u where there is a context, z_L otherwise.
        components: of a mixture, or pseudo-inputs of a VampPrior.
        diffusion_steps: T of the diffusion's bound in evaluation.
        diffusion_train_steps: T in training; 0 is continuous time.
        diffusion_width: channels of the diffusion's network.
        diffusion_blocks: its residual blocks.
        schedule: log-SNR against time.
        log_snr: its ends at t = 0 and t = 1.
        predict: what the diffusion's network puts out: the `noise` in its input (DVP-VAE, app. A),
            or the `input` without noise and its variance (DCT-VAE, app. C).
        readout: what p(x | z) sees: the sum of all z_l (DVP-VAE, eq. 18), the features h_1
            (eq. 22) or z_1 (eq. 21).
        likelihood: p(x | z) without dependence between pixels, unless `pixelcnn_layers` > 0.
        mixtures: components of the discretised logistic mixture.
        pixelcnn_layers: gated masked convolutions that see the pixels before (PixelVAE); not
            after an mlp.
        flow_steps: inverse autoregressive steps of each posterior of an mlp (IAF).
        rho: correlation of Ornstein-Uhlenbeck smoothing in training; 1 is none.
    """

    image: tuple[int, int, int] = (1, 28, 28)
    inference: str = "ladder"
    network: str = "conv"
    scales: tuple[tuple[int, int], ...] = ((14, 4), (7, 4))
    latent_channels: int = 1
    width: int = 32
    hidden: int = 32
    blocks: int = 3
    units: tuple[int, ...] = (40, 40, 40, 40)
    mlp_hidden: tuple[int, ...] = (200, 200, 200, 200)
    skips: bool = False
    context: str = "none"
    context_side: int = 7
    context_code: str = "noise"
    context_bits: int = 2
    prior: str = "normal"
    components: int = 10
    diffusion_steps: int = 50
    diffusion_train_steps: int = 0
    diffusion_width: int = 16
    diffusion_blocks: int = 2
    schedule: str = "linear-log-snr"
    log_snr: tuple[float, float] = (7.0, -6.0)
    predict: str = "noise"
    readout: str = "aggregate"
    likelihood: str = "bernoulli"
    mixtures: int = 10
    pixelcnn_layers: int = 0
    flow_steps: int = 0
    rho: float = 1.0

    def __post_init__(self) -> None:
        for name, words in CHOICES.items():
            value = getattr(self, name)
            if value not in words:
                raise ConfigError(f"{name} {value!r} is not one of {', '.join(words)}")
        if not 0 <= self.rho <= 1:
            raise ConfigError(f"rho {self.rho} is outside 0...1")
        if self.image[1] != self.image[2]:
            raise ConfigError(f"images of {self.image[1]}x{self.image[2]} pixels are not square")
        self._check_hierarchy()
        self._check_top()

    def _check_hierarchy(self) -> None:
        if self.network == "mlp" and self.inference == "ladder":
            raise ConfigError("a ladder has no mlp network, only conv")
        if self.network == "mlp" and len(self.units) != len(self.mlp_hidden):
            raise ConfigError(
                f"{len(self.units)} layers of latents have {len(self.mlp_hidden)} of hidden units"
            )
        if self.network == "mlp" and self.pixelcnn_layers:
            raise ConfigError("a PixelCNN needs features of each pixel: an mlp has none")
        if self.network == "conv" and self.flow_steps:
            raise ConfigError("flow steps are for the posteriors of an mlp")
        if self.network == "conv" and [*self.sides] != sorted(self.sides, reverse=True):
            raise ConfigError(f"sides {self.sides} do not fall from the bottom to the top")
        if self.inference == "serial" and self.readout != "bottom":
            raise ConfigError("a serial model has p(x | z_1): its readout is bottom")
        if self.inference == "ladder" and (self.rho < 1 or self.skips):
            raise ConfigError("smoothing and skips belong to the serial model")
        if self.rho < 1 and self.flow_steps:
            raise ConfigError("smoothing needs Gaussian posteriors, without flow steps")

    def _check_top(self) -> None:
        if self.prior == "vamp" and self.flow_steps:
            raise ConfigError("a VampPrior needs Gaussian posteriors, without flow steps")
        if self.prior == "diffusion" and self.network == "mlp":
            raise ConfigError("a diffusion is over (c, d, d): the units of an mlp have no place")
        if self.context == "none":
            return
        if self.inference == "serial":
            raise ConfigError("a serial model has no context")
        if self.prior == "vamp":
            raise ConfigError("a VampPrior is for z_L: it needs context none")
        if self.context_side > self.image[1]:
            raise ConfigError(
                f"context of side {self.context_side} is larger than the image, {self.image[1]}"
            )
        if self.context == "linear" and self.context_code != "noise":
            raise ConfigError("a learned linear context needs noise: a lattice has no gradient")

    @property
    def sides(self) -> tuple[int, ...]:
        """Sides of z_1 ... z_L of a convolutional model."""
        return tuple(side for side, layers in self.scales for _ in range(layers))

    @property
    def layers(self) -> int:
        """L, the number of stochastic layers; a context is not counted."""
        return len(self.units) if self.network == "mlp" else len(self.sides)

    @property
    def latent_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of z_1 ... z_L without the batch."""
        if self.network == "mlp":
            return tuple((units,) for units in self.units)
        return tuple((self.latent_channels, side, side) for side in self.sides)

    @property
    def context_shape(self) -> tuple[int, int, int]:
        """Shape of u without the batch."""
        return self.image[0], self.context_side, self.context_side

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are not at their default, as JSON has them."""
        return changed_fields(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> VaeConfig:
        """Build a configuration from what `to_json` gave.

        Raises:
            ConfigError: a key is unknown, or a value is outside its range.
        """
        return cls(**checked_fields(cls, values))


def changed_fields(config: DataclassInstance) -> dict[str, Any]:
    """Return the fields of a dataclass that are not at their default, as JSON has them."""
    changed = {
        field.name: value
        for field in dataclasses.fields(config)
        if (value := getattr(config, field.name)) != field.default
    }
    return json.loads(json.dumps(changed))


def checked_fields(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a dataclass, lists turned back into tuples.

    Raises:
        ConfigError: a key is no field of `kind`.
    """
    known = {field.name for field in dataclasses.fields(kind)}
    unknown = sorted(values.keys() - known)
    if unknown:
        raise ConfigError(f"{kind.__name__} has no {', '.join(unknown)}")
    return {name: _tuples(value) for name, value in values.items()}


def _tuples(value: Any) -> Any:  # noqa: ANN401 - JSON has any
    return tuple(_tuples(part) for part in value) if isinstance(value, list | tuple) else value

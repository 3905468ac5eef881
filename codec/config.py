"""The architecture as data: every size a model has, and nothing else."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from ..bitstream.header import PATCH_PX as PATCH_PX
from .errors import WeightsError
from .quality.curve import lmbda_of

LATENT_STRIDE = 8
"""Pixels a side that one position of the latents covers."""

COEFFICIENTS = 3 * LATENT_STRIDE**2
"""Of a transform that leaves nothing out, luma and both chroma planes."""

FINEST = 1 / 3
"""Factor of the step of quality 100, 3.8, where the transform is open. Even noise has 51 dB then:
an error of 1.27^2 / 12 in each plane, and what rounding pixels adds."""

LATENTS_A_SIDE = PATCH_PX // LATENT_STRIDE
"""Positions of the latents a side of a patch."""


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a `DctVae`. Stored with the weights, so that a file describes itself.

    Attributes:
        luma_context: kept DCT coefficients a side of a 32x32 luma patch.
        chroma_context: the same for each chroma plane.
        level_channels: latent channels of each level, in order of frequency; they sum to the
            number of 8x8 DCT coefficients kept.
        checkerboard_levels: how many of the first levels are coded in two steps, the anchors of
            a checkerboard first.
        top_width: channels of the trunk at stride 32.
        trunk_width: channels of the trunk at stride 8.
        prior_width: channels of the context prior, a masked diffusion.
        prior_zones: where its zones of frequency end, in channels of `frequencies.context_order`.
            By default the means, then frequencies up to 1.4, 2, 2.2, 3, 3.6 and 5 (about half of
            those at 5), the rest.
        prior_slices: in how many slices of its channels a zone is revealed, at most.
        prior_hidden: channels of the small networks between these slices.
        prior_components: of the mixture and the VampPrior.
        analysis_widths: channels of the analysis at strides 4 and 8.
        analysis_blocks: residual blocks of the analysis at strides 4 and 8.
        posterior_width: hidden channels of each posterior head.
        synthesis_widths: channels of the synthesis at strides 8 and 4.
        synthesis_blocks: residual blocks of the synthesis at strides 8 and 4.
        linear_from: quality from which the transform leaves its networks for the plain DCT, until
            at 100 nothing is left of them. 100: never, and latents are finer nowhere.
    """

    luma_context: int = 6
    chroma_context: int = 4
    level_channels: tuple[int, ...] = (8, 12, 16, 24, 32, 48)
    checkerboard_levels: int = 3
    top_width: int = 128
    trunk_width: int = 80
    prior_width: int = 96
    prior_zones: tuple[int, ...] = (3, 12, 18, 24, 33, 45, 56)
    prior_slices: int = 6
    prior_hidden: int = 32
    prior_components: int = 64
    analysis_widths: tuple[int, int] = (64, 96)
    analysis_blocks: tuple[int, int] = (3, 9)
    posterior_width: int = 64
    synthesis_widths: tuple[int, int] = (96, 48)
    synthesis_blocks: tuple[int, int] = (2, 2)
    linear_from: int = 100

    @property
    def context_channels(self) -> int:
        """Number of context coefficients a patch, luma and both chroma planes."""
        return self.luma_context**2 + 2 * self.chroma_context**2

    @property
    def latent_channels(self) -> int:
        """Number of latent channels at stride 8, all levels together."""
        return sum(self.level_channels)

    @property
    def is_open(self) -> bool:
        """Whether quality 100 is all but lossless for every picture, whatever was learned."""
        return self.linear_from < 100

    def learned_share(self, quality: Any) -> Any:  # noqa: ANN401
        """Return how much the networks of the transform count: 1 up to `linear_from`, 0 at 100.

        What they have learned of photographs makes other pictures worse. No step is fine enough
        to make up for that, and so what is to be all but lossless goes without them.

        Args:
            quality: in 0...100; a number, an array or a tensor, of which it returns the kind.
        """
        if not self.is_open:
            return 1.0
        left = (100 - quality) / (100 - self.linear_from)
        # The lesser of `left` and 1, but for the last bit, by which files say what they skip
        # (`CodingConditions.skips`): this is part of the format as it stands.
        return (left + 1 - abs(left - 1)) / 2

    def fineness(self, quality: Any) -> Any:  # noqa: ANN401
        """Return the factor of the latents' steps where the networks do not count."""
        share = self.learned_share(quality)
        return share + (1 - share) * FINEST

    def lmbda(self, quality: Any) -> Any:  # noqa: ANN401
        """Return the lambda whose steps the latents have: that of `quality.lmbda_of`, or more."""
        return lmbda_of(quality) / self.fineness(quality) ** 2

    def to_json(self) -> str:
        """Return the configuration as one JSON object."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        """Read what `to_json` wrote.

        Raises:
            WeightsError: not a JSON object, a key is unknown, or a value is of another type.
        """
        try:
            values: dict[str, Any] = json.loads(text)
        except json.JSONDecodeError as error:
            raise WeightsError(f"the model's configuration is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise WeightsError("the model's configuration is not a JSON object")
        usual = dataclasses.asdict(cls())
        if unknown := sorted(set(values) - set(usual)):
            raise WeightsError(f"unknown keys in the model's configuration: {', '.join(unknown)}")
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        for key, value in values.items():
            numbers = value if isinstance(usual[key], tuple) else (value,)
            if not isinstance(numbers, tuple) or any(type(n) is not int for n in numbers):
                raise WeightsError(f"{key} in the model's configuration is {value!r}")
        return cls(**values)


PRESETS = {
    "base": ModelConfig(),
    "open": ModelConfig(level_channels=(8, 12, 16, 24, 32, 100), linear_from=90),
    "tiny": ModelConfig(
        top_width=32,
        trunk_width=32,
        prior_width=32,
        prior_zones=(3, 18),
        prior_slices=2,
        prior_hidden=16,
        analysis_widths=(32, 32),
        analysis_blocks=(1, 1),
        posterior_width=32,
        synthesis_widths=(32, 32),
        synthesis_blocks=(1, 1),
    ),
}
"""Named sizes: `base` ships, `open` has all coefficients, `tiny` serves tests and dry runs."""

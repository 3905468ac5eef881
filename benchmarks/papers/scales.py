"""How large the experiments are.

tiny tests the commands. A table takes minutes of a core at short, up to an hour where it has many
seeds, and ten times as long at small. paper has the sizes of the papers, as far as they give them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Scale:
    """Sizes of everything that is not itself under test.

    Args:
        name: tiny, short, small or paper.
        train_images: images to learn from at most; 0 is all.
        test_images: images of the bound.
        likelihood_images: of those, images of the importance weighted estimate.
        samples: K of that estimate.
        conv_steps: updates of a model of MNIST or OMNIGLOT.
        colour_steps: updates of a model of CIFAR-10.
        serial_steps: updates of a serial MLP.
        conv_batch: images an update.
        colour_batch: the same for CIFAR-10.
        width: channels for MNIST and OMNIGLOT.
        colour_width: channels for CIFAR-10.
        blocks: residual blocks for each scale of the encoder.
        chain: images of the lossless chain.
        changes: by set, what its top-down models have otherwise, as fields of `VaeConfig`.
    """

    name: str
    train_images: int
    test_images: int
    likelihood_images: int
    samples: int
    conv_steps: int
    colour_steps: int
    serial_steps: int
    conv_batch: int
    colour_batch: int
    width: int
    colour_width: int
    blocks: int
    chain: int
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)

    @property
    def tiny(self) -> bool:
        """Whether the commands alone are under test."""
        return self.name == "tiny"

    def sweep(self, values: Sequence[T], few: Sequence[T] = ()) -> tuple[T, ...]:
        """Return all values, or at the tiny scale a few of them: the ends unless told."""
        return tuple(few or (values[0], values[-1])) if self.tiny else tuple(values)


SMALL = Scale(
    name="small",
    train_images=0,
    test_images=2000,
    likelihood_images=500,
    samples=100,
    conv_steps=6000,
    colour_steps=10_000,
    serial_steps=20_000,
    conv_batch=128,
    colour_batch=32,
    width=16,
    colour_width=32,
    blocks=2,
    chain=1000,
)
PAPER = replace(
    SMALL,
    name="paper",
    test_images=10_000,
    likelihood_images=10_000,
    samples=1000,
    conv_steps=60_000,
    colour_steps=1_200_000,
    serial_steps=1_000_000,
    conv_batch=250,
    colour_batch=128,
    width=32,
    colour_width=128,
    blocks=3,
    changes={
        "omniglot": {"width": 80, "hidden": 40},
        "cifar10": {
            "scales": ((32, 10), (16, 8), (8, 6), (4, 4)),
            "hidden": 96,
            "blocks": 4,
            "diffusion_width": 32,
            "diffusion_blocks": 3,
        },
    },
)
"""Sizes of DVP-VAE, table 7; 3,000 epochs of CIFAR-10 are 1.2M steps."""
SHORT = replace(
    SMALL,
    name="short",
    test_images=1000,
    likelihood_images=200,
    samples=50,
    conv_steps=600,
    colour_steps=600,
    serial_steps=2000,
    conv_batch=64,
    colour_batch=16,
    colour_width=16,
    blocks=1,
)
TINY = replace(
    SMALL,
    name="tiny",
    train_images=96,
    test_images=16,
    likelihood_images=4,
    samples=2,
    conv_steps=2,
    colour_steps=2,
    serial_steps=4,
    conv_batch=4,
    colour_batch=2,
    width=4,
    colour_width=4,
    blocks=1,
    chain=6,
)
SCALES = {scale.name: scale for scale in (TINY, SHORT, SMALL, PAPER)}
"""From the smallest to the largest."""

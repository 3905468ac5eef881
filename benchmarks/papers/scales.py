"""How large the experiments are: tiny to test the commands, small for two cores, paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Scale:
    """Sizes of everything that is not itself under test.

    Args:
        name: tiny, small or paper.
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

    @property
    def tiny(self) -> bool:
        """Whether the commands alone are under test."""
        return self.name == "tiny"

    def sweep(self, values: Sequence[T], few: Sequence[T] = ()) -> tuple[T, ...]:
        """Return all values, or at the tiny scale a few of them: the ends unless told."""
        return tuple(few or (values[0], values[-1])) if self.tiny else tuple(values)


TINY = Scale("tiny", 96, 16, 4, 2, 2, 2, 4, 4, 2, 4, 4, 1, 6)
SMALL = Scale("small", 0, 2000, 500, 100, 6000, 10_000, 20_000, 128, 32, 16, 32, 2, 1000)
PAPER = Scale("paper", 0, 10_000, 10_000, 1000, 60_000, 200_000, 1_000_000, 250, 128, 32, 128, 3,
              1000)  # fmt: skip
SCALES = {scale.name: scale for scale in (TINY, SMALL, PAPER)}

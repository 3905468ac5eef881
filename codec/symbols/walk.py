"""The one top-down pass, for context and latents, for training, encoding and decoding.

    for each step, for each slice of its channels:
        the network predicts a distribution from all that is known
        the coder says how far the values are from its means
        the network learns the values

The pass touches no array. `Network` is a float network in training, an integer network in PyTorch
or in ONNX Runtime. `SymbolCoder` adds up bits, writes symbols, reads them, or draws them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from .schedule import CodingStep


class Prediction(NamedTuple):
    """A Gaussian for each variable of a slice, arrays or tensors (B, c, n).

    Attributes:
        mean: in quantisation steps.
        quarters: four times the scale index (`codec.symbols.scales.scale_of`), 0...252.
    """

    mean: Any
    quarters: Any


class Network(Protocol):
    """What predicts the variables of a pass, and remembers what was coded."""

    @property
    def schedule(self) -> Sequence[CodingStep]:
        """The steps of the pass."""
        ...

    def advance(self, step: CodingStep) -> None:
        """Bring the state to the beginning of a step."""
        ...

    def predict(self, step: CodingStep, number: int) -> Prediction:
        """Predict slice `number` of the step."""
        ...

    def residual(self, step: CodingStep, number: int) -> Any:  # noqa: ANN401
        """Return what the slice should be less its means, (B, c, n) in steps; encoders only."""
        ...

    def reveal(self, step: CodingStep, number: int, offset: Any) -> None:  # noqa: ANN401
        """Take in what the slice is less its means, (B, c, n) in steps."""
        ...


class SymbolCoder(Protocol):
    """What decides the values of a slice."""

    def code(
        self,
        step: CodingStep,
        number: int,
        prediction: Prediction,
        residual: Callable[[], Any],
    ) -> Any:  # noqa: ANN401
        """Return what the values of a slice are less their means, (B, c, n) in steps.

        Args:
            step: the step.
            number: of the slice within the step.
            prediction: the Gaussians.
            residual: gives what the values should be less their means; only for networks that
                know an image.
        """
        ...


N = TypeVar("N", bound=Network)


def walk(network: N, coder: SymbolCoder) -> N:
    """Code all steps of a network's schedule, and return the network."""
    for step in network.schedule:
        network.advance(step)
        for number in range(len(step.slices)):
            prediction = network.predict(step, number)
            residual = partial(network.residual, step, number)
            network.reveal(step, number, coder.code(step, number, prediction, residual))
    return network

"""How the tensors of a model stand in the weight file, and back.

weights, shifts of integer layers         int8
knots of integer layers                   int16
every other tensor that decides symbols   int32
filters of analysis and posteriors        int8, and a float32 `scale` a filter; but those of
                                          `conv2` of the posteriors, whose rounding cost most
everything else                           float16
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..codec.errors import WeightsError

SCALE = ".scale"
_DECIDES = re.compile(r"^(context|(\d+\.)?trunk)\.")
_EIGHT_BITS = re.compile(
    r"^(\d+\.|latents\.)?(analysis\..*|posteriors\.\d+\.(conv1|shrink))\.weight$"
)
_INTEGER_TYPES = {"weight": np.int8, "shift": np.int8, "knots": np.int16}


def is_eight_bit(name: str) -> bool:
    """Tell whether a float filter stands in the file as 8 bits and a scale."""
    return _EIGHT_BITS.match(name) is not None


def stored_type(name: str) -> np.dtype:
    """Return the type that a tensor of a model has in the file."""
    if _DECIDES.match(name):
        return np.dtype(_INTEGER_TYPES.get(name.rsplit(".", 1)[-1], np.int32))
    if is_eight_bit(name.removesuffix(SCALE)):
        return np.dtype(np.float32 if name.endswith(SCALE) else np.int8)
    return np.dtype(np.float16)


def stored(name: str, tensor: Tensor) -> dict[str, np.ndarray]:
    """Return what stands in the file of one tensor: itself, or 8 bits of it and a scale.

    Raises:
        WeightsError: a value is not finite, or does not fit its type.
    """
    array = tensor.detach().cpu().numpy()
    if not np.isfinite(array).all():
        raise WeightsError(f"{name} is not finite")
    if is_eight_bit(name):
        scale = eight_bit_scale(array)
        integers = np.clip(np.rint(array / scale), -127, 127)
        return {name: np.ascontiguousarray(integers.astype(np.int8)), name + SCALE: scale}
    kind = stored_type(name)
    with np.errstate(invalid="ignore", over="ignore"):  # what does not fit is refused below
        written = np.ascontiguousarray(array.astype(kind))
    exact = kind == np.float16 or np.array_equal(written, array)
    if not exact or not np.isfinite(written).all():
        raise WeightsError(f"{name} does not fit {kind}")
    return {name: written}


def eight_bit_scale(filters: np.ndarray) -> np.ndarray:
    """Return by what the integers of filters (O, I, k, k) are multiplied: (O, 1, 1, 1) float32."""
    largest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    return np.where(largest > 0, largest / 127, 1).astype(np.float32)


def restored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a model, float32 or as its buffers are, from those of the file.

    Exported graphs contain this function, so that the file holds each tensor once.

    Raises:
        KeyError: a scale has no filter, or another shape than its filter asks for.
    """
    back: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(SCALE):
            continue
        values = tensor.double() if "norm." in name else tensor.float()
        scale = tensors.get(name + SCALE)
        if scale is not None:
            if scale.shape != (len(tensor), 1, 1, 1):
                raise KeyError(name)
            values = values * scale
        back[name] = values
    if any(name.removesuffix(SCALE) not in back for name in tensors):
        raise KeyError("a scale without its filter")
    return back


def from_arrays(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, Tensor]:
    """Return the tensors below a prefix of the file, without the prefix."""
    return {
        name.removeprefix(prefix): torch.from_numpy(np.array(array))
        for name, array in arrays.items()
        if name.startswith(prefix)
    }

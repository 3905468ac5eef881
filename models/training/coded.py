"""Coded files as a dataset of PyTorch."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from ...codec.batch.coded_files import CodedDecoder, CodedFiles, Wanted
from ...codec.options import DecodeOptions


class CodedDataset(Dataset[Any]):
    """The coded files of a folder, and of the tar shards in it, decoded by the loader's workers.

    Decoding needs no PyTorch: workers compute in ONNX Runtime, one thread each, forked or spawned.

    Attributes:
        keys: of each, as webdataset has them: with folders, without suffix.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        wanted: Wanted | None = None,
        transform: Callable[[Image.Image], Any] | None = None,
    ):
        """Find the files.

        Args:
            folder: of files and shards; or one of them.
            wanted: what of a file: a region, a scale, all by default; or a function of a file's
                description, for regions of its size.
            transform: of the Pillow image; `to_tensor` by default.

        Raises:
            OSError: it cannot be read, or is not there.
            DataError: it has none.
        """
        self.files = CodedFiles(
            folder, CodedDecoder(wanted or DecodeOptions(), transform or to_tensor)
        )
        self.keys = self.files.keys

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> Any:  # noqa: ANN401
        """Decode one; see `CodedFiles`."""
        return self.files[number]


def to_tensor(image: Image.Image) -> Tensor:
    """Return (C, H, W) uint8, or uint16 of 16-bit grey."""
    samples = np.array(image)
    return torch.from_numpy(np.atleast_3d(samples)).permute(2, 0, 1).contiguous()

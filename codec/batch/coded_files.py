"""Training straight from coded files: one by its number, or a member of a webdataset sample."""

from __future__ import annotations

import multiprocessing
import os
import tarfile
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from PIL import Image

from .. import api
from ..errors import DataError
from ..info import FileInfo
from ..networks.threads import THREADS_VARIABLE
from ..options import DecodeOptions
from ..sources import CodedSource
from .tar import key_and_suffix
from .transcode import CODED_SUFFIX

Wanted = DecodeOptions | Callable[[FileInfo], DecodeOptions]
"""What of a file is decoded; a function of its description can choose a region of its size."""


@dataclass(frozen=True)
class CodedDecoder:
    """Decodes the members of webdataset samples that are coded files.

    Called with a suffix and bytes, as webdataset calls its handlers:
    `WebDataset(urls).decode(CodedDecoder())`. In a loader's worker one thread decodes, unless
    HVAE_CODEC_THREADS says otherwise: loaders have many workers, and a fork has none of a pool's
    threads.

    Attributes:
        wanted: what of a file: all, a region, a scale; or a function that says so.
        transform: of the Pillow image.
    """

    wanted: Wanted = field(default_factory=DecodeOptions)
    transform: Callable[[Image.Image], Any] | None = None

    def __call__(self, suffix: str, data: bytes) -> Any:  # noqa: ANN401
        """Return the image, or None where the suffix is another one.

        Raises:
            BitstreamError: as `api.decode` does.
        """
        return self.decode(data) if suffix.rpartition(".")[2].lower() == CODED_SUFFIX else None

    def decode(self, source: CodedSource) -> Any:  # noqa: ANN401
        """Return the image of a file: bytes, a path, or a binary file.

        Raises:
            OSError, BitstreamError: as `api.decode` does.
        """
        if multiprocessing.parent_process():
            os.environ.setdefault(THREADS_VARIABLE, "1")
        wanted = self.wanted
        if not isinstance(wanted, DecodeOptions):
            wanted = wanted(api.inspect(source))
        image = api.decode_with(source, wanted).image
        return self.transform(image) if self.transform else image


@dataclass(frozen=True)
class _Shard:
    """A tar and where its coded files lie: (first byte, bytes) of each."""

    path: Path
    places: tuple[tuple[int, int], ...]


class CodedFiles:
    """The coded files of a folder, and of the tar shards in it, by number; or a single file.

    Their places are read once; of a file that lies in the folder, a region reads what it needs.

    Attributes:
        keys: of each, as webdataset has them: with folders, without suffix.
    """

    def __init__(self, folder: str | os.PathLike[str], decoder: CodedDecoder | None = None):
        """Find them.

        Args:
            folder: of files and shards; or one of them.
            decoder: what is made of a file; a Pillow image by default.

        Raises:
            OSError: it cannot be read, or is not there.
            DataError: it has none.
        """
        root = Path(folder)
        above = root if root.is_dir() else root.parent
        root.stat()  # is it there?
        self.decoder = decoder or CodedDecoder()
        found = sorted(root.rglob("*")) if root.is_dir() else [root]
        self._files = [path for path in found if path.suffix.lower() == f".{CODED_SUFFIX}"]
        self.keys = [path.relative_to(above).with_suffix("").as_posix() for path in self._files]
        self._shards = []
        for path in found:
            if path.suffix.lower() == ".tar":
                keys, shard = _indexed(path)
                self.keys += keys
                self._shards.append(shard)
        if not self.keys:
            raise DataError(f"no coded files in {root}")
        counts = (len(self._files), *(len(shard.places) for shard in self._shards))
        self._ends = [*accumulate(counts)]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, number: int) -> Any:  # noqa: ANN401
        """Decode one.

        Raises:
            IndexError: there are fewer.
            OSError, BitstreamError: as `api.decode` does.
        """
        number = range(len(self))[number]  # counts from the end, and refuses
        if number < len(self._files):
            return self.decoder.decode(self._files[number])
        block = bisect_right(self._ends, number)
        shard = self._shards[block - 1]
        begin, size = shard.places[number - self._ends[block - 1]]
        with shard.path.open("rb") as file:
            file.seek(begin)
            return self.decoder.decode(file.read(size))


def _indexed(path: Path) -> tuple[list[str], _Shard]:
    keys, places = [], []
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                name = key_and_suffix(member.name)
                is_whole = member.isreg() and not member.issparse()
                if name and is_whole and name[1].rpartition(".")[2] == CODED_SUFFIX:
                    keys.append(name[0])
                    places.append((member.offset_data, member.size))
    except tarfile.TarError as error:
        raise DataError(f"{path} is no tar shard: {error}") from error
    return keys, _Shard(path, tuple(places))

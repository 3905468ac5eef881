"""What is told of every image of a dataset, whatever became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import storage

SUCCESS = "success"
KEPT = "kept_original"
UNREADABLE = "failed_to_read"
FAILED = "failed_to_transcode"


@dataclass(frozen=True)
class Row:
    """One image.

    Attributes:
        status: `success`; `kept_original`, where the output is the input; `failed_to_read`, which
            the next run tries again; or `failed_to_transcode`, which it does not.
        error: why it failed, in one line.
        width, height: in px.
        original_bytes: of the input.
        bytes: of the output.
        quality: of the coded file, 0...100.
        psnr_db: of the coded file over all colour samples, where it was asked for.
        sha256: of the output, in hexadecimal.
        left_out: what the input holds and the output does not: names, with commas between them.
    """

    status: str
    error: str | None = None
    width: int | None = None
    height: int | None = None
    original_bytes: int | None = None
    bytes: int | None = None
    quality: int | None = None
    psnr_db: float | None = None
    sha256: str | None = None
    left_out: str | None = None

    @property
    def is_good(self) -> bool:
        """Whether there is an output."""
        return self.status in (SUCCESS, KEPT)


def schema_of(url: str) -> Any:  # noqa: ANN401
    """Return the columns of a Parquet file, or None where it is none.

    Raises:
        OSError: it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with storage.open_read(url) as stream:
            return pq.read_schema(stream)
    except pa.ArrowInvalid:
        return None


def arrow_schema() -> Any:  # noqa: ANN401
    """Return the columns of a shard's Parquet file: key and source, then those of `Row`."""
    import pyarrow as pa

    text, whole = pa.string(), pa.int64()
    return pa.schema(
        [
            ("key", text),
            ("source", text),
            ("status", text),
            ("error", text),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("original_bytes", whole),
            ("bytes", whole),
            ("quality", pa.int32()),
            ("psnr_db", pa.float64()),
            ("sha256", text),
            ("left_out", text),
        ]
    )

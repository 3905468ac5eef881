"""Parquet files with a column of images: bytes, or structs of bytes and path."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from ...bitstream import MAGIC
from ..errors import DataError
from ..images import is_image_name
from ..numbers import for_json
from . import storage
from .row import FAILED, UNREADABLE, Row, schema_of
from .sources import Item, failing, held, printable

_NAMES = ("image", "jpg", "jpeg", "png", "webp", "hvae", "img", "bytes", "content", "data")
_KEYS = ("key", "__key__")
_OURS = {"beside", "key", "source", *(column.name for column in fields(Row))}
_ROWS_AT_ONCE = 16
_BEGINNINGS = {
    b"\x89PNG": "png", b"\xff\xd8\xff": "jpg", b"GIF8": "gif", b"BM": "bmp", b"II*\0": "tif",
    b"MM\0*": "tif", b"\xff\x0a": "jxl", b"\0\0\0\x0cJXL ": "jxl",
}  # fmt: skip
"""Of images; opening them would be work, and may be a trap, in the process that reads."""


@dataclass(frozen=True)
class ParquetPart:
    """Some row groups of a file; columns beside the images become the sample's `json`."""

    url: str
    size: int
    groups: tuple[int, ...]
    first_row: int
    column: str
    done: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """See `sources.Container`."""
        return f"{self.url}#{self.groups[0]}-{self.groups[-1]}"

    def without(self, done: frozenset[str]) -> ParquetPart:
        """See `sources.Container`."""
        prefix = printable(f"{self.url}#")
        return replace(self, done=frozenset(s for s in done if s.startswith(prefix)))

    def items(self) -> Iterator[Item]:
        """See `sources.Container`."""
        import pyarrow.parquet as pq

        try:
            with storage.open_read(self.url) as stream, pq.ParquetFile(stream) as file:
                number = self.first_row
                for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=list(self.groups)):
                    for record in batch.to_pylist():
                        source = f"{self.url}#{number}"
                        if printable(source) not in self.done and not _has_failed(record):
                            yield self._item(record, source, number)
                        number += 1
        except Exception as error:
            yield Item("", "", self.name, 0, failing(f"cannot be read: {error}"))

    def _item(self, record: dict[str, Any], source: str, number: int) -> Item:
        value, path = record.pop(self.column), ""
        if isinstance(value, dict):
            path, value = value.get("path") or "", value.get("bytes")
        stem = os.path.splitext(os.path.basename(self.url))[0]
        key = next((record[name] for name in _KEYS if record.get(name)), f"{stem}-{number:08d}")
        if not value:
            return Item(str(key), "", source, 0, failing("the row has no image"))
        is_ours = record.keys() >= _OURS
        beside = dict(record["beside"] or ()) if is_ours else {}
        known = _OURS if is_ours else _KEYS
        others = {name: value for name, value in record.items() if name not in known}
        if others and "json" not in beside:
            beside["json"] = json.dumps(for_json(others), default=_text).encode()
        suffix = os.path.splitext(path)[1].removeprefix(".").lower()
        suffix = suffix or _suffix_of(value, self.column)
        return Item(str(key), suffix, source, len(value), held(value), beside)


def _text(value: object) -> str:
    """Return what JSON does not know as text: bytes in base64."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def holds_images(url: str) -> bool:
    """Tell whether a Parquet file has a column of images.

    Raises:
        OSError: it cannot be read.
    """
    schema = schema_of(url)
    return schema is not None and any(_holds_images(schema, name) for name in _NAMES)


def parquet_parts(
    url: str, size: int, shard_size: int, column: str | None
) -> Iterator[ParquetPart]:
    """Cut a file between row groups.

    Raises:
        OSError: it cannot be read.
        DataError: it has no column of images.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with storage.open_read(url) as stream, pq.ParquetFile(stream) as file:
            names = set(file.schema_arrow.names)
            if column is None and names | {"beside"} >= _OURS and "image" not in names:
                return  # the rows of a shard that is empty, or elsewhere
            column = _image_column(url, file.schema_arrow, column)
            counts = [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]
    except pa.ArrowInvalid as error:
        raise DataError(f"{url} is no Parquet file: {error}") from error
    begin = 0
    while begin < len(counts):
        end = begin + 1
        while end < len(counts) and sum(counts[begin : end + 1]) <= shard_size:
            end += 1
        share = size * sum(counts[begin:end]) // max(1, sum(counts))
        yield ParquetPart(url, share, tuple(range(begin, end)), sum(counts[:begin]), column)
        begin = end


def _image_column(url: str, schema: Any, wished: str | None) -> str:  # noqa: ANN401
    if wished and wished in schema.names and not _holds_images(schema, wished):
        raise DataError(f"{url}: the column {wished} is {schema.field(wished).type}, not bytes")
    names = [wished] if wished else _NAMES
    found = [name for name in names if _holds_images(schema, name)]
    if not found:
        there = ", ".join(schema.names)
        raise DataError(f"{url} has no column {wished or 'of images'}, only {there}")
    return found[0]


def _holds_images(schema: Any, name: str) -> bool:  # noqa: ANN401
    """Tell whether a column has a type that images have."""
    import pyarrow.types as types

    if name not in schema.names:
        return False
    kind = schema.field(name).type
    kind = kind.value_type if types.is_dictionary(kind) else kind
    if types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)


def _has_failed(record: dict[str, Any]) -> bool:
    """Tell whether a row of ours stands for an image that was lost before."""
    return record.keys() >= _OURS and record["status"] in (UNREADABLE, FAILED)


def _suffix_of(value: bytes, column: str) -> str:
    if value.startswith(MAGIC):
        return "hvae"
    if is_image_name(f"x.{column}"):
        return column
    for begin, suffix in _BEGINNINGS.items():
        if value.startswith(begin):
            return suffix
    return "webp" if value[8:12] == b"WEBP" else "bin"

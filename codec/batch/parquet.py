"""Parquet files with a column of images: bytes, or structs of bytes and path."""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import count
from typing import Any

from ...bitstream import MAGIC
from ..errors import DataError
from ..images import is_image_name, suffix_of
from ..numbers import for_json
from . import storage
from .row import FAILED, UNREADABLE, Row, schema_of
from .sources import Item, failing, held, printable

_NAMES = ("image", "jpg", "jpeg", "png", "webp", "hvae", "img", "bytes", "content", "data")
_KEYS = ("key", "__key__")
_OURS = {"beside", "key", "source", *(column.name for column in fields(Row))}
_ROWS_AT_ONCE = 4  # each may hold a large photograph
_BUFFER_BYTES = 1 << 20  # that are read ahead of a column; as a rule a whole row group is


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

    def items(self, most_bytes: float = math.inf) -> Iterator[Item]:
        """See `sources.Container`; a page of the file is held, whatever lies in it."""
        import pyarrow.parquet as pq

        try:
            with (
                storage.open_read(self.url) as stream,
                pq.ParquetFile(stream, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file,
            ):
                numbers = count(self.first_row)
                for group in self.groups:  # together, two would be held at a time
                    for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=[group]):
                        for row in range(batch.num_rows):
                            yield from self._row(batch, row, next(numbers))
        except Exception as error:
            yield Item("", "", self.name, 0, failing(f"cannot be read: {error}"))

    def _row(self, batch: Any, row: int, number: int) -> Iterator[Item]:  # noqa: ANN401
        source = f"{self.url}#{number}"
        if printable(source) in self.done:
            return
        try:
            names = batch.schema.names
            record = {name: _value(batch.column(at)[row]) for at, name in enumerate(names)}
            if not _has_failed(record):
                yield self._item(record, source, number)
        except Exception as error:  # an odd row costs no other
            yield Item("", "", source, 0, failing(f"the row cannot be read: {error}"))

    def _item(self, record: dict[str, Any], source: str, number: int) -> Item:
        value, path = record.pop(self.column), ""
        if isinstance(value, dict):
            path, value = value.get("path") or "", value.get("bytes")
        stem = os.path.splitext(os.path.basename(self.url))[0]
        keys = (str(record[name]) for name in _KEYS if record.get(name) not in (None, ""))
        key = next(keys, f"{stem}-{number:08d}")
        if not value:
            return Item(key, "", source, 0, failing("the row has no image"))
        is_ours = record.keys() >= _OURS
        beside = dict(record["beside"] or ()) if is_ours else {}
        known = _OURS if is_ours else _KEYS
        others = {name: value for name, value in record.items() if name not in known}
        if others and "json" not in beside:
            beside["json"] = json.dumps(for_json(others), default=_text).encode()
        suffix = os.path.splitext(path)[1].removeprefix(".").lower()
        suffix = suffix or _suffix_of(value, self.column)
        return Item(key, suffix, source, len(value), held(value), beside)


def _value(scalar: Any) -> Any:  # noqa: ANN401
    """Return a value of a column; as text what Python has no type for, such as nanoseconds.

    A time of some zone is that text in UTC, as it is stored: Windows and small containers know no
    other zone.

    Raises:
        Exception: it is neither.
    """
    import pyarrow as pa

    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        in_zone = pa.types.is_timestamp(scalar.type) and scalar.type.tz is not None
        plain = scalar.cast(pa.timestamp(scalar.type.unit)) if in_zone else scalar
        text = plain.cast(pa.string()).cast(pa.binary()).as_py()
        return text.decode("utf-8", "backslashreplace") + "Z" * in_zone


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
    return suffix_of(value) or "bin"

"""Parquet files: a table whose columns have types.

    question (string)   label (int32)   lang (dictionary)   asked (timestamp)   tags (list)
    text                answer: "7"     metadata.lang       metadata.asked      left out: no text, no number

What is no text becomes one: numbers as they are written, times in ISO 8601, yes and no as true and false. A
column `metadata` that is a map or a struct of texts holds metadata. A name may lead into structs, as in
`--text document.body`. Lines are the rows, counted from 1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, BinaryIO, Final

from hurnet_stream.operations.files.columns import METADATA, TIMESTAMP, Columns
from hurnet_stream.operations.files.opened import UnreadableFile, pyarrow
from hurnet_stream.operations.files.rows import Draft, Reject

ROWS: Final = 5_000
"""That are read at once."""
_KEPT: Final = ("weight", "refutes", TIMESTAMP)
"""The fields that are no texts."""


def parquet_drafts(
    name: str, file: BinaryIO | str, chosen: Columns, share: Callable[[float], None]
) -> Iterator[Draft | Reject]:
    """The rows of a file. `share` is told which part of it was read."""
    read = parquet_file(name, file)
    names = [field.name for field in read.schema_arrow]
    wanted = _wanted(read.schema_arrow, chosen)
    columns = [path for path in wanted if wanted[path]]
    fields = [wanted[path] for path in columns]
    if chosen.key and (chosen.key in wanted or _leads(read.schema_arrow, chosen.key)):
        columns.append(chosen.key)
        fields.append("key")
        wanted.setdefault(chosen.key, "")
    problem = chosen.problem(list(dict.fromkeys((*wanted, *names))), fields)
    if not problem and len(set(names)) < len(names):
        problem = "two columns have the same name"
    if not problem and "text" not in fields:
        problem = f"no column is named text, --text says which one it is: {', '.join(names)[:300]}"
    if problem:
        yield Reject(1, "columns", problem)
        return
    yield from _rows(name, read, columns, fields, share)


def _rows(
    name: str, read: Any, columns: Sequence[str], fields: Sequence[str], share: Callable[[float], None]
) -> Iterator[Draft | Reject]:
    names = {field.name for field in read.schema_arrow}
    roots = [column if column in names else column.partition(".")[0] for column in columns]
    total, number = max(1, read.metadata.num_rows), 0
    for batch in batches_of(name, read, list(dict.fromkeys(roots))):
        taken = [_column(batch, path, feeds) for path, feeds in zip(columns, fields, strict=True)]
        for values in zip(*taken, strict=True):
            number += 1
            yield _draft(number, fields, values)
        share(number / total)


def batches_of(name: str, read: Any, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """The rows of a file, or these columns of them, in batches. Raises `UnreadableFile`."""
    batches, number = read.iter_batches(ROWS, columns=columns), 0
    while True:
        try:
            batch = next(batches, None)
        except (OSError, ValueError) as error:  # of pyarrow, which are both
            raise UnreadableFile(
                f"{name}:{number + 1:,}: its data are damaged ({_short(error)}): copy it again"
            ) from error
        if batch is None:
            return
        yield batch
        number += batch.num_rows


def parquet_file(name: str, file: BinaryIO | str) -> Any:
    """The file, opened by pyarrow. Raises `UnreadableFile` if it is no whole Parquet file."""
    parquet = pyarrow("parquet")
    try:
        return parquet.ParquetFile(file)
    except (ValueError, OSError) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise UnreadableFile(
            f"{name}: no whole Parquet file, its end or its beginning is missing ({_short(error)}):"
            " copy it again"
        ) from error


def _wanted(schema: Any, chosen: Columns) -> dict[str, str]:
    """By path what it feeds; "" for what is left out."""
    names = [field.name for field in schema]
    feeds = dict(zip(names, chosen.fields(names), strict=True))
    for field in schema:
        name = field.name
        if name == "metadata" and not chosen.metadata and _nests(field.type):
            feeds[name] = "metadata"
        elif feeds[name].startswith(METADATA) and _nests(field.type) and name not in chosen.metadata:
            feeds[name] = ""
    for path in (*chosen.given, *chosen.metadata):
        if path not in feeds and _leads(schema, path):
            feeds[path] = chosen.given.get(path) or METADATA + path.replace(" ", "_")
    return feeds


def _leads(schema: Any, path: str) -> bool:
    head, dot, rest = path.partition(".")
    inner = next((field.type for field in schema if field.name == head), None)
    if inner is None or not dot or not pyarrow("types").is_struct(inner):
        return False
    return rest in [field.name for field in inner] or _leads(list(inner), rest)


def _nests(kind: Any) -> bool:
    types = pyarrow("types")
    return bool(types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind))


def _column(batch: Any, path: str, feeds: str) -> list[Any]:
    """The values (n,) of a column, as a field takes them."""
    types, compute = pyarrow("types"), pyarrow("compute")
    head, _, rest = (path, "", "") if path in batch.schema.names else path.partition(".")
    column = batch.column(batch.schema.get_field_index(head))
    while rest:
        name, _, rest = rest.partition(".")
        column = compute.struct_field(column, name)
    if feeds == TIMESTAMP and types.is_timestamp(column.type):
        arrow = pyarrow("lib")  # as numbers, since Python has no times beyond the year 9999
        column = column.cast(arrow.timestamp("ms"), safe=False).cast(arrow.int64())
    values: list[Any] = column.to_pylist()
    if types.is_string(column.type) or types.is_large_string(column.type) or feeds in _KEPT:
        return [_whole(value) for value in values] if feeds == "weight" else values
    if feeds == "metadata":
        return [_metadata(value) for value in values]
    return [_as_text(value) for value in values]


def _draft(number: int, fields: Sequence[str], values: Sequence[Any]) -> Draft:
    made: dict[str, Any] = {"text": ""}
    metadata: dict[str, Any] = {}
    for feeds, value in zip(fields, values, strict=True):
        if value is None or value == "":
            continue
        if feeds == "metadata":
            metadata |= value
        elif feeds.startswith(METADATA):
            metadata[feeds[len(METADATA) :]] = value
        else:
            made[feeds] = value
    if metadata:
        made["metadata"] = metadata
    if not made.get("refutes"):
        made.pop("refutes", None)
    return Draft(number, made, made.pop("key", None), made.pop(TIMESTAMP, None), values)


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _metadata(value: Any) -> dict[str, Any]:
    pairs = value.items() if isinstance(value, dict) else value or ()
    return {name: _as_text(inner) for name, inner in pairs if inner is not None}


def _as_text(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, int | float | Decimal):
        return str(value)
    return json.dumps(value, default=str, ensure_ascii=False)


def _short(error: Exception) -> str:
    """The first line of what a library says."""
    return (str(error).splitlines() or [""])[0][:120]

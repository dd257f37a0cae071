"""The entries of a context as a file, which `hurnet produce` takes again.

    topic   partition  offset  chunk  timestamp            context  text  answer  weight  refutes  metadata
    texts   2          89      0      2026-11-28 12:00:00  faq      hi    hello   1       false    {lang: en}

JSON has an object a line, without what says nothing. CSV has the metadata as JSON in one cell. Parquet has
types, and vectors if they are wanted: the integers of the grid, or these divided by the scale. Its metadata
say under `hurnet` what the file is of.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import IO, Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.stored.entries import NO_ANSWER, Entries
from hurnet_stream.operations.files.opened import pyarrow
from hurnet_stream.places import Places

Vectors = Literal["", "int16", "float32"]

PARQUET_ROWS: Final = 16_384
"""Of a row group, which is held in memory."""
NAMES: Final = ("topic", "partition", "offset", "chunk", "timestamp", "context", "text", "answer", "weight")


class Writer(Protocol):
    """Writes entries in a format."""

    def write(self, shard: int, entries: Entries, vectors: NDArray[np.int16], /) -> None:
        """Entries (n) of a shard, and their vectors (n, d)."""

    def finish(self) -> None:
        """Write what is left."""


class JsonLines:
    """An object a line. Times are in milliseconds since 1970."""

    def __init__(self, out: IO[bytes], places: Places) -> None:
        self._out = out
        self._places = places

    def write(self, shard: int, entries: Entries, _vectors: NDArray[np.int16]) -> None:
        lines = (json.dumps(said, ensure_ascii=False) for said in _objects(self._places, shard, entries))
        self._out.write("".join(f"{line}\n" for line in lines).encode())

    def finish(self) -> None: ...


class Csv:
    """A table with a line of names."""

    def __init__(self, out: IO[bytes], places: Places) -> None:
        self._places = places
        self._text = io.TextIOWrapper(out, "utf-8", newline="", write_through=True)
        self._table = csv.DictWriter(self._text, (*NAMES, "refutes", "metadata"), lineterminator="\n")
        self._table.writeheader()

    def write(self, shard: int, entries: Entries, _vectors: NDArray[np.int16]) -> None:
        for said in _objects(self._places, shard, entries):
            if "metadata" in said:
                said["metadata"] = json.dumps(said["metadata"], ensure_ascii=False)
            self._table.writerow(said | {"refutes": "true" if "refutes" in said else ""})

    def finish(self) -> None:
        self._text.detach()


class Parquet:
    """Row groups of `PARQUET_ROWS`. `about` goes into the file's metadata, with the scale of vectors."""

    def __init__(
        self, out: IO[bytes], places: Places, about: Mapping[str, Any], vectors: Vectors, dimension: int
    ) -> None:
        self._arrow, self._parquet = pyarrow("lib"), pyarrow("parquet")
        self._places = places
        self._kind = vectors
        scale = {"scale": SCALE} if vectors == "int16" else {}
        told = json.dumps({**about, "vectors": vectors or None, "dimension": dimension, **scale})
        self._schema = self._fields(dimension).with_metadata({"hurnet": told})
        self._writer = self._parquet.ParquetWriter(out, self._schema, compression="zstd")
        self._waiting: list[Any] = []

    def write(self, shard: int, entries: Entries, vectors: NDArray[np.int16]) -> None:
        self._waiting.append(self._batch(shard, entries, vectors))
        if sum(batch.num_rows for batch in self._waiting) >= PARQUET_ROWS:
            self._flush()

    def finish(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(self._arrow.Table.from_batches(self._waiting, self._schema))
            self._waiting.clear()

    def _fields(self, dimension: int) -> Any:
        arrow = self._arrow
        text, number = arrow.string(), arrow.int64()
        kinds = [text, arrow.int32(), number, arrow.int16(), arrow.timestamp("ms", "UTC"), text, text, text]
        fields = [arrow.field(n, kind) for n, kind in zip(NAMES, [*kinds, arrow.int16()], strict=True)]
        fields += [arrow.field("refutes", arrow.bool_()), arrow.field("metadata", arrow.map_(text, text))]
        if self._kind:
            of = arrow.int16() if self._kind == "int16" else arrow.float32()
            fields.append(arrow.field("vector", arrow.list_(of, dimension)))
        return arrow.schema(fields)

    def _batch(self, shard: int, entries: Entries, vectors: NDArray[np.int16]) -> Any:
        found = [self._places.place((shard, position)) for position in entries.offsets.tolist()]
        answers = [*entries.answers, None]  # NO_ANSWER, -1, is the last
        columns: list[Sequence[Any] | NDArray[Any]] = [
            [place.topic or self._places.texts for place in found],
            [place.partition for place in found],
            [place.offset for place in found],
            [place.chunk for place in found],
            entries.timestamps_ms,
            [entries.contexts[index] for index in entries.context_of.tolist()],
            [piece.decode() for piece in entries.pieces()],
            [answers[index] for index in entries.answer_of.tolist()],
            np.abs(entries.copies).astype(np.int16),
            entries.copies < 0,
            [list(each.items()) for each in entries.metadata or [{}] * len(entries)],
        ]
        arrays = [
            self._arrow.array(column, field.type)
            for column, field in zip(columns, self._schema, strict=False)
        ]
        if self._kind:
            arrays.append(self._vectors(vectors))
        return self._arrow.RecordBatch.from_arrays(arrays, schema=self._schema)

    def _vectors(self, vectors: NDArray[np.int16]) -> Any:
        flat = np.ascontiguousarray(vectors).reshape(-1)
        values = flat if self._kind == "int16" else flat.astype(np.float32) / SCALE
        of = self._schema.field("vector").type
        return self._arrow.FixedSizeListArray.from_arrays(self._arrow.array(values, of.value_type), type=of)


def _objects(places: Places, shard: int, entries: Entries) -> list[dict[str, Any]]:
    """Each entry without what says nothing."""
    return [_object(places, shard, entries, row) for row in range(len(entries))]


def _object(places: Places, shard: int, entries: Entries, row: int) -> dict[str, Any]:
    place = places.place((shard, int(entries.offsets[row])))
    copies, answer = int(entries.copies[row]), int(entries.answer_of[row])
    said: dict[str, Any] = {
        "topic": place.topic or places.texts,
        "partition": place.partition,
        "offset": place.offset,
        "chunk": place.chunk,
        "timestamp": int(entries.timestamps_ms[row]),
        "context": entries.contexts[int(entries.context_of[row])],
        "text": entries.text(row),
        "weight": abs(copies),
    }
    if answer != NO_ANSWER:
        said["answer"] = entries.answers[answer]
    if copies < 0:
        said["refutes"] = True
    if entries.metadata and entries.metadata[row]:
        said["metadata"] = dict(entries.metadata[row])
    return said

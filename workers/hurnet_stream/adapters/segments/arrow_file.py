"""Entries as a file in Arrow's IPC format, which pyarrow, polars, DuckDB and others read as a table.

    shard         int64                of the entry's partition: topic number * 65,536 + partition
    position      int64                where it stands in its shard; of the topic of texts, the offset
    timestamp_ms  int64                of its record, in milliseconds since 1970
    context       string
    text          string
    answer        string               null if it has none
    metadata      map<string, string>  null if it has none
    copies        int32                how often it counts; negative if it refutes its answer
    vector        fixed_size_list<int16>[d]  on the grid: unit 2^-14

The file's own metadata say which embedder made the vectors. Each piece is one record batch, which is read by
itself: where its bytes are stands in the store (core/stored/segments.py).

    ARROW1.. | schema | piece | piece | ... | footer
                      ^ start of the first piece
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from crc32c import crc32c

from hurnet_stream.core.stored.batch import Batch, EmbedderIdentity, Vectors
from hurnet_stream.core.stored.entries import NO_ANSWER, Entries, Integers
from hurnet_stream.core.stored.segments import Piece

FORMAT: Final = 1


class EncodedFile(NamedTuple):
    """A whole file, and the pieces that it consists of."""

    content: memoryview
    pieces: Sequence[Piece]


def encode(pieces: Sequence[Batch], identity: EmbedderIdentity) -> EncodedFile:
    """These batches, of one shard and neighbours, as a file. One without entries takes no bytes."""
    schema = _schema(identity.dimension).with_metadata(
        {
            "hurnet-segment-format": str(FORMAT),
            "embedder": identity.name,
            "fingerprint": identity.fingerprint,
            "unit-of-vectors": "2^-14",
        }
    )
    sink = pa.BufferOutputStream()
    ends: list[tuple[int, int]] = []  # of each batch with entries: where it ends, and how long it is
    with pa.ipc.new_file(sink, schema) as writer:
        for batch in pieces:
            if batch.entries:
                table = _table(batch, schema)
                writer.write_batch(table)
                ends.append((sink.tell(), pa.ipc.get_record_batch_size(table)))
    content = memoryview(sink.getvalue())
    places = iter([(end - length, length) for end, length in ends])
    return EncodedFile(content, [_piece(batch, content, *_place(batch, places)) for batch in pieces])


def _place(batch: Batch, places: Any) -> tuple[int, int]:
    return next(places) if batch.entries else (0, 0)


def _piece(batch: Batch, content: memoryview, start: int, length: int) -> Piece:
    checksum = crc32c(content[start : start + length]) if length else 0
    rows = len(batch.entries), batch.removed, batch.gone
    return Piece(batch.watermark, *rows, start, length, checksum)


def decode(content: bytes, piece: Piece, dimension: int) -> tuple[Entries, Vectors]:
    """The entries of a piece, and their vectors (n, d). Raises ValueError if it is not what was written."""
    if len(content) != piece.length or crc32c(content) != piece.checksum:
        raise ValueError("checksum mismatch")
    try:
        message = pa.ipc.read_message(pa.py_buffer(content))
        table = pa.ipc.read_record_batch(message, _schema(dimension))
        table.validate(full=True)
    except (pa.ArrowException, OSError, EOFError) as error:
        raise ValueError(f"no record batch: {error}") from error
    if table.num_rows != piece.entries:
        raise ValueError(f"{table.num_rows} entries, and not {piece.entries}")
    return _entries(table), _vectors(table.column("vector"), dimension)


def _schema(dimension: int) -> pa.Schema:
    return pa.schema(
        [
            pa.field("shard", pa.int64(), nullable=False),
            pa.field("position", pa.int64(), nullable=False),
            pa.field("timestamp_ms", pa.int64(), nullable=False),
            pa.field("context", pa.string(), nullable=False),
            pa.field("text", pa.string(), nullable=False),
            pa.field("answer", pa.string()),
            pa.field("metadata", pa.map_(pa.string(), pa.string())),
            pa.field("copies", pa.int32(), nullable=False),
            pa.field("vector", pa.list_(pa.int16(), dimension), nullable=False),
        ]
    )


def _table(batch: Batch, schema: pa.Schema) -> pa.RecordBatch:
    columns = batch.columns
    texts = pa.StringArray.from_buffers(
        len(columns), pa.py_buffer(columns.starts.astype(np.int32)), pa.py_buffer(columns.texts)
    )
    metadata: Any = columns.metadata or repeat(None, len(columns))
    vectors = np.ascontiguousarray(batch.vectors, np.int16).reshape(-1)
    arrays = [
        pa.array(np.full(len(columns), batch.partition, np.int64)),
        pa.array(columns.offsets),
        pa.array(columns.timestamps_ms),
        _strings(columns.contexts, columns.context_of),
        texts,
        _strings(columns.answers, columns.answer_of),
        pa.array([list(each.items()) if each else None for each in metadata], schema.field("metadata").type),
        pa.array(columns.copies.astype(np.int32)),
        pa.FixedSizeListArray.from_arrays(pa.array(vectors), batch.vectors.shape[1]),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _strings(distinct: Sequence[str], which: Integers) -> pa.StringArray:
    numbers = pa.array(which.astype(np.int32), mask=which == NO_ANSWER)
    return pa.array(distinct, pa.string()).take(numbers)


def _entries(table: pa.RecordBatch) -> Entries:
    texts, starts = _texts(table.column("text"))
    contexts, context_of = _numbered(table.column("context"))
    answers, answer_of = _numbered(table.column("answer"))
    return Entries(
        _integers(table.column("position")),
        _integers(table.column("timestamp_ms")),
        _integers(table.column("copies")).astype(np.int64),
        contexts,
        context_of,
        texts,
        starts,
        answers,
        answer_of,
        _metadata(table.column("metadata")),
    )


def _integers(column: pa.Array) -> Integers:
    values: Integers = column.to_numpy(zero_copy_only=False)
    return values


def _texts(column: pa.StringArray) -> tuple[bytes, Integers]:
    """All texts one behind the other, and where each starts and the last one ends (n + 1,)."""
    _, starts, texts = column.buffers()
    ends = np.frombuffer(starts, np.int32, len(column) + 1, 4 * column.offset).astype(np.int64)
    return texts[ends[0] : ends[-1]].to_pybytes() if texts else b"", ends - ends[0]


def _numbered(column: pa.StringArray) -> tuple[list[str], Integers]:
    """The distinct strings of a column, and which of them each row has (n,); NO_ANSWER for none."""
    encoded = column.dictionary_encode()
    numbers: Integers = encoded.indices.fill_null(NO_ANSWER).to_numpy(zero_copy_only=False).astype(np.int64)
    return encoded.dictionary.to_pylist(), numbers


def _metadata(column: pa.MapArray) -> list[Mapping[str, str]]:
    if column.null_count == len(column):
        return []
    return [dict(each or ()) for each in column.to_pylist()]


def _vectors(column: pa.FixedSizeListArray, dimension: int) -> Vectors:
    flat: Vectors = column.flatten().to_numpy(zero_copy_only=True)
    return flat.reshape(-1, dimension)

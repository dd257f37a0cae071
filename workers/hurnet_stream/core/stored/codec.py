"""Batches and deletions as bytes, under a checksum.

    entries    format, 1 byte | CRC-32C of entries and vectors, 4 bytes | the columns of entries_codec
    vectors    n d int16, little endian

A store holds what its disk and its operator made of what was written, so reading trusts nothing: whatever
`decode_batch` returns is a batch that `check` would have let in.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgpack
import numpy as np
from crc32c import crc32c

from hurnet_stream.core.formats import BATCH, DELETION, check_format
from hurnet_stream.core.grid import check_grid, zero_rows
from hurnet_stream.core.stored.batch import MAX_OFFSET, NOTHING, Batch, Deletion, Expiry, Vectors
from hurnet_stream.core.stored.entries import Entries
from hurnet_stream.core.stored.entries_codec import MAX_ROWS, decode_entries, encode_entries

_HEADER = struct.Struct("<BI")  # format, checksum


class EncodedBatch(NamedTuple):
    """A batch's entries, behind the header, and its vectors."""

    entries: bytes
    vectors: bytes


def check(batch: Batch, dimension: int, expected: int) -> None:
    """Raises ValueError unless the batch can follow watermark `expected` in a store of `dimension`."""
    offsets = batch.columns.offsets
    if len(offsets) and (offsets[0] <= expected or not (offsets[1:] > offsets[:-1]).all()):
        raise ValueError(f"offsets of a batch after watermark {expected} must increase: {offsets[:10]}")
    if batch.partition < 0 or expected < NOTHING or not expected < batch.watermark <= MAX_OFFSET:
        raise ValueError(f"shard {batch.partition} can't go from watermark {expected} to {batch.watermark}")
    if len(offsets) and offsets[-1] > batch.watermark:
        raise ValueError(f"offset {offsets[-1]} lies beyond the batch's watermark {batch.watermark}")
    if batch.keys and len(batch.keys) != len(batch.entries):
        raise ValueError(f"{len(batch.keys)} keys for {len(batch.entries)} entries")
    if batch.replaces and len(batch.replaces) != len(batch.keys):
        raise ValueError(f"{len(batch.replaces)} entries replace, of {len(batch.keys)} with a key")
    _check_vectors(batch.vectors, len(batch.entries), dimension)


def check_deletion(partition: int, deletion: Deletion, expected: int) -> None:
    """Raises ValueError unless the deletion can follow watermark `expected`, and deletes only what came
    before it."""
    if partition < 0 or not NOTHING <= expected < deletion.offset <= MAX_OFFSET:
        raise ValueError(f"a deletion at {deletion.offset} of shard {partition} can't follow {expected}")
    by = deletion.by if deletion.replaces else [deletion.offset] * len(deletion.targets)
    if len(by) != len(deletion.targets):
        raise ValueError(f"{len(deletion.targets)} targets are replaced by {len(by)} positions")
    if any(not 0 <= target < deleted_by for target, deleted_by in zip(deletion.targets, by, strict=True)):
        raise ValueError(f"a deletion at {deletion.offset} can only delete what lies before it")
    if deletion.expiry and deletion.expiry.through >= deletion.offset:
        raise ValueError(f"a deletion at {deletion.offset} can't reach through {deletion.expiry.through}")


def encode_offsets(offsets: Iterable[int]) -> bytes:
    """8 bytes each, big-endian, so that their order as bytes is that of the numbers."""
    return b"".join(offset.to_bytes(8, "big") for offset in offsets)


def decode_offsets(encoded: bytes) -> tuple[int, ...]:
    """What `encode_offsets` was given. Raises ValueError for anything else."""
    if len(encoded) % 8:
        raise ValueError(f"{len(encoded)} bytes of offsets")
    return tuple(np.frombuffer(encoded, ">i8").tolist())


def sorted_offsets(encoded: bytes) -> tuple[int, ...]:
    """What `encode_offsets` was given, in ascending order. Raises ValueError for anything else."""
    return tuple(sorted(decode_offsets(encoded)))


def encode_deletion(deletion: Deletion) -> bytes:
    """All of a deletion except its targets."""
    about = deletion.timestamp_ms, deletion.key, deletion.context, deletion.replaces
    fields: list[Any] = [DELETION, deletion.offset, *about]
    if deletion.expiry:
        fields.append([deletion.expiry.before_ms, deletion.expiry.through])
    encoded: bytes = msgpack.packb(fields)
    return seal(encoded)


def decode_deletion(
    partition: int, encoded: bytes, targets: bytes, dimension: int, parts: int = 0, by: bytes = b""
) -> Batch:
    """The batch of a deletion. Raises ValueError for anything that `encode_deletion` did not make, and
    `NewerFormat`, which is one, for what a newer program wrote."""
    try:
        version, *fields = msgpack.unpackb(unseal(encoded))
        check_format("this deletion", int(version), DELETION)
        # An older program wrote four fields, and a newer one may have added more, which are ignored.
        offset, timestamp_ms, key, context, flag, expiry = [*fields, None, None][:6]
        replaces = flag is True
        named = decode_offsets(targets), decode_offsets(by)
        pairs = sorted(zip(*named, strict=True)) if replaces else ()
        deletion = Deletion(
            offset,
            timestamp_ms,
            key,
            tuple(target for target, _ in pairs) if replaces else sorted_offsets(targets),
            context,
            parts,
            replaces=replaces,
            by=tuple(each for _, each in pairs),
            expiry=Expiry(*expiry) if expiry else None,
        )
        check_deletion(partition, deletion, NOTHING)
    except (msgpack.UnpackException, TypeError) as error:
        raise ValueError(f"no deletion: {error}") from error
    return replace(bare(partition, deletion.offset, dimension), deletion=deletion)


def encode_batch(batch: Batch) -> EncodedBatch:
    """The batch without partition and watermark. Raises UnicodeEncodeError (a ValueError) for lone
    surrogates."""
    entries = encode_entries(batch.columns)
    vectors = batch.vectors.astype("<i2", copy=False).tobytes()
    return EncodedBatch(_HEADER.pack(BATCH, crc32c(vectors, crc32c(entries))) + entries, vectors)


def decode_batch(partition: int, watermark: int, encoded: EncodedBatch, dimension: int) -> Batch:
    """The batch that `encode_batch` was given, its vectors read-only. Raises ValueError for anything that it
    did not make, and `NewerFormat`, which is one, for what a newer program wrote."""
    entries = _entries(encoded)
    if len(encoded.vectors) != 2 * dimension * len(entries):
        raise ValueError(
            f"{len(encoded.vectors)} bytes of vectors for {len(entries)} entries of dimension {dimension}"
        )
    vectors = np.frombuffer(encoded.vectors, "<i2").reshape(len(entries), dimension)
    batch = Batch(partition, watermark, entries, vectors.astype(np.int16, copy=False))
    check(batch, dimension, NOTHING)
    return batch


def seal(content: bytes) -> bytes:
    """`content` behind its checksum."""
    return struct.pack("<I", crc32c(content)) + content


def unseal(sealed: bytes) -> bytes:
    """What `seal` was given. Raises ValueError for anything else."""
    if len(sealed) < 4 or crc32c(sealed[4:]) != int.from_bytes(sealed[:4], "little"):
        raise ValueError("checksum mismatch")
    return sealed[4:]


def bare(partition: int, watermark: int, dimension: int) -> Batch:
    """A batch without entries, which only carries the watermark forward."""
    return Batch(partition, watermark, (), np.empty((0, dimension), np.int16))


def beyond(position: int, batches: Sequence[Batch], head: Batch | None) -> list[Batch]:
    """What a reader at `position` of a shard is given, of the `batches` whose watermark lies beyond it.

    `head` is given if these are all that the shard has: the bare batch at its watermark, as it stood before
    they were read. It takes the reader over offsets that hold no entries.
    """
    given = [batches[0].after(position), *batches[1:]] if batches else []
    reached = given[-1].watermark if given else position
    # A head behind the reader is that of a store that lost its tail: the reader is given nothing until the
    # shard has caught up with what the reader knows.
    return [*given, head] if head and head.watermark > reached else given


def _entries(encoded: EncodedBatch) -> Entries:
    if len(encoded.entries) < _HEADER.size:
        raise ValueError(f"{len(encoded.entries)} bytes of entries")
    version, checksum = _HEADER.unpack_from(encoded.entries)
    entries = encoded.entries[_HEADER.size :]
    # The format comes first: a newer one may have another checksum, and is not to be called damaged.
    check_format("this batch", version, BATCH)
    if crc32c(encoded.vectors, crc32c(entries)) != checksum:
        raise ValueError("checksum mismatch")
    return decode_entries(entries)


def _check_vectors(vectors: Vectors, rows: int, dimension: int) -> None:
    """The door for vectors on their way into a store and out of it."""
    if rows > MAX_ROWS:
        raise ValueError(f"a batch of {rows} rows; at most {MAX_ROWS}")
    if vectors.dtype != np.int16 or vectors.shape != (rows, dimension):
        raise ValueError(f"vectors must be int16 ({rows}, {dimension}), not {vectors.dtype} {vectors.shape}")
    check_grid(vectors)
    if zero_rows(vectors).any():
        raise ValueError("a vector is zero: it has no direction to be found by")

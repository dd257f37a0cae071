"""Items of a shard's stream, read back without trust: the disk or an operator may have changed them.

    position 6 of the reader                           state: watermark 12, rows 9
                    |
    stream   4-0    | 8-0                    11-0
    rows     0 1    | 2 3 4 5 (offset 7: 5)  6 7 8
                    |
    the reader is given the batch of 8-0 from offset 7 on, that of 11-0, and a batch without entries that
    takes it to 12: offsets 11 and 12 hold no entries

Each item says the number of its first row. So a missing item shows: the next one does not go on at the row
where the last one ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hurnet_stream.adapters.redis.meta import Meta
from hurnet_stream.core.formats import STREAM, NewerFormat, check_format
from hurnet_stream.core.stored.batch import NOTHING, Batch, Deletion, ShardState
from hurnet_stream.core.stored.codec import (
    EncodedBatch,
    bare,
    beyond,
    check,
    decode_batch,
    decode_deletion,
    decode_offsets,
)
from hurnet_stream.core.stored.segments import decode_segment
from hurnet_stream.errors import StoreReplaced, Unreadable, UpgradeNeeded
from hurnet_stream.ports.segments import Segments, required

ADVICE = (
    "Restore the store from a backup; or set HURNET_REDIS_PREFIX to a new name for all workers, and a"
    " store is filled from Kafka beside this one, which stays as it is"
)

Fields = Mapping[bytes, bytes]
Item = tuple[bytes, Fields]
StreamItems = Sequence[Item]
"""What XRANGE gives: the id and the fields of each item. (Redis calls them entries; ours are texts.)"""


def item_id(watermark: int) -> str:
    """The id of the item whose batch brings the shard to `watermark`. Ids begin at 1, watermarks at 0."""
    return f"{watermark + 1}-0"


def number_of(identifier: bytes) -> int:
    """The number before "-0" in an id."""
    return int(identifier.partition(b"-")[0])


def decode_item(
    partition: int, identifier: bytes, fields: Fields, meta: Meta, segments: Segments | None = None
) -> tuple[Batch, int]:
    """The batch of a stream item, and the number of its first row. A piece of a segment is read from there.

    Raises `StoreReplaced` if the item belongs to another store, `UpgradeNeeded` if its format is newer than
    this program, `Unreadable` if it is corrupt, and what `Segments.read` raises.
    """
    try:
        check_format("this entry", int(fields.get(b"format", 1)), STREAM)
        watermark = number_of(identifier) - 1
        epoch, row = fields[b"epoch"].decode(), int(fields[b"row"])
        if epoch == meta.epoch:
            read = _piece if b"piece" in fields else _batch
            batch = read(partition, watermark, fields, meta.identity.dimension, segments)
            return replace(batch, end=row + batch.rows), row
    except NewerFormat as error:
        raise UpgradeNeeded(f"entry {identifier.decode()} of shard {partition}: {error}") from error
    except (ValueError, KeyError) as error:
        raise Unreadable(
            f"entry {identifier.decode()} of shard {partition} is corrupt ({error}). {ADVICE}"
        ) from error
    raise StoreReplaced(f"shard {partition} holds batches of a store that was deleted or begun anew")


def _piece(
    partition: int, watermark: int, fields: Fields, dimension: int, segments: Segments | None
) -> Batch:
    segment = decode_segment(fields[b"piece"])
    (piece,) = segment.pieces
    rest = replace(bare(partition, watermark, dimension), removed=piece.removed, gone=piece.gone)
    if not piece.length:
        return rest
    entries, vectors = required(segments).read(segment.name, piece, dimension)
    batch = replace(rest, entries=entries, vectors=vectors)
    check(batch, dimension, NOTHING)
    return batch


def _batch(partition: int, watermark: int, fields: Fields, dimension: int, _: Segments | None) -> Batch:
    deletion = _deletion(partition, fields, dimension) if b"deletion" in fields else None
    if deletion and not deletion.replaces:
        return replace(bare(partition, deletion.offset, dimension), deletion=deletion)
    if b"entries" not in fields and deletion:  # what was to take their place has never come
        return replace(bare(partition, watermark, dimension), deletion=deletion)
    encoded = EncodedBatch(fields[b"entries"], fields[b"vectors"])
    batch = replace(decode_batch(partition, watermark, encoded, dimension), deletion=deletion)
    # Only a batch that has lost rows says which (redaction.py), or how many (compacting.py).
    removed, gone = decode_offsets(fields.get(b"removed", b"")), int(fields.get(b"gone", 0))
    if gone < 0:
        raise ValueError(f"{gone} rows are gone")
    return replace(batch, removed=removed, gone=gone)


def _deletion(partition: int, fields: Fields, dimension: int) -> Deletion | None:
    parts, by = int(fields[b"parts"]), fields.get(b"by", b"")
    return decode_deletion(partition, fields[b"deletion"], fields[b"targets"], dimension, parts, by).deletion


def read_items(
    partition: int,
    position: int,
    items: Sequence[tuple[Batch, int]],
    state: ShardState,
    dimension: int,
    limit: int,
) -> list[Batch]:
    """What a reader at `position` is given of the first `limit` items from there on: of each its batch, and
    the number of its first row.

    `state` was read before the items. Raises `Unreadable` if rows are missing.
    """
    batches: list[Batch] = []
    # A reader that comes from elsewhere than the beginning does not know the number of its next row.
    next_row = 0 if position == NOTHING else None
    for batch, first_row in items:
        _check_row(partition, next_row, first_row)
        next_row = first_row + batch.rows
        batches.append(batch)
    if len(items) == limit:  # there may be more of them
        return beyond(position, batches, None)
    # These are all there are up to the state's watermark, so they must end at its last row. If they go
    # beyond the watermark, they were appended after the state was read, and its rows say nothing.
    if (batches[-1].watermark if batches else position) <= state.watermark:
        _check_row(partition, next_row, state.rows)
    head = replace(bare(partition, state.watermark, dimension), end=state.rows)
    return beyond(position, batches, head)


def _check_row(partition: int, expected: int | None, row: int) -> None:
    if expected is not None and expected != row:
        raise Unreadable(
            f"shard {partition} goes on at row {row} after {expected} rows: its stream was trimmed or"
            f" damaged. {ADVICE}"
        )

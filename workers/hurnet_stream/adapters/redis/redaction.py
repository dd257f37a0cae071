"""What is left of a batch from which rows were erased.

An item of a stream can't be changed, nor can another one be put in its place: ids only grow. So a batch that
loses rows leaves the stream, and what is left of it goes to a sorted set that readers read beside the stream:

    before   stream    4-0 {rows a b}   9-0 {rows c d e}   12-0 {rows f}
             redacted  (empty)

             row d (offset 7) is erased

    after    stream    4-0 {rows a b}                      12-0 {rows f}
             redacted                   9 {rows c e, removed 7}

    a reader merges both by id: 4-0, 9-0, 12-0. The batch still takes up three rows of the shard.

A member of the set is the number before "-0" (8 bytes, so that the bytes sort as the numbers do), then in
msgpack the fields of the stream item, and `removed`: the offsets that were erased. One that compaction has
made of several items (compacting.py) has `gone`, how many rows are gone besides, and `since`, the number of
the first item whose place it has taken.

One that names a segment (core/stored/segments.py) has `since`, too, and `segment` in place of entries and
vectors. Readers are given each of its pieces as an item of its own, with `piece`: the segment, but with this
piece alone.

The server gives the memory of an erased item back at once only if stream-node-max-entries is 1. Otherwise its
bytes may stay in their node, out of reach, and be in what the server saves, until their neighbours go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgpack

from hurnet_stream.adapters.redis.stream import Fields, StreamItems, number_of
from hurnet_stream.core.formats import COMPACTED_ITEM, SEALED_ITEM
from hurnet_stream.core.stored.batch import Batch
from hurnet_stream.core.stored.codec import encode_batch, encode_offsets
from hurnet_stream.core.stored.segments import Segment, decode_segment, encode_segment
from hurnet_stream.errors import Unreadable


def ids_from(number: int) -> tuple[bytes, bytes]:
    """The range of members whose id is at least `number`, for ZRANGEBYLEX."""
    return b"[" + number.to_bytes(8, "big"), b"+"


def only_id(number: int) -> tuple[bytes, bytes]:
    """The range of the members with this id."""
    return b"[" + number.to_bytes(8, "big"), b"(" + (number + 1).to_bytes(8, "big")


def merged(items: StreamItems, members: Sequence[bytes], limit: int, first: int = 0) -> StreamItems:
    """The first `limit` of both, in order, from the number `first` on. A batch that moved between two reads
    is in both and taken once."""
    if not members:
        return items
    redacted: dict[bytes, Fields] = {}
    for item in map(decode_member, members):
        redacted.update(each for each in pieces_as_items(*item) if number_of(each[0]) >= first)
        if len(redacted) >= limit and b"segment" in item[1]:
            break  # the others lie behind it
    # What is in the set is the newer state of a batch, without the erased rows.
    both = [*redacted.items(), *((name, fields) for name, fields in items if name not in redacted)]
    return _uncovered(sorted(both, key=lambda item: number_of(item[0])))[:limit]


def first_number(item: tuple[bytes, Fields]) -> int:
    """The number of the first item whose place this one has taken; its own if it has taken none."""
    name, fields = item
    return int(fields.get(b"since", number_of(name)))


def _uncovered(items: StreamItems) -> StreamItems:
    """The same without items that were compacted away between the two reads: a later one has their rows."""
    kept: list[tuple[bytes, Fields]] = []
    for item in reversed(items):
        if not kept or number_of(item[0]) < first_number(kept[-1]):
            kept.append(item)
    return kept[::-1]


def pieces_as_items(name: bytes, fields: Fields) -> Iterator[tuple[bytes, Fields]]:
    """The pieces of a segment as items; any other item as it is."""
    if b"segment" not in fields:
        yield name, fields
        return
    row, since = int(fields[b"row"]), int(fields[b"since"])
    segment = segment_in(name, fields)
    shared = {b"format": fields[b"format"], b"epoch": fields[b"epoch"]}
    for piece in segment.pieces:
        about = {b"row": b"%d" % row, b"since": b"%d" % since}
        alone = encode_segment(Segment(segment.name, [piece]))
        yield b"%d-0" % (piece.watermark + 1), {**shared, **about, b"piece": alone}
        row, since = row + piece.rows, piece.watermark + 2


def segment_in(name: bytes, fields: Fields) -> Segment:
    """The segment that an item names. Raises `Unreadable`."""
    try:
        segment = decode_segment(fields[b"segment"])
        if segment.watermark != number_of(name) - 1:
            raise ValueError(f"its segment goes up to {segment.watermark}")
        return segment
    except ValueError as error:
        raise Unreadable(f"entry {name.decode()} is corrupt ({error})") from error


def sealed_member(row: bytes, epoch: bytes, since: int, segment: Segment) -> bytes:
    """The member that takes the place of the items numbered `since` up to the segment's watermark."""
    packed: bytes = msgpack.packb(
        {
            b"format": b"%d" % SEALED_ITEM,
            b"row": row,
            b"epoch": epoch,
            b"since": b"%d" % since,
            b"segment": encode_segment(segment),
        }
    )
    return (segment.watermark + 1).to_bytes(8, "big") + packed


def compacted_member(identifier: bytes, fields: Fields, since: int, batch: Batch) -> bytes:
    """The member that takes the place of the items numbered `since` up to `identifier`. `fields` are those of
    the first of them."""
    entries, vectors = encode_batch(batch)
    item = {
        b"format": b"%d" % COMPACTED_ITEM,
        b"row": fields[b"row"],
        b"epoch": fields[b"epoch"],
        b"entries": entries,
        b"vectors": vectors,
        b"gone": b"%d" % batch.gone,
        b"since": b"%d" % since,
    }
    if batch.removed:
        item[b"removed"] = encode_offsets(batch.removed)
    packed: bytes = msgpack.packb(item)
    return number_of(identifier).to_bytes(8, "big") + packed


def whole_member(identifier: bytes, fields: Fields) -> bytes:
    """The member for an item that lies here as it is."""
    packed: bytes = msgpack.packb(dict(fields))
    return number_of(identifier).to_bytes(8, "big") + packed


def encode_member(identifier: bytes, fields: Fields, rest: Batch) -> bytes:
    """The member for a stream item with `fields` of which `rest` is left."""
    entries, vectors = encode_batch(rest)
    changed = {b"entries": entries, b"vectors": vectors, b"removed": encode_offsets(rest.removed)}
    packed: bytes = msgpack.packb({**fields, **changed})
    return number_of(identifier).to_bytes(8, "big") + packed


def decode_member(member: bytes) -> tuple[bytes, Fields]:
    """The item that a member is: its id and its fields. Raises `Unreadable`."""
    name = b"%d-0" % int.from_bytes(member[:8], "big")
    try:
        fields: Fields = msgpack.unpackb(member[8:])
        if not isinstance(fields, dict) or not all(isinstance(field, bytes) for field in fields):
            raise ValueError("no map of fields")
    except (msgpack.UnpackException, ValueError) as error:
        raise Unreadable(f"what is left of entry {name.decode()} is corrupt ({error})") from error
    return name, fields

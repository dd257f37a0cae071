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

The server gives the memory of an erased item back at once only if stream-node-max-entries is 1. Otherwise its
bytes may stay in their node, out of reach, and be in what the server saves, until their neighbours go.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgpack

from hurnet_stream.adapters.redis.stream import Fields, StreamItems, number_of
from hurnet_stream.core.formats import COMPACTED_ITEM
from hurnet_stream.core.stored.batch import Batch
from hurnet_stream.core.stored.codec import encode_batch, encode_offsets
from hurnet_stream.errors import Unreadable


def ids_from(number: int) -> tuple[bytes, bytes]:
    """The range of members whose id is at least `number`, for ZRANGEBYLEX."""
    return b"[" + number.to_bytes(8, "big"), b"+"


def only_id(number: int) -> tuple[bytes, bytes]:
    """The range of the members with this id."""
    return b"[" + number.to_bytes(8, "big"), b"(" + (number + 1).to_bytes(8, "big")


def merged(items: StreamItems, members: Sequence[bytes], limit: int) -> StreamItems:
    """The first `limit` of both, in order. A batch that moved between two reads is in both and taken once."""
    if not members:
        return items
    redacted = dict(map(_decoded, members))
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


def compacted_member(identifier: bytes, fields: Fields, since: int, batch: Batch) -> bytes:
    """The member that takes the place of the items numbered `since` up to `identifier`. `fields` are those of
    the first of them."""
    entries, vectors = encode_batch(batch)
    packed: bytes = msgpack.packb(
        {
            b"format": b"%d" % COMPACTED_ITEM,
            b"row": fields[b"row"],
            b"epoch": fields[b"epoch"],
            b"entries": entries,
            b"vectors": vectors,
            b"gone": b"%d" % batch.gone,
            b"since": b"%d" % since,
        }
    )
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


def _decoded(member: bytes) -> tuple[bytes, Fields]:
    name = b"%d-0" % int.from_bytes(member[:8], "big")
    try:
        fields: Fields = msgpack.unpackb(member[8:])
        if not isinstance(fields, dict) or not all(isinstance(field, bytes) for field in fields):
            raise ValueError("no map of fields")
    except (msgpack.UnpackException, ValueError) as error:
        raise Unreadable(f"what is left of entry {name.decode()} is corrupt ({error})") from error
    return name, fields

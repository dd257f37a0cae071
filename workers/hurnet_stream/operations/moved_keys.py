"""Keys of which two shards hold a text, because partitions were added to the topic.

A text replaces those of its own shard alone. So after partitions were added, the old text of a key stays in
the shard it was in, beside the new one:

    3 partitions   key "a" goes to 0      0/4 "closed on Mondays"
    4 partitions   key "a" goes to 3      3/0 "closed on Sundays"      both are in the context
    the way out    a record without a value, under the key "a" and of its context, is sent to partition 0

The newest text stays: that of the latest record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from hurnet_schemas.text import OWN_KEYS
from hurnet_stream.core.stored.entries import EntryId
from hurnet_stream.ports import EntryStore, History, OffsetRange


class Moved(NamedTuple):
    """A key that is in a partition to which it goes no more, and in `now` with its newest text."""

    key: bytes
    context: str
    partition: int
    now: EntryId


def moved_keys(
    held: Iterable[tuple[str, Sequence[EntryId]]], store: EntryStore, history: History
) -> Iterator[Moved]:
    """The keys to be deleted in all partitions but that of their newest text. Keys of hurnet's own stand
    beside each other anyway, and those whose newest record the topic has lost are left alone."""
    ranges = history.offset_ranges()
    for context, entries in held:
        stamped = [
            (entry.timestamp_ms, shard, offset)
            for shard, offset in entries
            if (entry := store.entry(shard, offset))
        ]
        shards = {shard for _, shard, _ in stamped}
        if len(shards) < 2:
            continue
        _, newest, offset = max(stamped)
        key = _key_at(history, newest, offset, ranges.get(newest, OffsetRange(0, 0)))
        if key and not key.startswith(OWN_KEYS.encode()):
            yield from (Moved(key, context, shard, (newest, offset)) for shard in sorted(shards - {newest}))


def _key_at(history: History, partition: int, offset: int, held: OffsetRange) -> bytes | None:
    if not held.first <= offset < held.end:
        return None
    blocks = history.read(partition, offset, offset)
    return next((record.key for block in blocks for record in block if record.offset == offset), None)

"""Erasing rows that lie in a segment: its file is written anew without them, under another name.

    item      names file f: entries 0 1 2 | 3 4 5      entry 4 is to be erased
    1.        file g is written: 0 1 2 | 3 5
    2.        in one transaction: the item names g, 4 is pending no more, f is noted in `unused`
    later     f is removed (sealing.py)

To write a file anew costs as much for one row as for many. So after a round through a shard, in which files
were written for some seconds, the next one waits `PAUSE` times as long, and takes all that has come up to
then. A deletion now and then is erased at once; texts that replace others all over the context cost a tenth
of the solver's time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from hurnet_stream.adapters.redis import contexts
from hurnet_stream.adapters.redis.opened import OpenedStore
from hurnet_stream.adapters.redis.redaction import (
    decode_member,
    first_number,
    pieces_as_items,
    sealed_member,
    segment_in,
)
from hurnet_stream.core.stored.batch import Batch
from hurnet_stream.ports.segments import required

PAUSE: Final = 9.0
PAUSE_MOST_S: Final = 600.0
"""The longest wait between two rounds, in seconds."""


class Rounds:
    """When segments of which shard may be written anew."""

    def __init__(self) -> None:
        self._next: dict[int, float] = {}
        self._spent: dict[int, float] = {}

    def is_on(self, partition: int) -> bool:
        """Whether a round through this shard is under way, or may begin."""
        return time.monotonic() >= self._next.get(partition, 0.0)

    @contextmanager
    def writing(self, partition: int) -> Iterator[None]:
        """While files of this shard may be written anew."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._spent[partition] = self._spent.get(partition, 0.0) + time.monotonic() - began

    def ended(self, partition: int) -> None:
        """A round has come to the shard's end."""
        pause = min(PAUSE_MOST_S, PAUSE * self._spent.pop(partition, 0.0))
        self._next[partition] = time.monotonic() + pause


class Rewritten(NamedTuple):
    """A member of `redacted` that names a segment, the one that takes its place, and what it loses."""

    member: bytes
    instead: bytes
    unused: str
    before: Sequence[Batch]
    after: Sequence[Batch]


def rewritten(store: OpenedStore, partition: int, member: bytes, gone: frozenset[int]) -> Rewritten | None:
    """Write a segment anew without the entries at these offsets; None if none of them is in it."""
    name, fields = decode_member(member)
    segment = segment_in(name, fields)
    before = [store.decode(partition, item)[0] for item in pieces_as_items(name, fields)]
    after = [batch.without(gone) for batch in before]
    if all(old.removed == new.removed for old, new in zip(before, after, strict=True)):
        return None
    since = first_number((name, fields))
    segments, meta = required(store.connection.segments), store.meta
    instead = segments.write(meta.epoch, since, after, meta.identity)
    return Rewritten(
        member,
        sealed_member(fields[b"row"], fields[b"epoch"], since, instead),
        segment.name,
        before,
        after,
    )


def queue(store: OpenedStore, partition: int, change: Rewritten, now_ms: int, pipe: Any) -> list[str]:
    """Queue what puts one member in the place of the other. Returns the contexts that lose rows: the last two
    replies for each are its rows and bytes that are left."""
    keys = store.keys
    redacted = keys.shard(partition, "redacted")
    pipe.hincrby(keys.shard(partition, "state"), "rewrites", 1)
    pipe.zrem(redacted, change.member)
    pipe.zadd(redacted, {change.instead: 0})
    if change.unused:
        pipe.hset(keys.shard(partition, "unused"), change.unused, now_ms)
    return contexts.subtract_pieces(pipe, keys, change.before, change.after)

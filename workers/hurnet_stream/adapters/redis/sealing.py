"""Sealing: the oldest rows of a shard leave Redis for a file, and one item that names it takes their place.

    sealed       the position up to which a shard is sealed; sealed-rows: its rows up to there
    rewrites     counts what changes items in place: erasing, compaction, sealing
    unused       files that no item names any more, each with the time since when (ms)

    1. the items behind `sealed` are read, up to the rows of one segment. A deletion among them must lie below
       what is compacted: further up readers still need it, and sealing waits
    2. the file is written
    3. one script puts the new item in their place, if nothing has changed since 1

A crash before 3 leaves a file that no item names. It is found and removed an hour later; that of a script
that was refused, at once. A file whose rows another one has now (resealing.py) stays for a minute: a reader
may be about to read it, and a replica that becomes the primary may still name it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from hurnet_stream.adapters.redis import contexts
from hurnet_stream.adapters.redis.erasing import covered_by_checkpoint
from hurnet_stream.adapters.redis.opened import OpenedStore
from hurnet_stream.adapters.redis.redaction import (
    decode_member,
    first_number,
    ids_from,
    merged,
    only_id,
    sealed_member,
    segment_in,
)
from hurnet_stream.adapters.redis.scripts import SEAL
from hurnet_stream.adapters.redis.stream import Item, number_of
from hurnet_stream.core.formats import SEALED_FROM
from hurnet_stream.core.shares import REPLY_BATCHES
from hurnet_stream.core.stored.batch import NOTHING, Batch
from hurnet_stream.core.stored.segments import SEGMENT_BYTES_MAX, Sealing, bytes_of, pieces_of
from hurnet_stream.ports.segments import Segments, required

UNUSED_S: Final = 60.0
"""How long a file stays that no item names any more."""
ORPHAN_S: Final = 3600.0
"""How long a file stays that no item has ever named: a solver may be about to."""
PAGE: Final = 1_000


class Run(NamedTuple):
    """Items to be sealed, their batches, and the number of the first row."""

    items: Sequence[Item]
    batches: Sequence[Batch]
    row: int


class Figures(NamedTuple):
    """What the state of a shard says, as far as sealing needs it."""

    rewrites: bytes
    sealed: bytes
    position: int
    sealed_rows: int
    rows: int
    compacted: int


class Sealer:
    """Seals for one solver, segment by segment."""

    def __init__(self, store: OpenedStore) -> None:
        self._store = store
        self._client = store.client
        self._keys = store.keys
        self._waits: dict[int, tuple[int, int]] = {}
        """By shard: until it is compacted up to there, or has so many rows, nothing can be sealed."""
        self._looked_for_orphans = -ORPHAN_S

    def seal(self, much: Sealing, owner: str, stamp: str) -> bool:
        """See `EntryStore.seal`."""
        segments = required(self._store.connection.segments)
        shards = sorted(covered_by_checkpoint(self._client, self._keys, owner, stamp))
        self._sweep(shards, segments)
        for partition in shards:
            figures = self._figures(partition)
            if (run := self._due(partition, figures, much)) is not None:
                self._store.raise_format(SEALED_FROM)
                self._replace(partition, figures, run, segments)
                return True
        return False

    def _figures(self, partition: int) -> Figures:
        names = "rewrites", "sealed", "sealed-rows", "rows", "compacted"
        raw = self._client.hmget(self._keys.shard(partition, "state"), names)
        rewrites, sealed, sealed_rows, rows, compacted = raw
        return Figures(
            rewrites or b"",
            sealed or b"",
            int(sealed or NOTHING),
            int(sealed_rows or 0),
            int(rows or 0),
            int(NOTHING if compacted is None else compacted),
        )

    def _due(self, partition: int, figures: Figures, much: Sealing) -> Run | None:
        """The next items of a shard that make a whole segment; None if there are none yet."""
        keep = self._kept_rows(partition, much)
        compacted, rows = self._waits.get(partition, (NOTHING, 0))
        beyond = figures.rows - figures.sealed_rows
        if figures.compacted < compacted or figures.rows < rows or beyond < keep + much.rows:
            return None
        run, missing, deleted_at = self._run(partition, figures, much, figures.rows - keep)
        self._waits[partition] = deleted_at, figures.rows + missing
        return run

    def _kept_rows(self, partition: int, much: Sealing) -> int:
        """How many rows are to stay in Redis, by the bytes that a row of this shard has on average."""
        sizes = contexts.parse_sizes(self._client.hgetall(key := self._keys.shard(partition, "sizes")), key)
        rows, size = sum(h.rows for h in sizes.values()), sum(h.bytes for h in sizes.values())
        return min(much.keep_rows, much.keep_bytes * rows // size) if size else much.keep_rows

    def _run(
        self, partition: int, figures: Figures, much: Sealing, last_row: int
    ) -> tuple[Run | None, int, int]:
        """The items behind what is sealed that make a segment; otherwise None, how many rows more it takes,
        and the deletion that must be compacted before."""
        items: list[Item] = []
        batches: list[Batch] = []
        entries = size = 0
        for item in self._items(partition, figures.position + 2):
            batch, _ = self._store.decode(partition, item)
            if batch.deletion and batch.watermark > figures.compacted:
                return None, 0, batch.watermark
            if (batch.end or 0) > last_row:
                return None, max(1, much.rows - entries), NOTHING
            items.append(item)
            batches.append(batch)
            entries, size = entries + len(batch.entries), size + bytes_of(batch)
            if entries >= much.rows or size >= SEGMENT_BYTES_MAX:
                return Run(items, batches, int(items[0][1][b"row"])), 0, NOTHING
        return None, max(1, much.rows - entries), NOTHING

    def _items(self, partition: int, first: int) -> Iterator[Item]:
        stream, redacted = (self._keys.shard(partition, name) for name in ("stream", "redacted"))
        while True:
            pipe = self._client.pipeline(transaction=False)
            pipe.xrange(stream, f"{first}-0", "+", REPLY_BATCHES)
            pipe.zrangebylex(redacted, *ids_from(first), 0, REPLY_BATCHES)
            streamed, members = pipe.execute()
            found = merged(streamed, members, REPLY_BATCHES, first)
            yield from found
            if not found:
                return
            first = number_of(found[-1][0]) + 1

    def _replace(self, partition: int, figures: Figures, run: Run, segments: Segments) -> None:
        """Write the file, and have one item name it."""
        meta, since = self._store.meta, first_number(run.items[0])
        pieces = pieces_of(run.batches)
        segment = segments.write(meta.epoch, since, pieces, meta.identity)
        rows = run.row + sum(piece.rows for piece in pieces)
        epoch = run.items[0][1][b"epoch"]
        last = number_of(run.items[-1][0])
        goes, comes = contexts.moved(run.batches, pieces)
        arguments = [
            *(meta.epoch, figures.rewrites, figures.sealed, last - 1, rows),
            sealed_member(run.items[0][1][b"row"], epoch, since, segment),
            *(ids_from(since)[0], only_id(last)[1]),
            *_counted([name for name, _ in run.items]),
            *_counted(goes),
            *_counted(comes),
            *_counted(_parts(run.batches)),
        ]
        names = "state", "stream", "redacted", "holds", "parts"
        keys = [self._keys.shard(partition, name) for name in names]
        if not self._client.eval(SEAL, len(keys), *keys, *arguments) and segment.name:
            segments.remove(segment.name)

    def _sweep(self, shards: Sequence[int], segments: Segments) -> None:
        """Remove files that no item names any more."""
        seconds, _ = self._client.time()
        for partition in shards:
            key = self._keys.shard(partition, "unused")
            for name, since_ms in self._client.hgetall(key).items():
                if seconds - int(since_ms) / 1000 >= UNUSED_S:
                    segments.remove(bytes(name).decode())
                    self._client.hdel(key, name)
        if time.monotonic() >= self._looked_for_orphans + ORPHAN_S:
            self._remove_orphans(segments)
            self._looked_for_orphans = time.monotonic()

    def _remove_orphans(self, segments: Segments) -> None:
        old = time.time() - ORPHAN_S
        # The files first: whatever is named after they were listed is not among them.
        files = [file.name for file in segments.listed(self._store.meta.epoch) if file.written_s < old]
        if files:
            used = self._named()
            for name in files:
                if name not in used:
                    segments.remove(name)

    def _named(self) -> set[str]:
        """The files that some item names, or that are kept for a while."""
        named: set[str] = set()
        for partition in self._store.parse_partitions(self._client.smembers(self._keys.shards)):
            named.update(
                bytes(name).decode() for name in self._client.hkeys(self._keys.shard(partition, "unused"))
            )
            sealed = self._figures(partition).position
            after, upto = b"-", only_id(sealed + 1)[1]
            redacted = self._keys.shard(partition, "redacted")
            while members := self._client.zrangebylex(redacted, after, upto, 0, PAGE):
                items = map(decode_member, members)
                named.update(segment_in(*item).name for item in items if b"segment" in item[1])
                after = b"(" + members[-1]
        return named


def _counted(values: Sequence[object]) -> list[object]:
    return [len(values), *values]


def _parts(batches: Sequence[Batch]) -> list[str]:
    """The fields of `parts` that go with deletions."""
    return [
        field
        for batch in batches
        if batch.deletion and batch.deletion.parts
        for field in (
            str(batch.deletion.offset),
            *(f"{batch.deletion.offset}/{number}" for number in range(1, batch.deletion.parts + 1)),
        )
    ]

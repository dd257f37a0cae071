"""How far each shard is, as this worker believes, and what of that is committed to Kafka.

A shard is the part of the store that one partition of `texts` fills. An append states the watermark that this
worker believes in, and the store refuses it if that is wrong:

    offsets    0 1 2 3 4 5 6 7 8 9
               -------^-------^
               watermark      the source's position: records that are polled, and not appended yet

A partition whose position can't be trusted is *unplaced*: nothing is taken from it before the source has been
sent back to the shard's watermark + 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence, Set

import structlog

from hurnet_stream.core import places
from hurnet_stream.core.stored.batch import NOTHING
from hurnet_stream.core.stored.codec import bare
from hurnet_stream.ingest.placing import Start
from hurnet_stream.ports import Appended, EntryStore, Record, Source

log = structlog.get_logger()

CARRY_INTERVAL_S = 0.5
COMMIT_INTERVAL_S = 0.5
"""Commits only serve lag tools and the start of the next assignment, so they may be a little late."""


class Shards:
    """The watermarks of the partitions that are assigned to this worker, and which of these are unplaced."""

    def __init__(self, source: Source, store: EntryStore, dimension: int) -> None:
        self._source = source
        self._store = store
        self._dimension = dimension
        self._unplaced: frozenset[int] = frozenset()
        self._watermarks: dict[int, int] = {}
        self._committed: dict[int, int] = {}
        self._committed_at = 0.0
        self._carried_at = 0.0

    @property
    def unplaced(self) -> frozenset[int]:
        return self._unplaced

    def unplace(self, partitions: Set[int]) -> None:
        """Nothing is taken from these before they are placed again. Those not assigned are dropped."""
        self._unplaced = (self._unplaced | partitions) & self._source.assignment()

    def unplace_all(self) -> None:
        self._unplaced = self._source.assignment()

    def place(self, starts: Mapping[int, Start]) -> None:
        """Send the source to where each of these partitions goes on."""
        for partition, start in starts.items():
            self._source.seek(partition, start.offset)
            self._watermarks[partition] = start.watermark
            self.trust(partition)
            log.info("placed", partition=partition, offset=start.offset)

    def trust(self, partition: int) -> None:
        """All that was polled of it is appended, or waits in `Waiting`: the source's position is right."""
        self._unplaced -= {partition}

    def let_go(self, partitions: Set[int]) -> None:
        """These are another worker's now."""
        for partition in partitions:
            self._watermarks.pop(partition, None)
            self._committed.pop(partition, None)

    def watermarks(self) -> Mapping[int, int]:
        """Of all partitions that were placed here and not let go."""
        return self._watermarks

    def behind(self, not_polled: Mapping[int, int], waiting: Callable[[int], int]) -> dict[int, int]:
        """How many records of each partition are not appended, given how many are not polled, and how many
        were polled and wait. An unplaced one counts from its watermark, if that is known."""
        positions = self._source.positions() if self._unplaced else {}
        behind: dict[int, int] = {}
        for partition, records in not_polled.items():
            if partition not in self._unplaced:
                behind[partition] = records + waiting(partition)
            elif partition in positions and partition in self._watermarks:
                done = places.offset_of(partition, self._watermarks[partition])
                polled = positions[partition] - done - 1
                behind[partition] = max(0, records + polled)
        return behind

    def placed(self) -> dict[int, int]:
        """The watermarks of the shards that can be trusted now."""
        return {shard: at for shard, at in self._watermarks.items() if shard not in self._unplaced}

    def watermark(self, partition: int) -> int:
        return self._watermarks[partition]

    def reached(self, partition: int, watermark: int) -> None:
        """The store says that the shard stands here."""
        self._watermarks[partition] = watermark

    def new(self, shard: int, records: Sequence[Record]) -> Sequence[Record]:
        """Those records of a shard that are to be appended. Records of an unplaced one are not: they come
        again."""
        if shard in self._unplaced:
            return ()
        watermark = self._watermarks[shard]
        return [record for record in records if record.first_position > watermark]

    def carry_forward(self, busy: Set[int]) -> None:
        """Bring the watermarks past offsets that hold no record for us, unless a partition is `busy`.

        The markers at the end of a transaction take offsets, and so do the records of an aborted one. Without
        this a reader that waits for the topic's end to be in the store would wait for ever.
        """
        if time.monotonic() - self._carried_at < CARRY_INTERVAL_S:
            return
        self._carried_at = time.monotonic()
        for partition, position in self._source.positions().items():
            watermark = self._watermarks.get(partition, NOTHING)
            # Not for a shard that has seen nothing: its first record may have any offset.
            reached = places.last_position(partition, position - 1)
            if watermark == NOTHING or reached <= watermark or partition in busy | self._unplaced:
                continue
            result = self._store.append(bare(partition, reached, self._dimension), watermark)
            if isinstance(result, Appended):
                self._watermarks[partition] = result.state.watermark
            else:
                self.unplace({partition})

    def commit(self, now: bool = False) -> None:
        """Commit to Kafka how far the shards are: `now`, or if the last commit is a while ago."""
        if not now and time.monotonic() - self._committed_at < COMMIT_INTERVAL_S:
            return
        done = {p: places.offset_of(p, at) for p, at in self._watermarks.items() if at != NOTHING}
        next_offsets = {partition: offset + 1 for partition, offset in done.items()}
        changed = {p: offset for p, offset in next_offsets.items() if self._committed.get(p) != offset}
        if changed:  # an idle worker asks Kafka for nothing
            self._source.commit(changed)
            self._committed.update(changed)
        self._committed_at = time.monotonic()

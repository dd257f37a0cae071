"""What leaves a context by itself: entries that are too old, and the oldest ones if there are too many.

    [contexts.tickets]     now 12:00    shard 0   08:10 08:20 11:50     through 1, before 09:00
    age = 10800                         shard 1   09:30 08:50 11:55     through 1, before 09:00: 09:30 stays

Each ingest worker looks after its own shards. What has to leave is deleted as if somebody had asked for it,
by a record of the topic of texts, so that the store can still be built again from the topic. Other topics are
not ours to write to. In their shards the deletion takes a position of its own behind the last record.

Entries stand in the order in which they came, and mostly in that of their times. So only the first ones of a
shard are looked at. One that came late leaves once those before it have left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Final, NamedTuple

from hurnet_stream.core import places
from hurnet_stream.core.stored.batch import MAX_OFFSET, NOTHING, Deletion, Entry, Expiry
from hurnet_stream.ingest.shards import Shards
from hurnet_stream.metrics.ingest import IngestMetrics
from hurnet_stream.ports import Appended, EntryStore, Refused, Sink
from hurnet_stream.records import expiry_request
from hurnet_stream.settings.settings import ContextSettings, Settings

EVERY_S: Final = 5.0
LOOKED_AT: Final = 5_000
"""Entries of a shard that one look takes."""
LATE: Final = 1_000
"""So far behind younger ones an old entry is found among too many."""
LOOK_S: Final = 0.25
"""How long a look at one shard goes on while it finds entries that have to leave."""
ASKED_S: Final = 60.0
"""How long what was asked for may take before it is asked for again."""


class Firsts(NamedTuple):
    """The first entries `of` each shard; those of the shards in `cut` have more."""

    of: Mapping[int, Sequence[Entry]]
    cut: Set[int]


class Retention:
    """Lets entries leave. `step` is called in each turn of ingest."""

    def __init__(
        self, store: EntryStore, sink: Sink, shards: Shards, settings: Settings, metrics: IngestMetrics
    ) -> None:
        self._store = store
        self._sink = sink
        self._shards = shards
        self._texts = settings.kafka.texts
        self._keeps = {name: keep for name, keep in settings.contexts.items() if keep.age or keep.rows}
        self._metrics = metrics
        self._looked_at = 0.0
        self._earliest_ms: dict[tuple[int, str], int] = {}
        """By shard and context: the time before which nothing was left when it was last looked at."""
        self._asked: dict[tuple[int, str], tuple[Expiry, float]] = {}
        self.now_ms: Callable[[], float] = lambda: time.time() * 1000

    def step(self) -> None:
        """Look whether something has to leave, every EVERY_S seconds."""
        if not self._keeps or time.monotonic() - self._looked_at < EVERY_S:
            return
        self._looked_at = time.monotonic()
        for context, keep in self._keeps.items():
            for shard, expiry in [*self._too_old(context, keep), *self._too_many(context, keep)]:
                self._let_leave(shard, context, expiry)

    def _too_old(self, context: str, keep: ContextSettings) -> Iterator[tuple[int, Expiry]]:
        before_ms = round(self.now_ms() - keep.age * 1000)
        for shard in self._shards.placed() if keep.age else ():
            if expiry := self._from_before(shard, context, before_ms):
                yield shard, expiry

    def _from_before(self, shard: int, context: str, before_ms: int) -> Expiry | None:
        """What takes those at the shard's beginning that are from before this time."""
        if self._earliest_ms.get((shard, context), 0) >= before_ms:
            return None
        after = through = latest_ms = NOTHING
        earliest_ms, until = MAX_OFFSET, time.monotonic() + LOOK_S
        while entries := self._store.oldest(shard, context, after, LOOKED_AT):
            old = [entry for entry in entries if entry.timestamp_ms < before_ms]
            kept_ms = [entry.timestamp_ms for entry in entries if entry.timestamp_ms >= before_ms]
            earliest_ms, after = min([earliest_ms, *kept_ms]), entries[-1].offset
            if old:
                through = old[-1].offset
                latest_ms = max([latest_ms, *(entry.timestamp_ms for entry in old)])
            if not old or time.monotonic() > until:
                break
        if earliest_ms < MAX_OFFSET:
            self._earliest_ms[shard, context] = earliest_ms
        # The time of the latest one, not the one that was given, so that what is asked again is the same.
        return Expiry(latest_ms + 1, through) if through != NOTHING else None

    def _too_many(self, context: str, keep: ContextSettings) -> Iterator[tuple[int, Expiry]]:
        """Of all shards together the oldest leave; in those of other workers these see to it."""
        if not keep.rows:
            return
        holdings = self._store.holdings()
        rows = {shard: held[context].rows for shard, held in holdings.items() if context in held}
        # What is deleted and not erased yet still counts as held. Whose context that is isn't known, so
        # that it might be this one's: at least so many are too many.
        surplus = sum(rows.values()) - sum(self._store.pending_erasures().values()) - keep.rows
        if surplus > 0:
            mine = self._shards.placed()
            oldest = oldest_of(self._firsts(context, rows, min(surplus + LATE, LOOKED_AT)), surplus)
            yield from ((shard, expiry) for shard, expiry in oldest.items() if shard in mine)

    def _firsts(self, context: str, shards: Iterable[int], most: int) -> Firsts:
        firsts = {shard: self._store.oldest(shard, context, NOTHING, most) for shard in shards}
        return Firsts(firsts, {shard for shard, entries in firsts.items() if len(entries) == most})

    def _let_leave(self, shard: int, context: str, expiry: Expiry) -> None:
        asked, asked_at = self._asked.get((shard, context), (None, 0.0))
        if asked and asked.includes(expiry) and time.monotonic() - asked_at < ASKED_S:
            return  # its record may not have come back yet
        if places.number_of(shard) == places.TEXTS:
            self._sink.send([expiry_request(self._texts, shard, context, expiry)])
        elif not self._delete(shard, context, expiry):
            return
        self._asked[shard, context] = expiry, time.monotonic()
        self._metrics.expiries.labels(context).inc()

    def _delete(self, shard: int, context: str, expiry: Expiry) -> bool:
        """Delete it behind the last record of the shard. False: not now, or not all of it yet."""
        watermark = self._shards.watermark(shard)
        position = places.free_position(shard, watermark)
        if position is None or not self._is_time(shard, context, position):
            return False
        deletion = Deletion(position, round(self.now_ms()), context=context, expiry=expiry)
        result = self._store.delete(shard, deletion, watermark)
        if isinstance(result, Refused):
            self._shards.unplace({shard})
        if isinstance(result, Appended):
            self._shards.reached(shard, result.state.watermark)
        return isinstance(result, Appended)

    def _is_time(self, shard: int, context: str, position: int) -> bool:
        """The more of the free positions are taken, the rarer the next one is, so that they last for years
        if no further record comes."""
        taken = position - places.last_position(shard, places.offset_of(shard, position))
        _, asked_at = self._asked.get((shard, context), (None, float("-inf")))
        return time.monotonic() - asked_at >= EVERY_S * 2 ** (taken / 32)


def oldest_of(firsts: Firsts, surplus: int) -> dict[int, Expiry]:
    """What takes at most `surplus` entries, the oldest, given the first ones of each shard.

    shard 0   5  7  9      surplus 2    before 7: one entry of each shard
    shard 1   6  8
    shard 0   5  5         surplus 1    before 6, through the first 5: a time alone would take both
    """
    # A producer may send any time. Those before 1970 are all as old, since a record can't name them.
    by_time = sorted(
        (max(0, entry.timestamp_ms), shard, entry.offset)
        for shard, entries in firsts.of.items()
        for entry in entries
    )
    if not by_time:
        return {}
    earliest_ms, limit_ms = by_time[0][0], by_time[min(surplus, len(by_time) - 1)][0]
    # If a shard has more, these may be as old as the last one of it that was looked at.
    limit_ms = min([limit_ms, *(max(0, *(e.timestamp_ms for e in firsts.of[shard])) for shard in firsts.cut)])
    if earliest_ms < limit_ms:
        chosen = [each for each in by_time if each[0] < limit_ms]
    else:  # many of the same time: the first ones of them
        limit_ms = earliest_ms + 1
        chosen = [each for each in by_time if each[0] < limit_ms][:surplus]
    through = {shard: max(o for _, s, o in chosen if s == shard) for shard in {s for _, s, _ in chosen}}
    return {shard: Expiry(limit_ms, last) for shard, last in through.items()}

"""What a topic with another number of partitions lacks of the old one, and what of that Kafka no longer
holds.

The generation of the new topic may answer if it lacks nothing that the other one has. Its offsets are others,
so it is asked how far the old topic is forwarded, and what of the new one that takes:

    old store     partition 2 up to 17
    noted         partition 2 of the old topic: all before 18, which takes 0:40 3:52 of the new one
    new store     partition 0 up to 41, partition 3 up to 50        lacking: shard 2, by something
"""

from __future__ import annotations

from collections.abc import Mapping

from hurnet_schemas.feedback import SOURCE
from hurnet_schemas.places import Place
from hurnet_stream.core.offsets import parse_offsets
from hurnet_stream.core.places import TEXTS, number_of, partition_of
from hurnet_stream.core.stored.batch import MAX_OFFSET, NOTHING, Entry, ShardState
from hurnet_stream.feedback.lessons import correction_key
from hurnet_stream.ports import FORWARDED, Committed, EntryStore, ForwardNotes, History, OffsetRange
from hurnet_stream.reshard.routing import Route

READ_BATCHES = 16


def group_of(prefix: str, topic: str) -> str:
    """The consumer group of those who forward to `topic`."""
    return f"{prefix}-reshard-{topic}"


def key_of(entry: Entry) -> bytes | None:
    """The record key of a correction, which follows from what it says; None for all other entries."""
    return correction_key(entry.context, entry.text) if SOURCE in entry.metadata else None


def behind(old: EntryStore, new: EntryStore) -> dict[str, int]:
    """By the names of the old store's shards, at least how many offsets the new one lacks of them."""
    upto, reached = old.states(), new.states()
    noted = new.progress(FORWARDED)
    found: dict[str, int] = {}
    for shard, state in upto.items():
        if number_of(shard) == TEXTS:
            lack = _lack(noted.get(shard), state.watermark, {p: s.watermark for p, s in reached.items()})
            found[str(shard)] = lack
            continue
        topic = old.topics().name(shard)
        same = new.topics().shard(topic, partition_of(shard)) if topic else None
        watermark = reached[same].watermark if same is not None and same in reached else NOTHING
        found[f"{topic}/{partition_of(shard)}"] = state.watermark - watermark
    return {name: lack for name, lack in found.items() if lack > 0}


def _lack(noted: Committed | None, watermark: int, reached: Mapping[int, int]) -> int:
    forwarded = noted.offset - 1 if noted else NOTHING
    if forwarded < watermark or noted is None:
        return watermark - forwarded
    needs = parse_offsets(noted.note)
    return sum(max(0, offset - reached.get(partition, NOTHING)) for partition, offset in needs.items())


def behind_origin(old: EntryStore, new: EntryStore) -> int:
    """How many texts more the new store holds: those that were written to the new topic itself."""
    return max(0, _live(new) - _live(old))


def _live(store: EntryStore) -> int:
    """Rows that are neither deleted nor erased."""
    rows = sum(holding.rows for of_shard in store.holdings().values() for holding in of_shard.values())
    return rows - sum(store.pending_erasures().values())


def gone_from_kafka(
    store: EntryStore, notes: ForwardNotes, held: Mapping[int, OffsetRange], done: Mapping[int, int]
) -> int:
    """How many texts of the topic of texts the store has that are not forwarded, and whose records Kafka no
    longer holds. `done` says for each partition up to where it is forwarded."""
    gone = 0
    for shard, state in store.states().items():
        if number_of(shard) == TEXTS:
            gone += _count(store, notes, shard, done.get(shard, 0), _first(held, shard, state))
    return gone


def others_gone(store: EntryStore, notes: ForwardNotes, held: Mapping[int, OffsetRange]) -> int:
    """The same of the other topics, which are not forwarded, but read again. `held` are positions of
    shards."""
    states = {shard: state for shard, state in store.states().items() if number_of(shard) != TEXTS}
    return sum(_count(store, notes, shard, 0, _first(held, shard, each)) for shard, each in states.items())


def _first(held: Mapping[int, OffsetRange], shard: int, state: ShardState) -> int:
    """The first position of a shard that Kafka has a record for; behind its end if there is none."""
    return min(held[shard].first, state.watermark + 1) if shard in held else state.watermark + 1


def _count(store: EntryStore, notes: ForwardNotes, shard: int, first: int, end: int) -> int:
    """The entries of a shard from `first` to before `end`, without those that are deleted."""
    others = {p: MAX_OFFSET - 1 for p in store.states() if p != shard}
    position, count = first - 1, 0
    while position < end - 1:
        batches = store.tail({**others, shard: position}, READ_BATCHES).batches
        if not batches:
            break
        for batch in batches:
            count += sum(offset < end for offset in batch.columns.offsets.tolist())
            position = batch.watermark
    return count - len(notes.deleted(shard, first, end - 1)) if end > first else 0


def found_at(history: History, old: Place, topic: str) -> Place | None:
    """Where the record that stood at `old` stands in `topic`, of which this is the history; None if it is not
    there. Reads the whole topic."""
    route = Route(old.topic or "", topic, 1)
    for partition, held in history.offset_ranges().items():
        if held.first < held.end:
            for block in history.read(partition, held.first, held.end - 1):
                for record in block:
                    if route.place(record) == (old.partition, old.offset):
                        return Place(topic, partition, record.offset)
    return None

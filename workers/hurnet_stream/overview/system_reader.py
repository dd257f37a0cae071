"""Asks Kafka, the store and the workers, again and again over the same connections: a `Status` each time.

They are asked one after the other, and what one of them does not answer is left open. A connection that fails
is given up, and made anew at the next look.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from hurnet_schemas.places import in_order, shard_name, shard_parts
from hurnet_stream import belonging
from hurnet_stream.adapters.kafka.admin.overview import Overview, TopicOffsets
from hurnet_stream.adapters.kafka.reading.unread import Unread
from hurnet_stream.adapters.redis import Connection, RedisEntryStore, connect, serving_of
from hurnet_stream.adapters.segments import segments_at
from hurnet_stream.errors import HurnetError, KafkaFailing
from hurnet_stream.overview.running import read_by, running
from hurnet_stream.overview.slices import awaited, read_slices
from hurnet_stream.overview.system_status import Published, Shard, Status, attempt, read_store
from hurnet_stream.overview.worker_pages import read_pages, watermarks
from hurnet_stream.settings.settings import Settings

TOPICS = ("texts", "queries", "answers", "feedback", "dead_letters")
"""What topics are for, as the settings name them."""

At = tuple[str, int]
"""A topic and a partition."""


class SystemReader:
    """Looks at the system of these settings. `pages` are addresses of workers' metrics."""

    def __init__(self, settings: Settings, pages: Sequence[str] = ()) -> None:
        self._settings = settings
        self._pages = pages
        self._names = {purpose: getattr(settings.kafka, purpose) for purpose in TOPICS}
        self._overview, self._unread = Overview(settings.kafka), Unread(settings.kafka)
        self._connection: Connection | None = None
        self._published = Published()

    def look(self) -> Status:
        """What everybody says now."""
        status = Status(where=_where(self._settings))
        topics: dict[str, TopicOffsets] = {}
        groups: list[Any] = []
        if attempt(status, lambda: topics.update(self._overview.topics(self._names.values()))):
            status.problems += self._missing(topics)
            wanted = {group: topic for group, topic in read_by(self._settings).values() if topic in topics}
            attempt(status, lambda: groups.extend(self._overview.groups(wanted)))
        status.store_read = attempt(status, lambda: read_store(status, self._store(), self._published))
        if status.store_read:
            attempt(status, lambda: self._read_slices(status))
        if others := [name for name in status.topics if topics and name not in topics]:
            attempt(status, lambda: topics.update(self._overview.topics(others)))
        self._join(status, topics, groups)
        if status.store_read and self._names["texts"] in topics:
            attempt(status, lambda: self._check_belonging(topics))
        if not status.store_read:
            self._give_up_store()
        status.pages = read_pages(self._pages)
        _add_watermarks(status)
        return status

    def close(self) -> None:
        self._overview.close()
        self._unread.close()
        self._give_up_store()

    def _read_slices(self, status: Status) -> None:
        status.slices = read_slices(self._store())
        status.awaited = awaited(status.slices, self._settings.slices.count)

    def _missing(self, topics: Mapping[str, TopicOffsets]) -> Iterator[str]:
        if missing := sorted(set(self._names.values()) - topics.keys()):
            names = ", ".join(missing)
            yield f"no such topic, or no right to see it: {names} (`hurnet topics --create` makes them)"

    def _store(self) -> Connection:
        if self._connection is None:
            self._connection = connect(self._settings.redis, segments_at(self._settings.segments))
        return serving_of(self._connection, self._settings.kafka.texts)

    def _give_up_store(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _join(self, status: Status, topics: Mapping[str, TopicOffsets], groups: Sequence[Any]) -> None:
        """Adds what Kafka tells to what the store has told."""
        status.ends = {
            purpose: sum(topics[name].readable.values())
            for purpose, name in self._names.items()
            if name in topics
        }
        texts = self._names["texts"]
        filling = {name: None if name == texts else name for name in (texts, *status.topics)}
        _join_shards(status, {other: topics[name] for name, other in filling.items() if name in topics})
        spans = dict(_spans(groups, topics))
        for shard in status.shards:
            if shard.next_offset is not None and shard.end_offset is not None:
                spans[_at(shard, texts)] = shard.next_offset, shard.end_offset
        unread = self._count(status, spans)
        for shard in status.shards:
            if shard.next_offset is not None:
                shard.unread_records = unread.get(_at(shard, texts))
        by_group = {group.name: running(group, unread) for group in groups}
        names = {role: group for role, (group, _) in read_by(self._settings).items()}
        status.workers = {role: by_group[name] for role, name in names.items() if name in by_group} or None

    def _count(self, status: Status, spans: Mapping[At, tuple[int, int]]) -> Mapping[At, int]:
        """The records in each span. Who may not read a topic learns the distance of its offsets."""
        try:
            return self._unread.count(spans)
        except HurnetError as error:
            status.warnings.append(
                f"lags are distances of offsets, with the markers of transactions: {error}"
            )
            return {at: max(0, end - begin) for at, (begin, end) in spans.items()}

    def _check_belonging(self, topics: Mapping[str, TopicOffsets]) -> None:
        """Raises `ForeignLog` if the store was filled from another log than this topic."""
        if filled_from := RedisEntryStore(self._store()).log():
            log = self._overview.log(topics[self._names["texts"]].topic_id)
            if log is None:
                raise KafkaFailing(
                    "the brokers don't tell the UUIDs of topics: they are older than Kafka 2.8"
                )
            belonging.check(filled_from, log)


def gather(settings: Settings, pages: Sequence[str] = ()) -> Status:
    """One look."""
    with closing(SystemReader(settings, pages)) as reader:
        return reader.look()


def _where(settings: Settings) -> dict[str, str]:
    """Where to look when something is wrong. Each worker runs with settings of its own, maybe on another
    host."""
    chosen = settings.metrics
    if not chosen.enabled:
        pages = "not served (HURNET_METRICS_ENABLED is false)"
    elif chosen.port:
        pages = f"port {chosen.port} of each worker's host: /metrics, /livez, /readyz"
    else:
        pages = "a free port on each worker's host, named in the first lines of its log"
    logs = "each worker's standard error; `hurnet up --workers` keeps it in DATA/NAME-NUMBER.log"
    return {"logs": logs, "metrics": pages}


def _spans(groups: Sequence[Any], topics: Mapping[str, TopicOffsets]) -> Iterator[tuple[At, tuple[int, int]]]:
    """What each group has still to read, by partition. A group that has committed nothing begins with the
    first record."""
    for group in groups:
        offsets = topics[group.topic]
        for partition, end in offsets.readable.items():
            first = offsets.first.get(partition, 0)
            begin = max(group.committed.get(partition, first), first)
            yield (group.topic, partition), (begin, max(begin, end))


def _at(shard: Shard, texts: str) -> At:
    topic, partition = shard_parts(shard.partition)
    return topic or texts, partition


def _join_shards(status: Status, topics: Mapping[str | None, TopicOffsets]) -> None:
    """Adds to the shards of the store what Kafka holds of each partition, by topic; None: that of texts."""
    shards = {shard.partition: shard for shard in status.shards}
    for topic, offsets in topics.items():
        for partition, end in offsets.readable.items():
            name = shard_name(topic, partition)
            # If the store was read and has no such shard, it is empty; otherwise nothing is known of it.
            new = Shard(name, 0, 0, rows_ever=0) if status.store_read else Shard(name)
            shard = shards.setdefault(name, new)
            shard.end_offset = end
            shard.held_records = max(0, offsets.written.get(partition, end) - end)
            status.notes += _only_copies(shard, offsets.first.get(partition, 0))
    status.shards = [shards[name] for name in in_order(shards)]


def _only_copies(shard: Shard, first: int) -> Iterator[str]:
    copies = min(shard.rows or 0, shard.next_offset or 0, first)
    if copies:
        yield (
            f"Kafka holds partition {shard.partition} only from offset {first} on: up to {copies:,} rows are"
            " in the store and in its backups alone"
        )


def _add_watermarks(status: Status) -> None:
    """Adds to the shards how far the solver and the slowest responder have come."""
    folded, searchable = watermarks(status.pages, "solver"), watermarks(status.pages, "responder")
    for shard in status.shards:
        if shard.partition in folded:
            shard.folded_offset = folded[shard.partition] + 1
        if shard.partition in searchable:
            shard.searchable_offset = searchable[shard.partition] + 1

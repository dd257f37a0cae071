"""What `hurnet forget` and `hurnet contexts --drop` share: asking for deletions, and what became of them.

A deletion is a record in the topic of texts. Ingest appends it to the store, the solver unlearns it, erases
the entries and writes an audit of it; `follow` waits for that audit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from hurnet_schemas.places import Place, ShardName
    from hurnet_stream.adapters.redis import Connection, RedisEntryStore, RedisWeightsStore
    from hurnet_stream.operations.deletion_requests import Deletable
    from hurnet_stream.places import EntryId, Places
    from hurnet_stream.ports import DeletionAudit, Outgoing, WeightsStore
    from hurnet_stream.settings.settings import KafkaSettings, Settings

POLL_S = 0.2
NOT_YET = (
    "not done yet; it will be once `hurnet ingest` and `hurnet solver` run, and `hurnet forget --log` then "
    "shows it"
)


@dataclass(frozen=True, slots=True)
class Reach:
    """Where deletions can be written. `ends` gives the next offsets of a topic's partitions."""

    places: Places
    deletable: Deletable
    ends: Callable[[str], Mapping[int, int]]

    @property
    def topics(self) -> list[str]:
        """The topics that deletions of keys and contexts are written to."""
        return [topic for topic in self.deletable.topics if topic in self.places.topics.numbers]

    @property
    def untouched(self) -> list[str]:
        """The topics that are read and not written to."""
        return self.deletable.out_of_reach(self.places.topics.numbers)


def reach(chosen: Settings, kafka: KafkaSettings, connection: Connection) -> Reach:
    """Where deletions can be written with these settings."""
    from functools import cache, partial

    from hurnet_stream.adapters.kafka.reading.apart import end_offsets
    from hurnet_stream.adapters.redis import RedisEntryStore
    from hurnet_stream.operations.deletion_requests import Deletable
    from hurnet_stream.places import Places

    places = Places.of(RedisEntryStore(connection).topics(), kafka.texts)
    return Reach(places, Deletable(kafka.texts, chosen.topics), cache(partial(end_offsets, kafka)))


@dataclass(slots=True)
class Request:
    """One thing to delete: its name for a person, the messages that ask for it, where they are (by shard and
    position), and the audits that came so far."""

    name: str
    messages: list[Outgoing]
    records: list[EntryId] = field(default_factory=list)
    audits: list[DeletionAudit] = field(default_factory=list)

    @property
    def by_key(self) -> bool:
        """Whether it names a key and not an entry. This is known once there is an audit."""
        return self.audits[0].deletion.key is not None

    @property
    def deleted(self) -> int:
        """How many entries were deleted so far."""
        return sum(audit.entries for audit in self.audits)

    @property
    def done(self) -> bool:
        """Whether all of it is done."""
        return len(self.audits) == len(self.records)


def entry_request(reach: Reach, place: Place) -> Request:
    """Asks to delete the entries of one record. Raises `BadParameter` if there is none, or if its topic may
    not be written to."""
    from hurnet_stream.operations.deletion_requests import NotWritable, of_entry
    from hurnet_stream.places import NotRead

    try:
        reach.places.entry(place)
        topic = reach.deletable.topic_of(place)
    except (NotRead, NotWritable) as error:
        raise click.BadParameter(str(error), param_hint="--entry") from None
    if place.offset >= reach.ends(topic).get(place.partition, 0):
        raise click.BadParameter(
            f"{topic} has no record {place.partition}/{place.offset}", param_hint="--entry"
        )
    return Request(f"entry {place}", of_entry(topic, place.partition, place.offset))


def key_request(reach: Reach, key: str, context: str) -> Request:
    """Asks to delete the entries of a context whose records have this key."""
    from hurnet_stream.operations.deletion_requests import of_key

    raw = key.encode(errors="surrogateescape")  # the bytes as they were typed, even if they are not UTF-8
    asked = (of_key(topic, reach.ends(topic), raw, context) for topic in reach.topics)
    return Request(f"key {key!r}", list(chain.from_iterable(asked)))


def drop_request(reach: Reach, context: str) -> Request:
    """Asks to delete all entries of a context, in all partitions."""
    from hurnet_stream.operations.deletion_requests import of_context

    asked = (of_context(topic, reach.ends(topic), context) for topic in reach.topics)
    return Request(context, list(chain.from_iterable(asked)))


def send(kafka: KafkaSettings, requests: Sequence[Request], places: Places) -> dict[ShardName, int]:
    """Send the messages of all requests; returns the last offset in each shard."""
    from hurnet_schemas.places import Place
    from hurnet_stream.adapters.kafka import KafkaSink

    sink = KafkaSink(kafka)
    try:
        records = iter(sink.send([message for request in requests for message in request.messages]))
    finally:
        sink.close()
    last: dict[int, int] = {}
    for request in requests:
        written = [Place(message.topic, *next(records)) for message in request.messages]
        request.records = [places.deletion(place) for place in written]
        last |= {shard: max(position, last.get(shard, -1)) for shard, position in request.records}
    return places.seen(last)


def follow(store: WeightsStore, requests: Sequence[Request], wait_s: float) -> Iterator[DeletionAudit]:
    """The audits of these requests as they come, for at most `wait_s` seconds."""
    waiting = {record: request for request in requests for record in request.records}
    deadline = time.monotonic() + wait_s
    while waiting:
        for audit in store.audit_of(list(waiting)):
            waiting.pop((audit.partition, audit.deletion.offset)).audits.append(audit)
            yield audit
        if time.monotonic() >= deadline:
            return
        time.sleep(min(POLL_S, wait_s))


def without_entries(
    connection: Connection, store: RedisWeightsStore, requests: Sequence[Request]
) -> tuple[list[str], list[str]]:
    """The names of requests that are done and deleted nothing: because that was deleted before, and because
    it was never there."""
    from hurnet_stream.adapters.redis import RedisEntryStore

    empty = [request for request in requests if request.done and not request.deleted]
    if not empty:
        return [], []
    entries = RedisEntryStore(connection)
    audits = [audit for audit in store.audit() if audit.deletion.key and audit.entries]
    before = [
        request.name
        for request in empty
        if (_key_was_deleted(request, audits) if request.by_key else _entry_was_deleted(request, entries))
    ]
    return before, [request.name for request in empty if request.name not in before]


def _entry_was_deleted(request: Request, entries: RedisEntryStore) -> bool:
    targets = request.audits[0].deletion.targets
    partitions = [partition for partition, _ in request.records]
    # Without targets the entry is deleted already, and only not erased from the store yet.
    return not targets or any(entries.was_deleted(p, target) for p in partitions for target in targets)


def _key_was_deleted(request: Request, audits: Sequence[DeletionAudit]) -> bool:
    asked = request.audits[0].deletion
    same_key = [audit.deletion.context for audit in audits if audit.deletion.key == asked.key]
    # None is every context. What was deleted in one context answers a request for every context, too.
    return any(context == asked.context or None in (context, asked.context) for context in same_key)


def untouched(reach: Reach, of: str) -> str:
    """What a person must know of topics that are read and not written to; "" if there are none. `of` says
    what may stand there."""
    if not reach.untouched:
        return ""
    return (
        f"not asked: {', '.join(reach.untouched)}, since no table there says writable = true. Delete {of} at"
        " the source of these topics: that deletes it here as exactly"
    )


def described(audit: DeletionAudit, places: Places) -> dict[str, Any]:
    """An audit as a JSON object. Times are ISO 8601."""
    from hurnet_schemas.places import watermarks_json
    from hurnet_stream.terminal.screen import moment

    deletion = audit.deletion
    return {
        "record": places.record((audit.partition, deletion.offset)),
        "asked": moment(deletion.timestamp_ms),
        "done": moment(audit.done_ms),
        "key_blake2b": deletion.key.hex() if deletion.key is not None else None,
        "context": deletion.context,
        "deleted": audit.entries,
        "entries": [places.name((audit.partition, target)) for target in deletion.targets],
        "pairs": audit.pairs,
        "digests": {key: {"before": was, "after": now} for key, (was, now) in audit.digests.items()},
        "watermarks": watermarks_json(places.seen(audit.watermarks)),
    }

"""`hurnet repair`: the way out if the store was filled from another topic of texts than this one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import click

from hurnet_stream.core.places import TEXTS, NumberedTopic, first_position, number_of, shard_of

if TYPE_CHECKING:
    from hurnet_stream.adapters.kafka import KafkaHistory
    from hurnet_stream.adapters.redis import Connection
    from hurnet_stream.core.stored.batch import LogIdentity
    from hurnet_stream.operations.repair import Comparison
    from hurnet_stream.ports import EntryStore, OffsetRange, Sink
    from hurnet_stream.settings.settings import Settings


EPILOG = """\b
Examples:
  hurnet repair            # says what it would do
  hurnet repair --yes
  hurnet repair --keys     # after partitions were added: which keys are in two of them
"""


@click.command(epilog=EPILOG)
@click.option("--yes", is_flag=True, help="Do it. Without this option it only says what it would do.")
@click.option(
    "--keys", is_flag=True, help="Delete what keys have left behind in partitions that they go to no more."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def repair(yes: bool, keys: bool, as_json: bool) -> None:
    """Fill the store anew from a rewritten topic.

    Use it if ingest has stopped because the topic of texts is another one, or because the topic has lost
    records that the store has seen. The old store is kept under a prefix of its own, a new one is filled from
    the topic, and texts that only the old one has are sent to the topic again. So nothing is lost that still
    is anywhere. Responders and solver go on with the new store by themselves. Records that are sent again
    have lost their key: only `hurnet forget --entry` can delete them. Topics with a table are read again by
    it; what they no longer hold is sent to the topic of texts.

    With --keys it does something else. If partitions were added to the topic, most keys go to another one,
    and their old texts stay beside the new ones. They are found, and deleted by records that are sent to the
    partitions they are in: of each key and context the newest text is left.
    """
    from hurnet_stream.adapters.kafka import KafkaHistory
    from hurnet_stream.adapters.redis import connect_serving
    from hurnet_stream.adapters.segments import segments_at
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.screen import hush, say, say_json

    hush()
    chosen = settings.load()
    with ExitStack() as stack:
        connection = stack.enter_context(
            closing(connect_serving(chosen.redis, segments_at(chosen.segments), chosen.kafka.texts))
        )
        history = stack.enter_context(closing(KafkaHistory(chosen.kafka, chosen.kafka.texts)))
        task = None if keys else begun_before(connection) or needed(connection, history)
        if keys:
            told, text = _keys(chosen, connection, history, yes)
        elif task is None:
            told, text = {"needed": False}, "nothing to repair: the store was filled from this topic"
        elif not yes:
            told, text = _would(task, connection, history, chosen)
        else:
            told, text = _repair(chosen, connection, history, task)
    say_json(told) if as_json else say(text)


Told = tuple[dict[str, Any], str]
"""What a repair has done, or would do: as a JSON object, and for a person."""


@dataclass(frozen=True, slots=True)
class Task:
    """A repair to do, or to go on with.

    `prefix` is that of the old store, and `topic_id` is the id of the topic that it was filled from. `aside`
    says whether the old store was already renamed. `done` is the last offset that was sent again, by
    shard."""

    prefix: str
    topic_id: str
    aside: bool = False
    done: Mapping[int, int] = field(default_factory=dict)

    def old_store(self, connection: Connection) -> EntryStore:
        """The store that was filled from the topic as it was."""
        from hurnet_stream.adapters.redis import RedisEntryStore
        from hurnet_stream.adapters.redis.aside import under

        return RedisEntryStore(under(connection, self.prefix))

    def comparison(self, connection: Connection, history: KafkaHistory, chosen: Settings) -> Comparison:
        """The old store compared with the topics as they are now."""
        from hurnet_stream.operations.repair import Comparison

        same_topic = self.topic_id == history.log().topic
        old = self.old_store(connection)
        others, _ = others_held(chosen, old)
        return Comparison(old, history, chosen.kafka.texts, same_topic, others)


def _keys(chosen: Settings, connection: Connection, history: KafkaHistory, yes: bool) -> Told:
    """Delete what moved keys have left behind, or say what it would be."""
    from itertools import islice

    from hurnet_stream.adapters.kafka import KafkaSink
    from hurnet_stream.adapters.redis import RedisEntryStore
    from hurnet_stream.adapters.redis.held_keys import HeldKeys
    from hurnet_stream.operations.deletion_requests import of_key
    from hurnet_stream.operations.moved_keys import moved_keys

    topic, count = chosen.kafka.texts, 0
    moved = moved_keys(HeldKeys(connection).in_several_shards(), RedisEntryStore(connection), history)
    with closing(KafkaSink(chosen.kafka)) as sink:
        while some := list(islice(moved, 500)):
            count += len(some)
            if yes:
                sink.send([out for m in some for out in of_key(topic, [m.partition], m.key, m.context)])
    told = {"moved": count, "done": yes or not count}
    if not count:
        return told, "no key is in two partitions"
    if not yes:
        return told, (
            f"{count:,} times a key has texts in a partition that it goes to no more. With --yes they are"
            " deleted there, and the newest text of each key is left"
        )
    return told, f"sent {count:,} deletions: what these keys have left behind goes as ingest comes to them"


def begun_before(connection: Connection) -> Task | None:
    """The repair that an earlier call began and did not finish."""
    from hurnet_stream.adapters.redis.aside import unfinished

    begun = unfinished(connection)
    if begun is None:
        return None
    prefix, topic_id, done = begun
    return Task(prefix, topic_id, aside=True, done=done)


def needed(connection: Connection, history: KafkaHistory) -> Task | None:
    """The repair that the store needs, or None. Raises `StoreError` if there is no store."""
    from hurnet_stream.adapters.redis import RedisEntryStore
    from hurnet_stream.errors import StoreError
    from hurnet_stream.terminal.screen import say

    store = RedisEntryStore(connection)
    if store.identity() is None:
        raise StoreError(f"{connection.server_name} holds nothing under the prefix {connection.prefix!r}")
    filled_from, now = store.log(), history.log()
    if sound(store, history, now):
        return None
    if filled_from and filled_from.cluster != now.cluster:
        say(f"this Kafka is cluster {now.cluster}; the store was filled from cluster {filled_from.cluster}")
    return Task(connection.prefix, filled_from.topic if filled_from else "")


def _repair(chosen: Settings, connection: Connection, history: KafkaHistory, task: Task) -> Told:
    """Do it; returns what was done as a JSON object, and for a person."""
    from hurnet_stream.adapters.kafka import KafkaSink
    from hurnet_stream.adapters.redis.aside import put_aside

    if not task.aside:
        firsts = {partition: offsets.first for partition, offsets in history.offset_ranges().items()}
        others, topics = others_held(chosen, task.old_store(connection))
        firsts |= {shard: held.first for shard, held in others.items()}
        task = replace(task, prefix=put_aside(connection, history.log(), firsts, topics), aside=True)
    comparison = task.comparison(connection, history, chosen)
    with closing(KafkaSink(chosen.kafka)) as sink:
        sent = _send(comparison, task.old_store(connection), sink, connection, task.done)
    told = {"needed": True, "done": True, "sent_again": _counted(sent), "old_prefix": task.prefix}
    return told, (
        f"sent again: {sent['texts']:,} texts, {sent['deletions']:,} deletions. A running ingest fills the"
        f" new store from the topic. The old one is kept under the prefix {task.prefix}; nothing reads it"
        " any more"
    )


def others_held(
    chosen: Settings, store: EntryStore
) -> tuple[dict[int, OffsetRange], dict[str, NumberedTopic]]:
    """Of the topics beside that of texts that have a table and are still those that the store was filled
    from: which positions each shard has records for, and what the store knows of them."""
    from hurnet_stream.adapters.kafka import KafkaHistory
    from hurnet_stream.errors import ConfigurationError
    from hurnet_stream.ports import OffsetRange

    topics, ranges, numbered = store.topics(), dict[int, OffsetRange](), dict[str, NumberedTopic]()
    for name, number in topics.among(chosen.topics).numbers.items():
        with closing(KafkaHistory(chosen.kafka, name)) as history:
            try:
                held, topic_id = history.offset_ranges(), history.log().topic
            except ConfigurationError:
                continue  # it is gone
        if topics.ids.get(name, topic_id) != topic_id:
            continue
        numbered[name] = NumberedTopic(number, topic_id)
        for partition, offsets in held.items():
            shard = shard_of(number, partition)
            first, end = (first_position(shard, at) for at in (offsets.first, offsets.end))
            ranges[shard] = OffsetRange(first, end)
    return ranges, numbered


def sound(store: EntryStore, history: KafkaHistory, now: LogIdentity) -> bool:
    """Whether the store was filled from this topic, and the topic still holds what the store has seen.

    A last record that retention has taken proves nothing, so it counts as held."""
    filled_from, in_kafka = store.log(), history.offset_ranges()
    if filled_from is not None and filled_from != now:
        return False
    for partition, state in store.states().items():
        if number_of(partition) != TEXTS:
            continue  # nothing is repaired for another topic's sake: ingest goes on without it
        offsets, anchor = in_kafka.get(partition), state.anchor
        if offsets is None or state.watermark >= offsets.end:
            return False
        if anchor and offsets.first <= anchor.offset:
            blocks = history.read(partition, anchor.offset, anchor.offset)
            record = next((record for block in blocks for record in block), None)
            if record is None or record.anchor != anchor:
                return False
    return True


def _would(task: Task, connection: Connection, history: KafkaHistory, chosen: Settings) -> Told:
    """What it would do, as a JSON object and for a person."""
    comparison, store = task.comparison(connection, history, chosen), task.old_store(connection)
    counts = Counter[str]()
    for partition in store.states():
        for missing in comparison.lacking(partition):
            counts += Counter(texts=missing.texts, deletions=missing.deletions)
    told = {"needed": True, "done": False, "lacking": _counted(counts)}
    return told, (
        f"the topic lacks {counts['texts']:,} texts that the store has, and {counts['deletions']:,} deletions"
        " of texts that the topic holds. With --yes the store is put aside, these are sent to the topic"
        " again, and a new store is filled from it"
    )


def _counted(counts: Counter[str]) -> dict[str, int]:
    return {"texts": counts["texts"], "deletions": counts["deletions"]}


def _send(
    comparison: Comparison, store: EntryStore, sink: Sink, connection: Connection, done: Mapping[int, int]
) -> Counter[str]:
    from hurnet_stream.adapters.redis.aside import finish, note
    from hurnet_stream.core.stored.batch import MAX_OFFSET, NOTHING

    counts = Counter[str]()
    for partition in store.states():
        after = done.get(partition, NOTHING)
        if after == MAX_OFFSET:
            continue
        for missing in comparison.lacking(partition, after):
            if missing.messages:
                sink.send(missing.messages)
            note(connection, partition, missing.up_to)
            counts += Counter(texts=missing.texts, deletions=missing.deletions)
    finish(connection)
    return counts

"""`hurnet repair`: the way out if the store was filled from another topic of texts than this one."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hurnet.adapters.kafka import KafkaHistory
    from hurnet.adapters.redis import Connection
    from hurnet.core.stored.batch import LogIdentity
    from hurnet.operations.repair import Comparison
    from hurnet.ports import EntryStore, Sink
    from hurnet.settings.settings import Settings


EPILOG = """\b
Examples:
  hurnet repair            # says what it would do
  hurnet repair --yes
"""


@click.command(epilog=EPILOG)
@click.option("--yes", is_flag=True, help="Do it. Without this option it only says what it would do.")
def repair(yes: bool) -> None:
    """Fill the store anew from a rewritten topic.

    Use it if ingest has stopped because the topic of texts is another one, or because the topic has lost
    records that the store has seen. The old store is kept under a prefix of its own, a new one is filled from
    the topic, and texts that only the old one has are sent to the topic again. So nothing is lost that still
    is anywhere. Responders and solver go on with the new store by themselves. Records that are sent again
    have lost their key: only `hurnet forget --entry` can delete them.
    """
    from hurnet.adapters.redis import connect
    from hurnet.settings import settings
    from hurnet.terminal.screen import hush

    hush()
    chosen = settings.load()
    connection = connect(chosen.redis)
    with ExitStack() as stack:
        stack.callback(connection.close)
        _repair(chosen, connection, stack, yes)


def _repair(chosen: Settings, connection: Connection, stack: ExitStack, yes: bool) -> None:
    from hurnet.adapters.kafka import KafkaHistory, KafkaSink
    from hurnet.adapters.redis import RedisEntryStore
    from hurnet.adapters.redis.aside import put_aside, under, unfinished
    from hurnet.errors import StoreError
    from hurnet.operations.repair import Comparison
    from hurnet.terminal.screen import say

    history = stack.enter_context(closing(KafkaHistory(chosen.kafka, chosen.kafka.texts)))
    bounds = history.offset_ranges()
    now = history.log()
    begun = unfinished(connection)
    aside, was, done = begun or (connection.prefix, "", {})
    store = RedisEntryStore(under(connection, aside))
    if begun is None:
        if store.identity() is None:
            raise StoreError(f"there is no context {connection.prefix!r} at {connection.place}")
        log = store.log()
        was = log.topic if log else ""
        if sound(store, history, now):
            say("nothing to repair: the topic is the one that the context was filled from")
            return
        if log and log.cluster != now.cluster:
            say(f"this Kafka is cluster {now.cluster}, and the context was filled from cluster {log.cluster}")
    comparison = Comparison(store, history, chosen.kafka.texts, same_topic=was == now.topic)
    if not yes:
        _tell(comparison, store)
        return
    if begun is None:
        firsts = {partition: held.first for partition, held in bounds.items()}
        aside = put_aside(connection, now, firsts)
        store = RedisEntryStore(under(connection, aside))
        comparison = Comparison(store, history, chosen.kafka.texts, same_topic=was == now.topic)
    sink = stack.enter_context(closing(KafkaSink(chosen.kafka)))
    sent = _send(comparison, store, sink, connection, done)
    say(
        f"sent again: {sent['texts']:,} texts, {sent['deletions']:,} deletions. The context is being filled"
        f" from the topic, once an ingest runs. The old one is kept under the prefix {aside}; nothing reads"
        " it any more"
    )


def sound(store: EntryStore, history: KafkaHistory, now: LogIdentity) -> bool:
    """Whether the topic holds each shard's last record, or nothing can be said of it."""
    log, bounds = store.log(), history.offset_ranges()
    if log is not None and log != now:
        return False
    for partition, state in store.states().items():
        held, anchor = bounds.get(partition), state.anchor
        if held is None or state.watermark >= held.end:
            return False
        if anchor and held.first <= anchor.offset:
            found = [r for block in history.read(partition, anchor.offset, anchor.offset) for r in block]
            if not found or found[0].anchor != anchor:
                return False
    return True


def _tell(comparison: Comparison, store: EntryStore) -> None:
    from hurnet.terminal.screen import say

    counts = Counter[str]()
    for partition in store.states():
        for missing in comparison.lacking(partition):
            counts += Counter(texts=missing.texts, deletions=missing.deletions)
    say(
        f"the topic lacks {counts['texts']:,} texts that the context has, and {counts['deletions']:,}"
        " deletions of what it holds. With --yes the context is put aside, these are sent to the topic"
        " again, and a new context is filled from it"
    )


def _send(
    comparison: Comparison, store: EntryStore, sink: Sink, connection: Connection, done: dict[int, int]
) -> Counter[str]:
    from hurnet.adapters.redis.aside import finish, note
    from hurnet.core.stored.batch import MAX_OFFSET, NOTHING

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

"""Putting a store aside: in one step, its keys move to another prefix and a new store begins in its place.

`hurnet repair` does this if the topic of texts was lost or made anew. The new store begins at the first
offsets that the topic holds, and what only the old store holds is sent to the topic again:

    before   P:meta  P:{shard-0}:stream ...                  lost its log
    after    P.aside-EPOCH:meta  P.aside-EPOCH:{shard-0}:... kept as it was, readable under that prefix
             P:meta  P:{shard-0}:state  P:repair             empty, bound to the new log

While the sending goes on, P:repair is a hash: aside (the prefix of the old store), topic (the UUID of its
topic), and per partition the offset up to which the old store's entries were sent again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from types import MappingProxyType
from typing import Any

import redis

from hurnet_stream.adapters.redis import stored_json
from hurnet_stream.adapters.redis.connection import Bound, Connection
from hurnet_stream.adapters.redis.keys import STAYS, Keys
from hurnet_stream.adapters.redis.meta import Meta
from hurnet_stream.core.formats import NUMBERED_FROM
from hurnet_stream.core.places import NumberedTopic
from hurnet_stream.core.stored.batch import LogIdentity
from hurnet_stream.errors import StoreError, TransientError


def under(connection: Connection, prefix: str) -> Connection:
    """The same server under another prefix, bound to nothing yet."""
    return replace(connection, prefix=prefix, bound=Bound())


def unfinished(connection: Connection) -> tuple[str, str, dict[int, int]] | None:
    """The repair that was begun and not finished; None if there is none.

    Returns the prefix of the old store, its topic's UUID, and how far each shard was sent again.
    """
    with connection.used():
        raw: Mapping[bytes, bytes] = connection.client.hgetall(connection.keys.repair)
    fields = {name.decode(): value.decode() for name, value in raw.items()}
    if not fields:
        return None
    aside, topic = fields.pop("aside"), fields.pop("topic")
    return aside, topic, {int(partition): int(offset) for partition, offset in fields.items()}


def note(connection: Connection, partition: int, upto: int) -> None:
    """Note that the old store's entries of the shard were sent again up to offset `upto`."""
    with connection.used():
        connection.client.hset(connection.keys.repair, str(partition), upto)


def finish(connection: Connection) -> None:
    """Note that everything was sent again."""
    with connection.used():
        connection.client.unlink(connection.keys.repair)


def put_aside(
    connection: Connection,
    log: LogIdentity,
    firsts: Mapping[int, int],
    topics: Mapping[str, NumberedTopic] = MappingProxyType({}),
) -> str:
    """Move the store to another prefix, and begin a new one in its place. Returns that prefix.

    The new store belongs to `log` and to the other `topics`, and its shards begin at `firsts`, the first
    positions that the topics hold.
    Raises `StoreError` if there is no store, `TransientError` if a worker writes to it meanwhile.
    """
    keys, client = connection.keys, connection.client
    with connection.used(), client.pipeline() as pipe:
        try:
            pipe.watch(keys.meta)
            raw = pipe.get(keys.meta)
            if raw is None:
                raise StoreError(f"there is no store {keys.prefix!r} at {connection.server_name}")
            old = Meta.parse(raw, keys.meta)
            aside = f"{keys.prefix}.aside-{old.epoch}"
            old_topic = stored_json.loads(pipe.get(keys.log) or b'{"topic": ""}')["topic"]
            names = [n for n in client.scan_iter(f"{keys.prefix}:*", count=1_000) if not STAYS.match(n)]
            pipe.multi()
            # RENAME is instant whatever a key holds, so thousands of them are one short step.
            for name in names:
                pipe.rename(name, aside.encode() + name[len(keys.prefix) :])
            begun = Meta.begin(old.identity).under_key_check(old.key_check).under_redaction(old.redaction)
            _begin(pipe, keys, begun, log, firsts, topics)
            pipe.hset(keys.repair, mapping={"aside": aside, "topic": old_topic})
            pipe.execute()
        except redis.WatchError as error:
            raise TransientError("the store was begun anew meanwhile") from error
        except redis.ResponseError as error:
            # A key that was there when the names were read is gone, such as a draft of the solver's.
            if "no such key" in str(error):
                raise TransientError("the store was written to meanwhile: stop its ingest") from error
            raise
    return aside


def _begin(
    pipe: Any,
    keys: Keys,
    meta: Meta,
    log: LogIdentity,
    firsts: Mapping[int, int],
    topics: Mapping[str, NumberedTopic],
) -> None:
    if topics:
        meta = meta.raised(NUMBERED_FROM)
        pipe.set(keys.topics, json.dumps({name: topic._asdict() for name, topic in topics.items()}))
    pipe.set(keys.meta, meta.raw)
    pipe.set(keys.log, json.dumps(asdict(log)))
    for partition, first in firsts.items():
        if first > 0:  # a shard whose topic begins at 0 needs no state to begin there
            pipe.sadd(keys.shards, partition)
            state = {"epoch": meta.epoch, "watermark": str(first - 1), "rows": "0"}
            pipe.hset(keys.shard(partition, "state"), mapping=state)

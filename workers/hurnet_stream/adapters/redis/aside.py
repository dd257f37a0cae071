"""Putting a store aside: in one step, its keys move to another prefix and a new store begins in its place.

`hurnet repair` does this if the topic of texts was lost or made anew. The new store begins at the first
offsets that the topic holds, and what only the old store holds is sent to the topic again:

    before   P:meta  P:{shard-0}:stream ...                  lost its log
    after    P.aside-EPOCH:meta  P.aside-EPOCH:{shard-0}:... kept as it was, readable under that prefix
             P:meta  P:{shard-0}:state  P:repair             empty, bound to the new log

While the sending goes on, P:repair is a hash: aside (the prefix of the old store), topic (the UUID of its
topic), and per partition the offset up to which the old store's entries were sent again.

On a cluster the store's slot goes first, in one step, and then each shard's, in one step each. Until all are
there, P:repair has `firsts`, by which a repair that was killed in between is gone on with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from types import MappingProxyType
from typing import Any

import redis

from hurnet_stream.adapters.redis import stored_json
from hurnet_stream.adapters.redis.connection import Bound, Connection
from hurnet_stream.adapters.redis.keys import STAYS, Keys
from hurnet_stream.adapters.redis.meta import Meta
from hurnet_stream.adapters.redis.shard_list import PARTS
from hurnet_stream.core.formats import NUMBERED_FROM
from hurnet_stream.core.places import NumberedTopic
from hurnet_stream.core.stored.batch import LogIdentity
from hurnet_stream.errors import StoreError, TransientError


def under(connection: Connection, prefix: str) -> Connection:
    """The same server under another prefix, bound to nothing yet."""
    return replace(connection, prefix=prefix, bound=Bound())


def unfinished(connection: Connection) -> tuple[str, str, dict[int, int]] | None:
    """The repair that was begun and not finished; None if there is none. Shards of it that are not put aside
    yet are put aside now.

    Returns the prefix of the old store, its topic's UUID, and how far each shard was sent again.
    """
    with connection.used():
        raw: Mapping[bytes, bytes] = connection.client.hgetall(connection.keys.repair)
    fields = {name.decode(): value.decode() for name, value in raw.items()}
    if not fields:
        return None
    aside, topic = fields.pop("aside"), fields.pop("topic")
    if firsts := fields.pop("firsts", ""):
        _move_shards(connection, aside, {int(p): int(o) for p, o in stored_json.loads(firsts).items()})
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
            _rename(pipe, connection, aside, names)
            begun = Meta.begin(old.identity).under_key_check(old.key_check).under_redaction(old.redaction)
            _begin(pipe, connection, begun, log, firsts, topics)
            pipe.hset(keys.repair, mapping={"aside": aside, "topic": old_topic})
            pipe.execute()
        except redis.WatchError as error:
            raise TransientError("the store was begun anew meanwhile") from error
        except redis.ResponseError as error:
            # A key that was there when the names were read is gone, such as a draft of the solver's.
            if "no such key" in str(error):
                raise TransientError("the store was written to meanwhile: stop its ingest") from error
            raise
    if connection.is_cluster:
        _move_shards(connection, aside, firsts)
    return aside


def _move_shards(connection: Connection, aside: str, firsts: Mapping[int, int]) -> None:
    """Put the shards aside, too, each in its slot. What ingest has put aside itself by now, when it began the
    shard for the new store (shard_list.py), is left as it is."""
    keys, there, client = connection.keys, under(connection, aside).keys, connection.client
    with connection.used():
        old = Meta.parse(client.get(there.meta), there.meta)
        new = Meta.parse(client.get(keys.meta), keys.meta)
        held = {int(member) for member in client.smembers(there.shards)}
        for partition in sorted(held | firsts.keys()):
            state = keys.shard(partition, "state")
            with client.pipeline() as pipe:
                pipe.watch(state)
                epoch = pipe.hget(state, "epoch")
                parts = [part for part in PARTS if pipe.exists(keys.shard(partition, part))]
                pipe.multi()
                if epoch == old.epoch.encode():
                    for part in parts:
                        pipe.rename(keys.shard(partition, part), there.shard(partition, part))
                if epoch in (None, old.epoch.encode()):
                    _begin_shard(pipe, keys, new, partition, firsts.get(partition, 0))
                pipe.execute()
        client.hdel(keys.repair, "firsts")


def _rename(pipe: Any, connection: Connection, aside: str, names: Sequence[bytes]) -> None:
    # RENAME is instant whatever a key holds, so thousands of them are one short step.
    for name in names:
        if not (connection.is_cluster and b"{shard-" in name):
            pipe.rename(name, aside.encode() + name[len(connection.prefix) :])


def _begin(
    pipe: Any,
    connection: Connection,
    meta: Meta,
    log: LogIdentity,
    firsts: Mapping[int, int],
    topics: Mapping[str, NumberedTopic],
) -> None:
    keys = connection.keys
    if topics:
        meta = meta.raised(NUMBERED_FROM)
        pipe.set(keys.topics, json.dumps({name: topic._asdict() for name, topic in topics.items()}))
    pipe.set(keys.meta, meta.raw)
    pipe.set(keys.log, json.dumps(asdict(log)))
    for partition, first in firsts.items():
        if first > 0:  # a shard whose topic begins at 0 needs no state to begin there
            pipe.sadd(keys.shards, partition)
        if not connection.is_cluster:
            _begin_shard(pipe, keys, meta, partition, first)
    if connection.is_cluster:  # its shards are in other slots, and follow
        pipe.hset(keys.repair, "firsts", json.dumps(dict(firsts)))


def _begin_shard(pipe: Any, keys: Keys, meta: Meta, partition: int, first: int) -> None:
    if first > 0:
        state = {"epoch": meta.epoch, "watermark": str(first - 1), "rows": "0"}
        pipe.hset(keys.shard(partition, "state"), mapping=state)

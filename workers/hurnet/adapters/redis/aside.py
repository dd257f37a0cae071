"""A context put aside: all its keys under another prefix, and a new one begun in its place, in one step.

P:repair    hash: aside (the prefix of the context put aside), topic (it was filled from that one), and per
            partition the offset up to which what only that context holds was sent to the topic again
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Final

import redis

from hurnet.adapters.redis.connection import Connection
from hurnet.adapters.redis.holdings import shard_key
from hurnet.adapters.redis.stream import Meta
from hurnet.core.stored.batch import LogIdentity
from hurnet.errors import StoreError, TransientError

_STAYS: Final = re.compile(rb"[^:]*:(lease|progress|working):")
"""Keys of workers and of groups, not of a context."""


def under(connection: Connection, prefix: str) -> Connection:
    """The same server, other keys."""
    return replace(connection, prefix=prefix, bound=type(connection.bound)())


def unfinished(connection: Connection) -> tuple[str, str, dict[int, int]] | None:
    """Of a repair that was begun: the prefix put aside, its topic, and how far each shard is sent again."""
    with connection.used():
        raw: Mapping[bytes, bytes] = connection.client.hgetall(f"{connection.prefix}:repair")
    found = {name.decode(): value.decode() for name, value in raw.items()}
    if not found:
        return None
    aside, topic = found.pop("aside"), found.pop("topic")
    return aside, topic, {int(partition): int(offset) for partition, offset in found.items()}


def note(connection: Connection, partition: int, upto: int) -> None:
    """What only the context put aside holds of the shard was sent again up to offset `upto`."""
    with connection.used():
        connection.client.hset(f"{connection.prefix}:repair", str(partition), upto)


def finish(connection: Connection) -> None:
    """All of it was."""
    with connection.used():
        connection.client.unlink(f"{connection.prefix}:repair")


def put_aside(connection: Connection, log: LogIdentity, firsts: Mapping[int, int]) -> str:
    """Returns the prefix under which the context is kept. The new one belongs to `log`, and its shards begin
    at `firsts`, the first offsets that the topic holds."""
    prefix, client = connection.prefix, connection.client
    with connection.used(), client.pipeline() as pipe:
        try:
            pipe.watch(f"{prefix}:meta")
            raw = pipe.get(f"{prefix}:meta")
            if raw is None:
                raise StoreError(f"there is no context {prefix!r} at {connection.place}")
            old = Meta.parse(raw, f"{prefix}:meta")
            aside = f"{prefix}.aside-{old.epoch}"
            was = json.loads(pipe.get(f"{prefix}:log") or b'{"topic": ""}')["topic"]
            keys = [key for key in client.scan_iter(f"{prefix}:*", count=1_000) if not _STAYS.match(key)]
            pipe.multi()
            for key in keys:
                pipe.rename(key, aside.encode() + key[len(prefix) :])
            _begin(pipe, prefix, Meta.begin(old.identity), log, firsts)
            pipe.hset(f"{prefix}:repair", mapping={"aside": aside, "topic": was})
            pipe.execute()
        except redis.WatchError as error:
            raise TransientError("the context was begun anew meanwhile") from error
        except redis.ResponseError as error:
            if "no such key" in str(error):
                raise TransientError("the context was written to meanwhile: stop its ingest") from error
            raise
    return aside


def _begin(
    pipe: redis.client.Pipeline, prefix: str, meta: Meta, log: LogIdentity, firsts: Mapping[int, int]
) -> None:
    pipe.set(f"{prefix}:meta", meta.raw)
    pipe.set(f"{prefix}:log", json.dumps(asdict(log)))
    for partition, first in firsts.items():
        if first > 0:
            pipe.sadd(f"{prefix}:shards", partition)
            begun = {"epoch": meta.epoch, "watermark": str(first - 1), "rows": "0"}
            for name, value in begun.items():
                pipe.hset(shard_key(prefix, partition, "state"), name, value)

"""A generation's keys, removed.

Files of sealed rows go first, as the meta says which they are, and nobody reads them any more. Then goes the
meta: from then on every script finds that the store is not its own, and writes nothing. What is left of a
removal that was killed is found by its keys, and removed by the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hurnet_stream.adapters.redis.connection import Connection
from hurnet_stream.adapters.redis.copy_notes import let_go
from hurnet_stream.adapters.redis.generations import at_generation
from hurnet_stream.adapters.redis.keys import STAYS
from hurnet_stream.adapters.redis.meta import Meta
from hurnet_stream.core.stored.generations import Generations

PAGE: Final = 1_000


def drop(connection: Connection, number: int, remaining: Generations) -> int:
    """Remove all that this generation has, and what the other ones keep for filling it. Returns how many keys
    were removed."""
    gone = at_generation(connection, number)
    with connection.used():
        raw = connection.client.get(gone.keys.meta)
        if raw is not None and (segments := connection.segments):
            for file in segments.listed(Meta.parse(raw, gone.keys.meta).epoch):
                segments.remove(file.name)
        connection.client.unlink(gone.keys.meta)
        names = list(_names(gone))
        for first in range(0, len(names), PAGE):
            connection.client.unlink(*names[first : first + PAGE])
        for kept in remaining.members:
            source = at_generation(connection, kept.number)
            shards = connection.client.smembers(source.keys.shards)
            let_go(connection.client, source, map(int, shards))
    return len(names)


def leftovers(connection: Connection, known: Generations) -> list[int]:
    """The numbers of generations that are gone and have left keys."""
    with connection.used():
        gone = [number for number in range(known.last + 1) if known.of(number) is None]
        return [number for number in gone if next(_names(at_generation(connection, number)), None)]


def _names(connection: Connection) -> Iterator[bytes]:
    """Keys of a generation. Those of groups, clients and roles stay."""
    found = connection.client.scan_iter(f"{connection.keys.prefix}:*", count=PAGE)
    later = connection.prefix != connection.home
    return (bytes(name) for name in found if later or not STAYS.match(name))

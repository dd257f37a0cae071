"""`GenerationsStore` in Redis, and connections to the generation that somebody wants.

P:generations   JSON    which generations there are: hurnet_stream/core/stored/generations.py
P:...                   generation 0
P@1:...                 generation 1, with keys of the same names
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hurnet_stream.adapters.redis.connecting import connect
from hurnet_stream.adapters.redis.connection import Bound, Connection, guarded
from hurnet_stream.adapters.redis.meta import Meta
from hurnet_stream.adapters.redis.scripts import REPLACE_VALUE
from hurnet_stream.core.stored.generations import Generation, Generations
from hurnet_stream.errors import ConfigurationError, StoreError, TransientError, Unreadable
from hurnet_stream.ports.generations import Step
from hurnet_stream.ports.segments import Segments
from hurnet_stream.settings.settings import RedisSettings

TRIES: Final = 20
"""How often a change is tried that others are quicker with."""


class RedisGenerations:
    """`GenerationsStore` (see hurnet_stream/ports/generations.py) in Redis."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._client = connection.client
        self._keys = connection.home_keys

    @guarded
    def read(self) -> Generations | None:
        return self._parsed(self._client.get(self._keys.generations))

    @guarded
    def change(self, step: Step) -> Generations:
        for _ in range(TRIES):
            raw = self._client.get(self._keys.generations)
            known = self._parsed(raw) or self._first()
            changed = step(known)
            if changed == known:
                return known
            arguments = self._keys.generations, raw or b"", changed.encode()
            if self._client.eval(REPLACE_VALUE, 1, *arguments):
                return changed
        raise TransientError("others keep changing the generations")

    def _first(self) -> Generations:
        raw = self._client.get(self._keys.meta)
        if not isinstance(raw, bytes):
            raise StoreError(
                f"there is no store {self._keys.prefix!r} at {self.connection.server_name} yet: there is"
                " nothing to fill another generation from"
            )
        return Generations.first(Meta.parse(raw, self._keys.meta).identity)

    def _parsed(self, raw: object) -> Generations | None:
        if not isinstance(raw, bytes):
            return None
        try:
            return Generations.decode(raw)
        except ValueError as error:
            raise Unreadable(f"{self._keys.generations} is not readable: {error}") from error


def at_generation(connection: Connection, number: int) -> Connection:
    """The same connection to the generation with this number."""
    prefix = generation_prefix(connection.home, number)
    if prefix == connection.prefix:
        return connection
    bound = Bound(cluster=connection.bound.cluster)
    return replace(connection, prefix=prefix, home_prefix=connection.home, bound=bound)


def connect_to(settings: RedisSettings, number: int, segments: Segments | None = None) -> Connection:
    """A connection of its own to the generation with this number. Makes no round trip yet."""
    return at_generation(connect(settings, segments), number)


def connect_serving(settings: RedisSettings, segments: Segments | None = None, texts: str = "") -> Connection:
    """A connection to the generation that answers, or of this topic: see `serving_of`. One round trip."""
    connection = connect(settings, segments)
    try:
        return serving_of(connection, texts)
    except BaseException:
        connection.close()
        raise


def connect_epoch(settings: RedisSettings, epoch: str | None, segments: Segments | None = None) -> Connection:
    """A connection to the generation whose store has this epoch; if there is none, to the one that
    answers."""
    connection = connect(settings, segments)
    try:
        known = RedisGenerations(connection).read()
        for each in known.members if known else ():
            own = at_generation(connection, each.number)
            raw = connection.client.get(own.keys.meta)
            if isinstance(raw, bytes) and Meta.parse(raw, own.keys.meta).epoch == epoch:
                return own
        return serving_of(connection)
    except BaseException:
        connection.close()
        raise


def serving_of(connection: Connection, texts: str = "") -> Connection:
    """The same connection to the generation that answers now. One round trip.

    While two topics of texts are read, whoever names entries without a topic means those of his own, `texts`:
    then it is the generation that is filled from that one. Raises `ConfigurationError` if there is none."""
    known = RedisGenerations(connection).read()
    if known is None:
        return at_generation(connection, 0)
    chosen = known.of(known.serving)
    if texts and chosen and not chosen.reads(texts):
        answers, chosen = chosen.topic, next((each for each in known.members if each.reads(texts)), None)
        if chosen is None:
            raise ConfigurationError(
                f"no generation is filled from the topic {texts}: the one that answers is of {answers}, so"
                f" HURNET_KAFKA_TEXTS must be {answers}"
            )
    return at_generation(connection, chosen.number if chosen else known.serving)


def generation_of(connection: Connection) -> int:
    """The number of the generation that this connection leads to."""
    _, _, number = connection.prefix.removeprefix(connection.home).rpartition("@")
    return int(number or 0)


def generation_at(connection: Connection) -> Generation | None:
    """The generation that this connection leads to; None if there never was a second one. One round trip."""
    known = RedisGenerations(connection).read()
    return known.of(generation_of(connection)) if known else None


def embedder_name(connection: Connection, setting: str) -> str:
    """What the embedder of this connection's generation is called; what the setting says if there is only
    the first one."""
    known = RedisGenerations(connection).read()
    own = [each for each in known.members if _at(connection, each.number)] if known else []
    return (own[0].called or own[0].name) if own else setting


def _at(connection: Connection, number: int) -> bool:
    return generation_prefix(connection.home, number) == connection.prefix


def generation_prefix(prefix: str, number: int) -> str:
    """What the keys of a generation begin with."""
    return f"{prefix}@{number}" if number else prefix

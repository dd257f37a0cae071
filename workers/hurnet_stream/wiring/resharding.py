"""`hurnet reshard --partitions`: the forwarder as a process, and the generation that it begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from hurnet_stream.core.stored.generations import Generations
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.metrics.reshard import ReshardMetrics
from hurnet_stream.operations.resharding import gone_from_kafka, group_of, key_of, others_gone
from hurnet_stream.ports import EntryStore, GenerationsStore, Tracer
from hurnet_stream.reshard.forwarder import Between, Forwarder
from hurnet_stream.reshard.routing import Route
from hurnet_stream.runtime.loop import Worker
from hurnet_stream.settings.settings import KafkaSettings, Settings
from hurnet_stream.wiring.parts import Beat, connection_to
from hurnet_stream.wiring.permissions import check_rights, check_store_rights
from hurnet_stream.wiring.running import run_worker

if TYPE_CHECKING:
    from hurnet_stream.adapters.redis import Bound, Connection

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks for: a topic with so many partitions (0: as many as it has), with texts that only
    the store holds if `from_store`. `once`: end as soon as all is forwarded."""

    topic: str
    partitions: int
    from_store: bool = False
    once: bool = False
    anyway: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """A forwarder among others, as its exchange knows it."""

    group: str
    instance: str
    transaction_deadline: float
    transaction_timeout: float


class Resharding:
    """The worker: turns of the forwarder, until the old topic is silent."""

    name = "reshard"

    def __init__(
        self,
        forwarder: Forwarder,
        known: GenerationsStore,
        silence_s: float,
        once: bool,
        stop: Callable[[], None],
    ) -> None:
        self._forwarder = forwarder
        self._known = known
        self._silence_s = 0.0 if once else silence_s
        self._once = once
        self._stop = stop

    def step(self) -> None:
        self._forwarder.step()
        if self._forwarder.caught_up and self._forwarder.silent_s >= self._silence_s and self._may_end():
            log.info("all of the old topic is forwarded, and nobody writes to it any more")
            self._stop()

    def _may_end(self) -> bool:
        known = self._known.read()
        serving = known.of(known.serving) if known else None
        return self._once or bool(serving and serving.origin)

    def unready(self) -> list[str]:
        return self._forwarder.unready()

    def standing(self) -> str:
        return self._forwarder.standing()

    def drain(self) -> None:
        self._forwarder.drain()

    def close(self) -> None:
        self._forwarder.close()


def run_forwarder(settings: Settings, asked: Asked) -> int:
    """Forward until told to stop, or until the old topic is silent. Returns the exit code."""
    stops: list[Callable[[], None]] = []
    return run_worker("reshard", settings, partial(_build, asked, stops), stops.append)


def _build(
    asked: Asked,
    stops: Sequence[Callable[[], None]],
    settings: Settings,
    metrics: ReshardMetrics,
    bound: Bound,
    beat: Beat,
    _tracer: Tracer | None,
) -> Worker:
    from hurnet_stream.adapters.kafka import KafkaHistory, TransactionalExchange
    from hurnet_stream.adapters.redis import RedisForwardNotes, RedisGenerations, connect

    kafka = settings.kafka.model_copy(update={"cluster": settings.kafka.cluster or bound.cluster})
    with ExitStack() as undo:
        known = connect(settings.redis)
        undo.callback(known.close)
        check_store_rights("reshard", settings, known)
        check_rights("reshard", settings, kafka)
        connected = partial(connection_to, settings=settings, metrics=metrics, bound=bound, undo=undo)
        old, new, route, kafka = _begun(kafka, known, asked, connected)
        member = _member(settings, asked.topic)
        _check_gone(old, kafka, member.group, asked)
        exchange = TransactionalExchange(kafka, route.origin, member)
        undo.enter_context(closing(exchange))
        if log_read := exchange.log():
            bound.meet(log_read.cluster)
        history = undo.enter_context(closing(KafkaHistory(kafka, asked.topic)))
        between = Between(*_stores(old, new), RedisForwardNotes(old, new), history, route)
        forwarder = Forwarder(exchange, between, settings, metrics, asked.from_store)
        forwarder.beat = beat
        undo.pop_all()
    return Resharding(forwarder, RedisGenerations(known), settings.reshard.silence, asked.once, stops[0])


Connect = Callable[[int], "Connection"]


def _begun(
    kafka: KafkaSettings, known: Connection, asked: Asked, connected: Connect
) -> tuple[Connection, Connection, Route, KafkaSettings]:
    """Connections to the old generation and to the new one, which is begun if it is new; the way between
    them, and the settings with the old topic as that of texts."""
    from hurnet_stream.adapters.kafka.admin.reshaped import create_beside
    from hurnet_stream.adapters.redis import RedisGenerations

    store = RedisGenerations(known)
    there = store.read()
    begun = next((each for each in there.members if each.topic == asked.topic), None) if there else None
    origin = begun.origin if begun and begun.origin else kafka.texts
    kafka = kafka.model_copy(update={"texts": origin})
    try:
        if begun is None:
            store.change(lambda each: _may(each.resharded(asked.topic, origin), each))
        partitions = create_beside(kafka, asked.topic, asked.partitions)
        if asked.partitions not in (0, partitions):
            raise ConfigurationError(
                f"{asked.topic} has {partitions} partitions, not {asked.partitions}: name another topic"
                " (--topic)"
            )
        after = store.change(lambda each: each.resharded(asked.topic, origin))
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    new = after.named(asked.topic)
    old = next((each for each in after.members if each.topic == origin), None)
    if new is None or old is None:
        raise ConfigurationError(f"the generation of {origin} is gone: there is nothing more to forward")
    return connected(old.number), connected(new.number), Route(origin, asked.topic, partitions, key_of), kafka


def _may(_then: Generations, now: Generations) -> Generations:
    """Nothing is changed yet: it was only tried whether it can be, before a topic is created for it."""
    return now


def _check_gone(old: Connection, kafka: KafkaSettings, group: str, asked: Asked) -> None:
    """Raises `ConfigurationError` if the store has texts that Kafka no longer holds, unless it was said what
    becomes of them."""
    from hurnet_stream.adapters.kafka.admin.forwarded import Forwarded
    from hurnet_stream.adapters.kafka.reading.histories import KafkaHistories
    from hurnet_stream.adapters.redis import RedisEntryStore, RedisForwardNotes

    store, notes = RedisEntryStore(old), RedisForwardNotes(old, old)
    store.identity()
    with closing(KafkaHistories(kafka, store.topics().with_texts(kafka.texts))) as histories:
        held = histories.offset_ranges()
    done = Forwarded(kafka, group).committed(kafka.texts)
    gone = 0 if asked.from_store else gone_from_kafka(store, notes, held, done)
    if gone:
        raise ConfigurationError(
            f"Kafka no longer holds {gone:,} texts of {kafka.texts} that the store has. With"
            " --from-store they are"
            " taken from there, without their keys: what comes later under such a key stands beside them"
        )
    # Later on, what Kafka has dropped meanwhile may be in the new store already.
    missing = 0 if asked.anyway or done else others_gone(store, notes, held)
    if missing:
        raise ConfigurationError(
            f"Kafka no longer holds {missing:,} texts of other topics that the store has, and the"
            " new generation reads"
            " these topics from as far back as they reach. With --anyway it will lack these texts"
        )


def _stores(old: Connection, new: Connection) -> tuple[EntryStore, EntryStore]:
    """Both stores, opened. The new one, while it is empty, takes over how the old one keeps secrets and takes
    keyed texts in."""
    from hurnet_stream.adapters.redis import RedisEntryStore

    stores = RedisEntryStore(old), RedisEntryStore(new)
    identity = stores[0].identity()
    if identity is None:
        raise ConfigurationError("there is no store yet: an ingest has to begin it first")
    stores[0].open(identity)
    stores[1].open(identity, writing=True)
    stores[1].share_privacy(stores[0])
    stores[1].share_keys_mode(stores[0])
    return stores


def _member(settings: Settings, topic: str) -> Member:
    chosen = settings.reshard
    times = chosen.transaction_deadline, chosen.transaction_timeout
    return Member(group_of(settings.redis.prefix, topic), chosen.instance, *times)

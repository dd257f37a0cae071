"""The composition root: the only place where workers, adapters and settings are put together."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from hurnet.adapters.probes import TEXT, Page, ProbeServer
from hurnet.errors import ConfigurationError, HurnetError, TransientError
from hurnet.metrics import Metrics
from hurnet.ports import EntryStore, Exchange, Source
from hurnet.runtime.logs import configure, log_what_nobody_catches
from hurnet.runtime.loop import Loop, Worker
from hurnet.runtime.watchdog import Watchdog
from hurnet.settings.checks import cautions
from hurnet.settings.redaction import redacted
from hurnet.settings.settings import KafkaSettings, LogSettings, Settings, ignored
from hurnet.visible import visible

if TYPE_CHECKING:
    from hurnet.adapters.redis import Bound, Connection

log = structlog.get_logger()

Beat = Callable[[], None]
Build = Callable[[Settings, Metrics, "Bound", Beat], Worker]
"""The last is told when a turn of the loop takes long and gets on."""

EXIT_FAILED = 1
EXIT_MISCONFIGURED = 2


def build_ingest(settings: Settings, metrics: Metrics, bound: Bound, _beat: Beat) -> Worker:
    """Texts from Kafka into the context."""
    from hurnet.adapters.embedders import load
    from hurnet.adapters.kafka.reading.source import KafkaSource
    from hurnet.adapters.kafka.writing.sink import KafkaSink
    from hurnet.adapters.redis import RedisEntryStore
    from hurnet.ingest.ingest import Ingest

    with ExitStack() as undo:  # a build that fails half-way is tried again and must leave nothing open
        store = RedisEntryStore(_redis(settings, bound, undo))
        kafka = _pinned(settings.kafka, store, bound)
        sink = undo.enter_context(closing(KafkaSink(kafka)))
        source = undo.enter_context(closing(KafkaSource(kafka, kafka.texts, settings.ingest.group)))
        _note(bound, source)
        _warn_of_topics(kafka, kafka.texts, kafka.dead_letters)
        worker = Ingest(source, store, sink, load(settings.embedder.name), settings, metrics)
        undo.pop_all()
    return worker


def build_solver(settings: Settings, metrics: Metrics, bound: Bound, beat: Beat) -> Worker:
    """The context into weights."""
    from hurnet.adapters.redis import RedisEntryStore, RedisLeaseStore, RedisWeightsStore
    from hurnet.solver.solver import Solver

    with ExitStack() as undo:
        connection = _redis(settings, bound, undo)
        store = RedisEntryStore(connection)
        store.log()  # raises where this is now the store of another system
        weights, leases = RedisWeightsStore(connection), RedisLeaseStore(connection)
        worker = Solver(store, weights, leases, settings, metrics).watched_by(beat)
        undo.pop_all()
    return worker


def build_responder(settings: Settings, metrics: Metrics, bound: Bound, _beat: Beat) -> Worker:
    """Queries and the context into answers."""
    from hurnet.adapters.embedders import load
    from hurnet.adapters.redis import RedisEntryStore, RedisWeightsStore
    from hurnet.responder.responder import Responder

    with ExitStack() as undo:
        connection = _redis(settings, bound, undo)
        store, weights = RedisEntryStore(connection), RedisWeightsStore(connection)
        if bound.cluster and store.log() is None:
            raise TransientError(
                f"{connection.place} holds no context any more: an ingest fills one anew from Kafka,"
                " and answers wait for that"
            )
        kafka = _pinned(settings.kafka, store, bound)
        _check_texts(kafka, store)
        exchange = undo.enter_context(closing(_exchange(settings, kafka)))
        _note(bound, exchange)
        _warn_of_topics(kafka, kafka.queries, kafka.answers, kafka.dead_letters)
        worker = Responder(exchange, store, weights, load(settings.embedder.name), settings, metrics)
        undo.pop_all()
    return worker


def _redis(settings: Settings, bound: Bound, undo: ExitStack) -> Connection:
    """A worker's one connection to the store, which its context store closes; says what could lose data."""
    from hurnet.adapters.redis import connect

    bound.epoch = ""
    connection = replace(connect(settings.redis), bound=bound)
    undo.callback(connection.close)
    for warning in connection.warnings():
        log.warning(warning)
    return connection


def _pinned(kafka: KafkaSettings, store: EntryStore, bound: Bound) -> KafkaSettings:
    """The settings, with the cluster that the context belongs to, or the process has begun with."""
    found = store.log()
    cluster = kafka.cluster or (found.cluster if found else bound.cluster)
    return kafka.model_copy(update={"cluster": cluster})


def _check_texts(kafka: KafkaSettings, store: EntryStore) -> None:
    """Raises `ForeignLog` where the topic of texts is not the one that the context is filled from."""
    from hurnet import belonging
    from hurnet.adapters.kafka import KafkaHistory

    bound = store.log()
    if bound is None:
        return
    try:
        with closing(KafkaHistory(kafka, kafka.texts)) as history:
            belonging.check_reader(bound, history.log())
    except ConfigurationError as error:  # no such topic, or no right to look
        log.warning("the topic of texts can't be looked at", error=str(error))


def _warn_of_topics(kafka: KafkaSettings, *names: str) -> None:
    """Says where topics are not as `hurnet topics --create` makes them; no reason not to work."""
    from hurnet.adapters.kafka import differing

    try:
        for warning in differing(kafka, names):
            log.warning(warning)
    except ConfigurationError as error:
        log.warning("the topics' configuration can't be checked", error=str(error))


def _note(bound: Bound, source: Source) -> None:
    if found := source.log():
        bound.meet(found.cluster)


def _exchange(settings: Settings, kafka: KafkaSettings) -> Exchange:
    from hurnet.adapters.kafka import AtLeastOnceExchange, TransactionalExchange

    kind = TransactionalExchange if settings.responder.exactly_once else AtLeastOnceExchange
    return kind(kafka, settings.responder)


BUILDERS: dict[str, Build] = {"ingest": build_ingest, "solver": build_solver, "responder": build_responder}


def misconfigured(name: str, error: ConfigurationError) -> int:
    """Settings that can't be used, told as a worker tells everything to a machine; the exit code."""
    configure(LogSettings(format="json"), name)
    log.error(str(error), error=type(error).__name__)
    return EXIT_MISCONFIGURED


def run(name: str, settings: Settings) -> int:
    """Run the worker `name` until it is told to stop; returns the exit code."""
    from hurnet.adapters.redis import Bound

    build = BUILDERS[name]
    configure(settings.log, name)
    log_what_nobody_catches()
    _say_of(settings)
    metrics = Metrics()
    bound = Bound()
    loop = Loop(lambda: build(settings, metrics, bound, loop.beat), settings.lifecycle, metrics)
    loop.install_signal_handlers()
    watchdog = Watchdog(lambda: loop.turns, settings.lifecycle)
    probes: ProbeServer | None = None
    try:
        if settings.metrics.enabled:
            probes = ProbeServer(
                settings.metrics.host, settings.metrics.port, _pages(loop, metrics, settings)
            )
            log.info("serving /metrics, /livez and /readyz", url=probes.url)
        loop.run()
    except HurnetError as error:
        log.error(str(error), error=type(error).__name__)
        return EXIT_MISCONFIGURED if isinstance(error, ConfigurationError) else EXIT_FAILED
    except Exception:
        log.exception("crashed, and nothing is lost: this is a bug, please report it with the lines below")
        return EXIT_FAILED
    finally:
        if probes:
            probes.close()
        watchdog.close()
    return 0


def _say_of(settings: Settings) -> None:
    """What is odd about the settings, and yet no error."""
    if passed_over := ignored():
        log.info("variables without a value, or of Kubernetes, are passed over", variables=passed_over)
    for caution in cautions(settings):
        log.warning(caution)


def _pages(loop: Loop, metrics: Metrics, settings: Settings) -> dict[str, Page]:
    def live() -> tuple[int, str, bytes]:
        idle = loop.seconds_since_turn()
        alive = idle < settings.metrics.stall
        return (
            200 if alive else 503,
            TEXT,
            f"{'ok' if alive else 'stalled'}: last turn {idle:.1f} s ago\n".encode(),
        )

    def ready() -> tuple[int, str, bytes]:
        reasons = loop.unready()
        metrics.ready.set(not reasons)
        text = visible(redacted("; ".join(reasons) or "ok"))
        return 503 if reasons else 200, TEXT, text.encode() + b"\n"

    def scrape() -> tuple[int, str, bytes]:
        metrics.ready.set(not loop.unready())
        return 200, "text/plain; version=0.0.4; charset=utf-8", metrics.exposition()

    return {"/livez": live, "/readyz": ready, "/metrics": scrape}

"""How each worker is put together: its adapters, its embedder, its settings.

Adapters and embedders are imported where they are needed, so that a worker loads only what it uses: the
solver no Kafka client, and a responder no torch unless it is to search on a GPU.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import structlog

from hurnet_stream.core.stored.generations import Generation
from hurnet_stream.errors import ConfigurationError, TransientError
from hurnet_stream.metrics.canary import CanaryMetrics
from hurnet_stream.metrics.feedback import FeedbackMetrics
from hurnet_stream.metrics.holding import HoldingMetrics
from hurnet_stream.metrics.ingest import IngestMetrics
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.metrics.solver import SolverMetrics
from hurnet_stream.ports import Embedder, EntryStore, Exchange, Source, Tracer
from hurnet_stream.runtime.loop import Worker
from hurnet_stream.settings.settings import KafkaSettings, Settings
from hurnet_stream.settings.types import matches
from hurnet_stream.wiring import generations
from hurnet_stream.wiring.moving import wait_until_forwarded
from hurnet_stream.wiring.parts import Beat, Build, connection_of, folder_of, shelf_of
from hurnet_stream.wiring.permissions import check_rights
from hurnet_stream.wiring.slicing import build_slice, gathered

if TYPE_CHECKING:
    from hurnet_stream.adapters.redis import Bound
    from hurnet_stream.responder.generation import LoadedGeneration

log = structlog.get_logger()


def build_ingest(
    settings: Settings, metrics: IngestMetrics, bound: Bound, beat: Beat, tracer: Tracer | None
) -> Worker:
    """The worker that appends texts from Kafka to the store."""
    from hurnet_stream.adapters.kafka.reading.source import KafkaSource
    from hurnet_stream.adapters.kafka.writing.sink import KafkaSink
    from hurnet_stream.adapters.redis import KeyedEntryStore, generation_at
    from hurnet_stream.core.places import Topics
    from hurnet_stream.ingest.ingest import Ingest
    from hurnet_stream.wiring.reading import readers

    # A build that fails in the middle is tried again, so it must leave nothing open.
    with ExitStack() as undo:
        embedder = _embedder_to_fill(settings)
        number = partial(generations.to_fill, embedder=embedder, texts=settings.kafka.texts)
        connection = connection_of("ingest", settings, metrics, bound, undo, number)
        group = generations.ingest_group(settings.ingest.group, generation_at(connection))
        settings = _of_group(settings, group)
        store = KeyedEntryStore(connection, settings.privacy.current("key_secret") or "", settings.pii.rules)
        kafka = _pinned(settings.kafka, store, bound)
        check_rights("ingest", settings, kafka)
        sink = undo.enter_context(closing(KafkaSink(kafka)))
        store.open(embedder.identity, writing=True)
        topics = Topics.of(store.number_topics(dict.fromkeys(settings.topics, ""))).with_texts(kafka.texts)
        source = undo.enter_context(closing(KafkaSource(kafka, topics, settings.ingest.group)))
        _note(bound, source)
        _warn_of_topics(kafka, kafka.texts, kafka.dead_letters)
        worker = Ingest(source, store, sink, embedder, settings, metrics)
        worker.reading_by(readers(settings, store, beat)).traced_by(tracer)
        worker.beat = beat
        undo.pop_all()
    return worker


def _embedder_to_fill(settings: Settings) -> Embedder:
    """The embedder of the settings: in this process, or on a Dask cluster."""
    if settings.ingest.embed_on == "dask":
        from hurnet_stream.adapters.embedders.dask_pool import pool

        return pool(settings.embedder.name, settings.dask)
    from hurnet_stream.adapters.embedders import load

    return load(settings.embedder.name)


def build_solver(
    settings: Settings, metrics: SolverMetrics, bound: Bound, beat: Beat, _tracer: Tracer | None
) -> Worker:
    """The worker that turns the store into weights."""
    from hurnet_stream.adapters.redis import RedisEntryStore, RedisLeaseStore, RedisWeightsStore
    from hurnet_stream.solver.solver import Solver

    with ExitStack() as undo:
        names = settings.embedder.name, settings.kafka.texts
        number = partial(generations.to_solve, embedder_name=names[0], texts=names[1])
        connection = connection_of("solver", settings, metrics, bound, undo, number)
        store = RedisEntryStore(connection)
        store.log()  # raises `StoreReplaced` if this is the store of another system now
        weights, leases = RedisWeightsStore(connection), RedisLeaseStore(connection)
        worker = Solver(store, weights, leases, settings, metrics).watched_by(beat)
        undo.pop_all()
    return worker


def build_responder(
    settings: Settings, metrics: ResponderMetrics, bound: Bound, beat: Beat, tracer: Tracer | None
) -> Worker:
    """The worker that answers queries out of the store."""
    from hurnet_stream.adapters.embedders import load
    from hurnet_stream.adapters.redis import (
        RedisEntryStore,
        RedisGenerations,
        RedisResponderPresence,
        RedisWeightsStore,
        connect,
        embedder_name,
        generation_at,
        generation_of,
    )
    from hurnet_stream.responder.responder import Responder

    with ExitStack() as undo:
        connection = connection_of("responder", settings, metrics, bound, undo, generations.to_answer)
        store, weights = RedisEntryStore(connection), RedisWeightsStore(connection)
        if bound.cluster and store.log() is None:
            raise TransientError(
                f"{connection.server_name} holds no texts any more. There are no answers until an ingest"
                " worker has filled it anew from Kafka"
            )
        kafka = _pinned(settings.kafka, store, bound)
        check_rights("responder", settings, kafka)
        own = generation_at(connection)
        _check_texts(kafka, store, own.topic if own else "")
        exchange = undo.enter_context(closing(_exchange(settings, kafka)))
        _note(bound, exchange)
        _warn_of_topics(kafka, kafka.queries, kafka.answers, kafka.dead_letters)
        number, embedder = generation_of(connection), load(embedder_name(connection, settings.embedder.name))
        worker = Responder(exchange, store, weights, embedder, settings, metrics)
        known = connect(settings.redis)
        undo.callback(known.close)
        if settings.slices.count:  # it holds no entries, which could lie in a folder
            stores = store, weights
            worker.asking_slices(gathered(stores, embedder, exchange, settings, metrics))
        else:
            worker.lie_on(shelf_of(folder_of(settings), connection, number, metrics, undo))
        another = partial(_generation, settings, exchange, bound.cluster)
        worker.choosing_by(RedisGenerations(known), another, RedisResponderPresence(known), number)
        if own:
            worker.filled_from(own)
        worker.traced_by(tracer)
        worker.watched_by(beat)
        undo.pop_all()
    return worker


def _generation(
    settings: Settings, exchange: Exchange, cluster: str, generation: Generation, metrics: HoldingMetrics
) -> LoadedGeneration:
    """Another generation for a responder, beside the one that it was built with."""
    from hurnet_stream.adapters.embedders import load
    from hurnet_stream.adapters.redis import Bound, RedisEntryStore, RedisWeightsStore, connect_to
    from hurnet_stream.adapters.segments import segments_at
    from hurnet_stream.responder.generation import LoadedGeneration

    embedder = load(generation.called or generation.name)
    belongs = Bound(cluster=cluster)
    with ExitStack() as undo:
        segments = segments_at(settings.segments)
        connection = replace(connect_to(settings.redis, generation.number, segments), bound=belongs)
        undo.callback(connection.close)
        store, weights = RedisEntryStore(connection), RedisWeightsStore(connection)
        if settings.slices.count:
            loaded = gathered((store, weights), embedder, exchange, settings, metrics)
        else:
            loaded = LoadedGeneration(store, weights, embedder, exchange, settings, metrics)
            loaded.lie_on(shelf_of(folder_of(settings), connection, generation.number, metrics, undo))
        undo.pop_all()
    return loaded.numbered(generation.number).filled_from(generation)


def build_feedback(
    settings: Settings, metrics: FeedbackMetrics, bound: Bound, _beat: Beat, _tracer: Tracer | None
) -> Worker:
    """The worker that makes texts of what people say of answers. It needs Kafka alone."""
    from hurnet_stream.adapters.kafka import TransactionalExchange
    from hurnet_stream.feedback.feedback import FeedbackWorker

    kafka = settings.kafka.model_copy(update={"cluster": settings.kafka.cluster or bound.cluster})
    check_rights("feedback", settings, kafka)
    with ExitStack() as undo:
        exchange = TransactionalExchange(kafka, kafka.feedback, settings.feedback)
        undo.enter_context(closing(exchange))
        _note(bound, exchange)
        wait_until_forwarded(kafka, settings.redis.prefix)
        _warn_of_topics(kafka, kafka.feedback, kafka.texts, kafka.dead_letters)
        worker = FeedbackWorker(exchange, settings, metrics)
        undo.pop_all()
    return worker


def build_canary(
    settings: Settings, metrics: CanaryMetrics, _bound: Bound, _beat: Beat, _tracer: Tracer | None
) -> Worker:
    """The client that measures what clients see. Nothing needs to be there for it to begin."""
    from hurnet_stream.adapters.kafka.courier import KafkaCourier
    from hurnet_stream.canary.canary import Canary, StoreLooks
    from hurnet_stream.operations.spot_checks import spot_check

    chosen = settings.canary
    if not matches(settings.responder.reply_topics, settings.kafka.canary_answers):
        log.warning(
            "HURNET_RESPONDER_REPLY_TOPICS does not describe HURNET_KAFKA_CANARY_ANSWERS: if responders have"
            " the same settings, they answer elsewhere"
        )
    looks = None
    if chosen.store:
        verify = partial(spot_check, chosen.verify_offsets, chosen.verify_timeout)
        looks = StoreLooks(partial(_holds, settings), verify)
    return Canary(KafkaCourier(settings.kafka, settings.kafka.canary_answers), settings, metrics, looks)


def _holds(settings: Settings, partition: int, offset: int) -> bool:
    """Whether the store has this entry. A connection for each look: there are a few an hour."""
    from hurnet_stream.adapters.redis import RedisEntryStore, connect_serving
    from hurnet_stream.adapters.segments import segments_at

    connection = connect_serving(settings.redis, segments_at(settings.segments), settings.kafka.texts)
    with closing(RedisEntryStore(connection)) as store:
        return any(batch.entries for batch in store.stored_at(partition, [offset]))


def _pinned(kafka: KafkaSettings, store: EntryStore, bound: Bound) -> KafkaSettings:
    """The settings with the id of the only cluster to talk to: the one set, the store's, or the one first
    met."""
    filled_from = store.log()
    cluster = kafka.cluster or (filled_from.cluster if filled_from else bound.cluster)
    return kafka.model_copy(update={"cluster": cluster})


def _of_group(settings: Settings, group: str) -> Settings:
    """The settings with this consumer group for ingest."""
    ingest = settings.ingest.model_copy(update={"group": group})
    return settings.model_copy(update={"ingest": ingest})


def _check_texts(kafka: KafkaSettings, store: EntryStore, topic: str) -> None:
    """`topic` is the generation's own, "" for the one of the settings. Raises `ForeignLog` if the topic of
    texts is not the one that the store was filled from."""
    from hurnet_stream import belonging
    from hurnet_stream.adapters.kafka import KafkaHistory

    bound = store.log()
    if bound is None:
        return
    try:
        with closing(KafkaHistory(kafka, topic or kafka.texts)) as history:
            belonging.check_reader(bound, history.log())
    except ConfigurationError as error:  # no such topic, or no right to look
        log.warning(
            "can't check whether the store was filled from this topic of texts",
            error=str(error),
        )


def _warn_of_topics(kafka: KafkaSettings, *names: str) -> None:
    """Logs how topics differ from what `hurnet topics --create` makes. The worker works all the same."""
    from hurnet_stream.adapters.kafka import topic_warnings

    try:
        for warning in topic_warnings(kafka, names):
            log.warning(warning)
    except ConfigurationError as error:
        log.warning("can't check the configuration of the topics", error=str(error))


def _note(bound: Bound, source: Source) -> None:
    """Remembers the cluster that a source reads from."""
    if log_read := source.log():
        bound.meet(log_read.cluster)


def _exchange(settings: Settings, kafka: KafkaSettings) -> Exchange:
    from hurnet_stream.adapters.kafka import AtLeastOnceExchange, TransactionalExchange

    kind = TransactionalExchange if settings.responder.exactly_once else AtLeastOnceExchange
    return kind(kafka, kafka.queries, settings.responder)


BUILDERS: dict[str, Build] = {
    "ingest": build_ingest,
    "solver": build_solver,
    "responder": build_responder,
    "slice": build_slice,
    "feedback": build_feedback,
    "canary": build_canary,
}

"""How what holds a slice of the entries is put together, and what asks slices in place of holding all."""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING

from hurnet_stream.core.stored.generations import Generation
from hurnet_stream.errors import ConfigurationError, TransientError
from hurnet_stream.metrics.holding import HoldingMetrics
from hurnet_stream.metrics.slice import SliceMetrics
from hurnet_stream.ports import Embedder, Exchange, Tracer, WeightsStore
from hurnet_stream.runtime.loop import Worker
from hurnet_stream.settings.settings import Settings
from hurnet_stream.wiring import generations
from hurnet_stream.wiring.parts import Beat, connection_of, folder_of, shelf_of

if TYPE_CHECKING:
    from hurnet_stream.adapters.redis import Bound, Connection, RedisEntryStore
    from hurnet_stream.responder.generation import LoadedGeneration


def gathered(
    stores: tuple[RedisEntryStore, WeightsStore],
    embedder: Embedder,
    exchange: Exchange,
    settings: Settings,
    metrics: HoldingMetrics,
) -> LoadedGeneration:
    """A generation for a coordinator: its entries are in slices."""
    from hurnet_stream.adapters.grpc import GrpcSliceCalls
    from hurnet_stream.adapters.redis import RedisSliceMembers
    from hurnet_stream.responder.slices.generation import GatheredGeneration

    slices = RedisSliceMembers(stores[0].connection), GrpcSliceCalls(settings.slices)
    return GatheredGeneration(stores, slices, embedder, exchange, settings, metrics)


def build_slice(
    settings: Settings, metrics: SliceMetrics, bound: Bound, _beat: Beat, _tracer: Tracer | None
) -> Worker:
    """The worker that holds some shards, and is asked by responders. It needs the store alone."""
    from hurnet_stream.adapters.grpc import GrpcSliceDoor
    from hurnet_stream.adapters.redis import (
        RedisGenerations,
        RedisSliceMembers,
        connect,
        generation_at,
        generation_of,
    )
    from hurnet_stream.responder.slices.worker import SliceWorker

    own_number = slice_number(settings)
    with ExitStack() as undo:
        connection = connection_of("slice", settings, metrics, bound, undo, generations.to_answer)
        number = generation_of(connection)
        first = _held(connection, number, settings, metrics, undo)
        if own := generation_at(connection):
            first.filled_from(own)
        door = undo.enter_context(closing(GrpcSliceDoor(settings.slices)))
        known = connect(settings.redis)
        undo.callback(known.close)
        worker = SliceWorker(first, door, RedisSliceMembers(known), own_number, settings, metrics)
        worker.choosing_by(RedisGenerations(known), partial(_held_too, settings), number)
        undo.pop_all()
    return worker


def _held_too(settings: Settings, generation: Generation, metrics: HoldingMetrics) -> LoadedGeneration:
    """Another generation for a slice."""
    from hurnet_stream.adapters.redis import connect_to
    from hurnet_stream.adapters.segments import segments_at

    with ExitStack() as undo:
        connection = connect_to(settings.redis, generation.number, segments_at(settings.segments))
        undo.callback(connection.close)
        loaded = _held(connection, generation.number, settings, metrics, undo)
        undo.pop_all()
    return loaded.filled_from(generation)


def _held(
    connection: Connection, number: int, settings: Settings, metrics: HoldingMetrics, undo: ExitStack
) -> LoadedGeneration:
    """A generation whose entries a slice holds, with the embedder of its store. Raises `TransientError` if
    there is no store yet."""
    from hurnet_stream.adapters.redis import RedisEntryStore, RedisWeightsStore
    from hurnet_stream.adapters.shelf import remove_other_counts
    from hurnet_stream.responder.generation import LoadedGeneration
    from hurnet_stream.responder.slices.identity import IdentityAlone

    store, weights = RedisEntryStore(connection), RedisWeightsStore(connection)
    identity = store.identity()
    if identity is None:
        raise TransientError("there is no store yet: a slice waits until an ingest worker has begun one")
    loaded = LoadedGeneration(store, weights, IdentityAlone(identity), None, settings, metrics)
    share = f"slice-{slice_number(settings)}-of-{settings.slices.count}"
    if folder := folder_of(settings):
        remove_other_counts(folder, settings.slices.count)
        folder /= share
    return loaded.numbered(number).lie_on(shelf_of(folder, connection, number, metrics, undo), share)


def slice_number(settings: Settings) -> int:
    """Which slice this process is. Raises `ConfigurationError` if nothing says it."""
    chosen = settings.slices
    if not chosen.count:
        raise ConfigurationError("HURNET_SLICES_COUNT is 0: set it to how many slices there are")
    number = chosen.slice_number()
    if number is None or number >= chosen.count:
        raise ConfigurationError(
            f"which slice is this? Set HURNET_SLICES_NUMBER, from 0 to {chosen.count - 1}. Without it the"
            " number at the end of the host's name counts, as in slices-2"
        )
    return number

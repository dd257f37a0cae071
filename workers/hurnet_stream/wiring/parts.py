"""What several workers are put together from: a connection to the store, and a folder for what they hold."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from hurnet_stream.core.stored.generations import Generations
from hurnet_stream.metrics.holding import HoldingMetrics
from hurnet_stream.metrics.store import StoreMetrics
from hurnet_stream.ports import Tracer
from hurnet_stream.runtime.loop import Worker
from hurnet_stream.settings.settings import Settings
from hurnet_stream.wiring.permissions import check_store_rights

if TYPE_CHECKING:
    from hurnet_stream.adapters.redis import Bound, Connection
    from hurnet_stream.adapters.shelf import FolderShelf

log = structlog.get_logger()

Beat = Callable[[], None]
"""To be called now and then in a long turn, as a sign that it gets on."""
Build = Callable[[Settings, Any, "Bound", Beat, Tracer | None], Worker]
"""The metrics are those of the role (`metrics.roles`). `Bound` is the Kafka cluster that this process belongs
to, once it has met one. Without a tracer nothing is traced."""


def connection_of(
    role: str,
    settings: Settings,
    metrics: StoreMetrics,
    bound: Bound,
    undo: ExitStack,
    number_of: Callable[[Generations | None], int],
) -> Connection:
    """A worker's connection to one generation of the store, which its `EntryStore` closes. Logs what could
    lose data. Raises `ConfigurationError` that names the rights that this role lacks."""
    from hurnet_stream.adapters.redis import RedisGenerations, at_generation, connect
    from hurnet_stream.adapters.segments import segments_at

    bound.epoch = ""
    connection = connect(settings.redis, segments_at(settings.segments))
    undo.callback(connection.close)
    check_store_rights(role, settings, connection)  # first, since already the next line needs one of them
    connection = at_generation(connection, number_of(RedisGenerations(connection).read()))
    connection = replace(connection, bound=bound, on_call=metrics.store_called)
    for warning in connection.warnings():
        log.warning(warning)
    return connection


def connection_to(
    number: int, settings: Settings, metrics: StoreMetrics, bound: Bound, undo: ExitStack
) -> Connection:
    """A connection to this generation, for a process that has connections to others beside it. `undo` closes
    it."""
    from hurnet_stream.adapters.redis import Bound, connect_to
    from hurnet_stream.adapters.segments import segments_at

    belongs = Bound(cluster=bound.cluster)
    connection = connect_to(settings.redis, number, segments_at(settings.segments))
    connection = replace(connection, bound=belongs, on_call=metrics.store_called)
    undo.callback(connection.close)
    return connection


def folder_of(settings: Settings) -> Path | None:
    return Path(settings.responder.folder) if settings.responder.folder else None


def shelf_of(
    folder: Path | None, connection: Connection, number: int, metrics: HoldingMetrics, undo: ExitStack
) -> FolderShelf | None:
    """What is kept of this generation in a folder; None if there is none."""
    if not folder:
        return None
    from hurnet_stream.adapters.redis import RedisGenerations
    from hurnet_stream.adapters.shelf import open_shelf

    known = RedisGenerations(connection).read()
    numbers = [each.number for each in known.members] if known else [number]
    shelf = open_shelf(folder, number, numbers, metrics.shelf_failures.inc)
    return undo.enter_context(closing(shelf))

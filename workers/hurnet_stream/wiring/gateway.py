"""The gateway as a process: from its settings to its exit code."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import Final

import click
import structlog

from hurnet_stream.adapters.kafka import KafkaAtomicSink, KafkaListener
from hurnet_stream.adapters.kafka.courier import KafkaCourier
from hurnet_stream.adapters.redis import RedisEntryStore, RedisRequestClaims, connect, serving_of
from hurnet_stream.client.effects import Effects
from hurnet_stream.client.switchboard import Switchboard
from hurnet_stream.errors import ConfigurationError, TransientError
from hurnet_stream.feedback.lessons import PARTITION
from hurnet_stream.gateway.app import make_app
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.group_commit import GroupCommit
from hurnet_stream.gateway.idempotency import Once
from hurnet_stream.gateway.server import Health, bound, serve
from hurnet_stream.gateway.writes import Writes
from hurnet_stream.metrics.gateway import GatewayMetrics
from hurnet_stream.overview.readings import SystemReadings
from hurnet_stream.overview.worker_pages import base_address
from hurnet_stream.runtime.watchdog import Watchdog
from hurnet_stream.settings.addresses import is_loopback
from hurnet_stream.settings.settings import GatewaySettings, Settings
from hurnet_stream.wiring.moving import wait_until_forwarded
from hurnet_stream.wiring.permissions import check_rights
from hurnet_stream.wiring.running import run_to_its_end, serve_pages

log = structlog.get_logger()

DEADLINE_S: Final = 5.0
"""The longest that one transaction of texts may take."""
TIMEOUT_S: Final = 10.0
"""After which the brokers abort what a gateway that is gone has left open: readers wait for that."""


def run_gateway(settings: Settings) -> int:
    """Serve until it is told to stop; returns the exit code."""
    return run_to_its_end("gateway", settings, GatewayMetrics(), partial(_serve, settings))


def _serve(settings: Settings, stack: ExitStack, metrics: GatewayMetrics) -> None:
    _check_openness(settings.gateway)
    _check_rights(settings)
    _wait_until_forwarded(settings)
    listening = stack.enter_context(bound(settings.gateway.host, settings.gateway.port))
    replies = settings.gateway.replies or settings.kafka.answers
    courier = KafkaCourier(settings.kafka, replies)
    switchboard = Switchboard(courier, settings.kafka, replies)
    readings, writes = _readings(settings), _writes(settings, metrics, stack)
    gateway = Gateway(settings, switchboard, metrics, readings, writes)
    stack.callback(gateway.close)
    health = Health(gateway)
    stack.enter_context(closing(Watchdog(lambda: health.turns, settings.lifecycle)))
    serve_pages(health, metrics, settings, stack)
    serve(make_app(gateway), listening, health)


def _readings(settings: Settings) -> SystemReadings:
    """Raises `ConfigurationError` if an address of a worker's metrics is none."""
    try:
        pages = [base_address(each.strip()) for each in settings.gateway.workers.split(",") if each.strip()]
    except click.BadParameter as error:
        raise ConfigurationError(f"HURNET_GATEWAY_WORKERS: {error.message}") from None
    return SystemReadings(settings, pages)


def _writes(settings: Settings, metrics: GatewayMetrics, stack: ExitStack) -> Writes:
    """What it writes with."""
    kafka = settings.kafka
    connection = replace(connect(settings.redis), on_call=metrics.store_called)
    stack.callback(connection.close)
    sink = KafkaAtomicSink(kafka, f"{settings.redis.prefix}-gateway", DEADLINE_S, TIMEOUT_S)
    group = GroupCommit(sink)
    claims = RedisRequestClaims(connection, settings.gateway.idempotency)
    return Writes(
        group,
        sink,
        Once(claims, sink, group),
        Effects(partial(KafkaListener, kafka, kafka.texts, [PARTITION])),
        lambda: RedisEntryStore(serving_of(connection, kafka.texts)),
    )


def _check_rights(settings: Settings) -> None:
    """Raises `ConfigurationError` that names the rights that it lacks. A Kafka that is away may come back:
    until then the gateway says so to everybody."""
    try:
        check_rights("gateway", settings, settings.kafka)
    except TransientError as error:
        log.warning("can't check our rights", error=str(error))


def _wait_until_forwarded(settings: Settings) -> None:
    """A Kafka that is away has nothing that would have to be waited for: nothing can be written either."""
    try:
        wait_until_forwarded(settings.kafka, settings.redis.prefix)
    except TransientError as error:
        log.warning("what was written to the old topic of texts may not be in ours yet", error=str(error))


def _check_openness(chosen: GatewaySettings) -> None:
    """Without keys whoever reaches the port may do everything. Raises `ConfigurationError` if that may be
    somebody on another machine."""
    if chosen.keys is not None:
        return
    if not is_loopback(chosen.host) and not chosen.open:
        raise ConfigurationError(
            f"HURNET_GATEWAY_HOST is {chosen.host}, which other machines reach: that needs a file of keys"
            " (HURNET_GATEWAY_KEYS), whose tables `hurnet keys new` makes"
        )
    log.warning(
        "no keys are needed (HURNET_GATEWAY_KEYS is not set): whoever reaches this port may ask, teach and"
        " forget"
    )

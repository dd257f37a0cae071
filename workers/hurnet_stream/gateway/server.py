"""uvicorn in this process: its socket, its end, its health."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from types import FrameType
from typing import Any, Final

import structlog
import uvicorn
from starlette.applications import Starlette
from typing_extensions import override

from hurnet_stream.errors import ConfigurationError
from hurnet_stream.gateway.connections import HEAD_S, SWEEP_S, Connections
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.guards import Guarded
from hurnet_stream.settings.addresses import shown

log = structlog.get_logger()

BEAT_S: Final = 0.5
FILES: Final = 256
"""Open files beside the clients' connections: those to Kafka and the store, pipes, surplus connections."""


class Health:
    """Whether the event loop turns, for the probes and the watchdog."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._turned_at = time.monotonic()
        self.turns = 0

    @property
    def started(self) -> bool:
        return self.turns > 0

    def seconds_since_turn(self) -> float:
        return time.monotonic() - self._turned_at

    def alive(self, stall_s: float) -> bool:
        return self.seconds_since_turn() < stall_s

    def unready(self) -> list[str]:
        return self._gateway.unready()

    def standing(self) -> str:
        return "serving"

    async def beat(self) -> None:
        """Until it is cancelled."""
        while True:
            self.turns += 1
            self._turned_at = time.monotonic()
            self._gateway.metrics.turns.inc()
            self._gateway.metrics.keys_in_force.set(self._gateway.keys.trouble is None)
            await asyncio.sleep(BEAT_S)


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises `ConfigurationError`."""
    bare = host.removeprefix("[").removesuffix("]")
    try:
        info = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(info[4][:2], family=info[0], backlog=2_048, reuse_port=False)
    except OSError as error:
        raise ConfigurationError(
            f"can't listen at {shown(host, port)} (HURNET_GATEWAY_HOST, _PORT): {error.strerror}"
        ) from error


class _Server(uvicorn.Server):
    """Ends at a signal as our workers do: with the exit code that we choose. uvicorn's own raises the signal
    again when everything has ended."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway

    @contextlib.contextmanager
    @override
    def capture_signals(self) -> Iterator[None]:
        before = {each: signal.signal(each, self._end) for each in (signal.SIGINT, signal.SIGTERM)}
        yield
        for each, handler in before.items():
            signal.signal(each, handler)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self.handle_exit(number, frame)

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._gateway.ending.set()  # not ready any more, and streams of events end
        await super().shutdown(sockets)


def serve(app: Guarded, listening: socket.socket, health: Health) -> None:
    """Serve until SIGTERM or SIGINT, then let requests end."""
    gateway, chosen = app.gateway, app.gateway.settings
    connections = Connections(chosen.gateway.clients, gateway.metrics)
    _allow_files(chosen.gateway.clients + FILES)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(health.beat()), asyncio.create_task(_sweep(connections))]
        yield
        for task in tasks:
            task.cancel()

    app.app.router.lifespan_context = lifespan
    protocol: Any = connections.protocol
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=round(2 * HEAD_S),  # `connections` is quicker
        timeout_graceful_shutdown=max(1, round(chosen.lifecycle.drain)),
    )
    log.info("serving HTTP", address=f"http://{shown(*listening.getsockname()[:2])}")
    _Server(config, gateway).run(sockets=[listening])


def _allow_files(most: int) -> None:
    """Raise the limit of open files, which is often 1,024, as far as we may: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
    if soft not in (resource.RLIM_INFINITY, wanted) and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < most:
        log.warning(
            "fewer files may be open than HURNET_GATEWAY_CLIENTS needs: raise the limit (ulimit -n)",
            limit=wanted,
            needed=most,
        )


async def _sweep(connections: Connections) -> None:
    while True:
        connections.sweep()
        await asyncio.sleep(SWEEP_S)

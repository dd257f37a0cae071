"""uvicorn in this process: its socket, its end, its health."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from types import FrameType
from typing import Final

import structlog
import uvicorn
from starlette.applications import Starlette
from typing_extensions import override

from hurnet_stream.errors import ConfigurationError
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.settings.addresses import shown
from hurnet_stream.settings.settings import Settings

log = structlog.get_logger()

BEAT_S: Final = 0.5


class Health:
    """Whether the event loop turns, for the probes and the watchdog."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._turned_at = time.monotonic()
        self.turns = 0
        self.ending = False

    @property
    def started(self) -> bool:
        return self.turns > 0

    def seconds_since_turn(self) -> float:
        return time.monotonic() - self._turned_at

    def alive(self, stall_s: float) -> bool:
        return self.seconds_since_turn() < stall_s

    def unready(self) -> list[str]:
        return ["stopping"] if self.ending else self._gateway.unready()

    def standing(self) -> str:
        return "serving"

    async def beat(self) -> None:
        """Until it is cancelled."""
        while True:
            self.turns += 1
            self._turned_at = time.monotonic()
            self._gateway.metrics.turns.inc()
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


def serve(app: Starlette, listening: socket.socket, settings: Settings, health: Health) -> None:
    """Serve until SIGTERM or SIGINT, then let requests end."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        beating = asyncio.create_task(health.beat())
        yield
        beating.cancel()

    app.router.lifespan_context = lifespan
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=settings.gateway.clients,
        timeout_graceful_shutdown=max(1, round(settings.lifecycle.drain)),
    )
    log.info("serving HTTP", address=f"http://{shown(*listening.getsockname()[:2])}")
    _Server(config, health).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Ends at a signal as our workers do: with the exit code that we choose. uvicorn's own raises the signal
    again when everything has ended."""

    def __init__(self, config: uvicorn.Config, health: Health) -> None:
        super().__init__(config)
        self._health = health

    @contextlib.contextmanager
    @override
    def capture_signals(self) -> Iterator[None]:
        before = {each: signal.signal(each, self._end) for each in (signal.SIGINT, signal.SIGTERM)}
        yield
        for each, handler in before.items():
            signal.signal(each, handler)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._health.ending = True
        self.handle_exit(number, frame)

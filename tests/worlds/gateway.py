"""A gateway without servers: a courier that answers by itself, and a client that calls the application."""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import httpx

from hurnet_schemas import Answer, Query, Receipt
from hurnet_stream.client.effects import Effects
from hurnet_stream.client.switchboard import Switchboard
from hurnet_stream.feedback.lessons import PARTITION
from hurnet_stream.gateway.app import make_app
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.group_commit import GroupCommit
from hurnet_stream.gateway.guards import Guarded
from hurnet_stream.gateway.idempotency import Once
from hurnet_stream.gateway.writes import Writes
from hurnet_stream.metrics.gateway import GatewayMetrics
from hurnet_stream.ports import CORRELATION_ID, Acknowledged, News, Outgoing, Replied
from hurnet_stream.settings.privacy import PrivacySettings
from hurnet_stream.settings.settings import GatewaySettings, Settings
from tests.memory.atomic_sink import MemoryAtomicSink
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.kafka import MemoryKafka
from tests.memory.listener import MemoryListener
from tests.memory.readings import MemoryReadings
from tests.memory.redis import MemoryRedis
from tests.memory.request_claims import MemoryRequestClaims

T = TypeVar("T")
BASE = "http://127.0.0.1:8080"


class AnsweringCourier:
    """Acknowledges every message, and answers each query by `answer`, or not if that gives None."""

    def __init__(self) -> None:
        self.posted: list[Outgoing] = []
        self.news: queue.Queue[News] = queue.Queue()
        self.answer: Callable[[Query], Answer | None] = answered
        self.away: str | None = None

    def post(self, ticket: str, message: Outgoing) -> None:
        self.posted.append(message)
        offset = len(self.posted) - 1
        self.news.put(Acknowledged(ticket, message.partition or 0, offset, time.monotonic()))
        headers = dict(message.headers)
        if CORRELATION_ID in headers and (answer := self.answer(Query.decode(message.value))):
            correlation = (headers[CORRELATION_ID] or b"").decode()
            self.news.put(Replied(correlation, answer.encode(), time.monotonic(), f"answers/0/{offset}"))

    def receive(self, timeout_s: float) -> Sequence[News]:
        news: list[News] = []
        try:
            news.append(self.news.get(timeout=min(timeout_s, 0.02)))
            while True:
                news.append(self.news.get_nowait())
        except queue.Empty:
            return news

    def partitions(self, topic: str) -> int:
        return 1

    def trouble(self) -> str | None:
        return self.away

    def close(self) -> None:
        """Nothing to free."""


def answered(query: Query) -> Answer:
    """What a responder could say to a query: its own text, backwards."""
    receipt = Receipt(
        query="queries/0/0",
        context=query.context,
        rows=1,
        embedder="hash512",
        fingerprint="f",
        watermarks={0: 41},
        threshold=0.35,
        seconds=0.001,
    )
    return Answer(
        id=query.id or "queries/0/0",
        outcome="answered",
        answer=query.text[::-1].strip() or "-",
        receipt=receipt,
    )


class GatewayWorld:
    """A gateway with these settings of its section, and its application."""

    def __init__(
        self, courier: AnsweringCourier | None = None, privacy: PrivacySettings | None = None, **chosen: Any
    ) -> None:
        self.courier = courier or AnsweringCourier()
        self.settings = Settings(gateway=GatewaySettings(**chosen), privacy=privacy or PrivacySettings())
        self.metrics = GatewayMetrics()
        switchboard = Switchboard(self.courier, self.settings.kafka)
        self.readings = MemoryReadings()
        self.kafka = MemoryKafka()
        self.redis = MemoryRedis()
        for topic in (self.settings.kafka.texts, self.settings.kafka.feedback):
            self.kafka.create(topic, partitions=2)
        self.gateway = Gateway(self.settings, switchboard, self.metrics, self.readings, self.writes())
        self.app: Guarded = make_app(self.gateway)

    def writes(self) -> Writes:
        """What a gateway writes with, in memory."""
        sink, texts = MemoryAtomicSink(self.kafka), self.settings.kafka.texts
        group = GroupCommit(sink)
        return Writes(
            group,
            sink,
            Once(MemoryRequestClaims(self.redis), sink, group),
            Effects(partial(MemoryListener, self.kafka, texts, [PARTITION])),
            partial(MemoryEntryStore, self.redis),
        )

    def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        """One request and its response."""

        async def once(client: httpx.AsyncClient) -> httpx.Response:
            return await client.request(method, path, **request)

        return self.with_client(once)

    def with_client(self, work: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
        """What `work` does with a client."""

        async def run() -> T:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
                return await work(client)

        return asyncio.run(run())

    def refused(self, why: str) -> float:
        """How many requests were refused so."""
        value = self.metrics.registry.get_sample_value("hurnet_http_refused_total", {"why": why})
        assert value is not None
        return value

    def close(self) -> None:
        self.gateway.close()


def scope_of(method: str, path: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    """A request as ASGI has it, for tests that play the server themselves."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:8080"), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8080),
    }

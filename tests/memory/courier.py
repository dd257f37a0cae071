"""The in-memory twin of `KafkaCourier`, on a clock that its own waiting moves."""

from __future__ import annotations

from collections.abc import Sequence

from hurnet_stream.errors import HurnetError
from hurnet_stream.ports import Acknowledged, News, Outgoing, Replied, Undelivered
from tests.memory.kafka import MemoryKafka


class Clock:
    """Seconds that pass only when they are told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class MemoryCourier:
    """Fills `hurnet_stream.ports.Courier`. What is posted to the partitions of `texts` in `broken` is never
    heard of again."""

    def __init__(self, kafka: MemoryKafka, replies: str, clock: Clock) -> None:
        self._kafka = kafka
        self._replies = replies
        self._clock = clock
        self._news: list[News] = []
        self._counted: dict[str, int] = {}
        self._read = 0 if kafka.away else len(kafka.records(replies))
        self.broken: set[int] = set()
        self.stands_still_s = 0.0
        """How much longer than asked for the next wait takes."""

    def post(self, ticket: str, message: Outgoing) -> None:
        if message.topic == "texts" and message.partition in self.broken:
            return
        try:
            self._kafka.check_reachable()
            ((partition, offset),) = self._kafka.append([message])
        except HurnetError as error:
            self._news.append(Undelivered(ticket, str(error), self._clock()))
        else:
            self._news.append(Acknowledged(ticket, partition, offset, self._clock()))

    def receive(self, timeout_s: float) -> Sequence[News]:
        replies = self._kafka.records(self._replies)
        for record in replies[self._read :]:
            correlation = (record.header("correlation-id") or b"").decode()
            self._news.append(Replied(correlation, record.value, self._clock(), record.coordinates))
        self._read = len(replies)
        news, self._news = self._news, []
        self._clock.now += self.stands_still_s + (0.0 if news else timeout_s)
        self.stands_still_s = 0.0
        return news

    def partitions(self, topic: str) -> int:
        if not self._kafka.away:
            self._counted[topic] = len(self._kafka.topics.get(topic, ()))
        return self._counted.get(topic, 0)

    def trouble(self) -> str | None:
        return "no broker" if self._kafka.away else None

    def close(self) -> None:
        """Nothing to free."""

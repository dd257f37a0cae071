"""Load on a schedule that waits for nobody, and the time each reply took."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, Self

from kafka import KafkaProducer

from hurnet_stream.adapters.kafka.client.connection import connect
from hurnet_stream.adapters.kafka.reading.apart import reader
from hurnet_stream.ports import CORRELATION_ID
from hurnet_stream.settings.settings import KafkaSettings

PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Ask:
    """A value to be sent to a topic, `due` seconds after the start."""

    due: float
    topic: str
    value: bytes


def evenly(topics: Sequence[str], values: Sequence[bytes], rate: int, seconds: float) -> list[Ask]:
    """`rate` a second to each topic, evenly spread."""
    all_rates = rate * len(topics)
    asked = islice(zip(cycle(topics), cycle(values), strict=False), int(all_rates * seconds))
    return [Ask(i / all_rates, topic, value) for i, (topic, value) in enumerate(asked)]


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, and the seconds from when its question was due (not from when it was sent, so that a
    stall that holds up the sender counts in full)."""

    topic: str
    value: bytes
    seconds: float


class Asker:
    """One producer, and one reader of committed records of the topic that all replies go to."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._reader = reader(settings, settings.answers, from_end=True)
        self._producer: Any = connect(KafkaProducer, settings, acks="all", linger_ms=0)
        self._asked = 0

    def send(self, topic: str, value: bytes, partition: int | None = None) -> tuple[str, Any]:
        """Returns at once, with the correlation id and the future of the acknowledgement."""
        self._asked += 1
        correlation = str(self._asked)
        headers = [(CORRELATION_ID, correlation.encode())]
        return correlation, self._producer.send(topic, value, headers=headers, partition=partition)

    def replies(self, timeout: float) -> Iterator[tuple[str, bytes, float]]:
        """(correlation id, value, when it was read), waiting at most `timeout` seconds for the first."""
        batches = self._reader.poll(timeout_ms=max(0, int(timeout * 1000)))
        now = time.perf_counter()
        for record in (record for batch in batches.values() for record in batch):
            yield dict(record.headers)[CORRELATION_ID].decode(), record.value, now

    def on_schedule(self, asks: Sequence[Ask]) -> list[Reply]:
        """All replies to `asks`, which are in the order in which they are due. Raises `TimeoutError`."""
        began = time.perf_counter()
        open_asks: dict[str, Ask] = {}
        done: list[Reply] = []
        sent = 0
        while len(done) < len(asks):
            now = time.perf_counter() - began
            while sent < len(asks) and asks[sent].due <= now:
                correlation, _ = self.send(asks[sent].topic, asks[sent].value)
                open_asks[correlation] = asks[sent]
                sent += 1
            for correlation, value, read in self.replies(asks[sent].due - now if sent < len(asks) else 0.25):
                if ask := open_asks.pop(correlation, None):
                    done.append(Reply(ask.topic, value, read - began - ask.due))
            if now > asks[-1].due + PATIENCE_S:
                raise TimeoutError(f"{len(asks) - len(done)} of {len(asks)} questions without a reply")
        return done

    def flat_out(
        self, topic: str, values: Sequence[bytes], outstanding: int, seconds: float
    ) -> tuple[float, list[Reply]]:
        """Replies a second with so many always under way, and the replies; a quarter more goes before to
        warm up. Times are from the actual sending."""
        began = time.perf_counter()
        warm, end = began + seconds / 4, began + seconds * 1.25
        sent_at: dict[str, float] = {}
        done: list[Reply] = []
        sent = 0
        while (now := time.perf_counter()) < end or sent_at:
            if now > end + PATIENCE_S:
                raise TimeoutError(f"{len(sent_at)} questions without a reply")
            while now < end and len(sent_at) < outstanding:
                correlation, _ = self.send(topic, values[sent % len(values)])
                sent_at[correlation] = time.perf_counter()
                sent += 1
            for correlation, value, read in self.replies(0.1):
                if (at := sent_at.pop(correlation, None)) and warm <= read < end:
                    done.append(Reply(topic, value, read - at))
        return len(done) / seconds, done

    def close(self) -> None:
        self._reader.close()
        self._producer.close(timeout=5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

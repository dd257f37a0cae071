"""Sends without waiting, and reads the topic of replies: two threads, and a queue on each side.

    post ─▶ outbox ─▶ sender: KafkaProducer ─▶ brokers        its callbacks ─▶ inbox ─▶ receive
                      reader: a consumer of the replies  ─────────────────────▶ inbox

Times are taken in these threads, when an acknowledgement or a reply arrives. If a message fails, a new
producer sends what follows, since an idempotent one may refuse everything after a failure; the old one still
finishes what it has under way to other partitions.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from kafka import TopicPartition
from kafka import errors as kafka_errors

from hurnet_stream.adapters.kafka.client.arguments import milliseconds
from hurnet_stream.adapters.kafka.client.errors import reason
from hurnet_stream.adapters.kafka.reading.apart import reader
from hurnet_stream.adapters.kafka.writing.producers import close, hand_over, idempotent
from hurnet_stream.adapters.kafka.writing.refusals import missing
from hurnet_stream.errors import HurnetError, Undeliverable
from hurnet_stream.ports import CORRELATION_ID, Acknowledged, News, Outgoing, Record, Replied, Undelivered
from hurnet_stream.settings.settings import KafkaSettings

_log = logging.getLogger(__name__)

WAITING_MOST: Final = 10_000
"""The most messages that wait to be sent, and the most news that wait to be heard."""
COUNT_S: Final = 10.0
"""How often the partitions of the topics are counted."""
LOOK_UP_S: Final = 1.0
"""How long a topic is looked up that is not known yet: everything else waits meanwhile."""
RETRY_S: Final = 1.0
POLL_S: Final = 0.2
"""How long the reader waits for records before it looks whether it is to end."""
END_S: Final = 3.0
"""How long closing waits for the threads."""


class KafkaCourier:
    """Fills `hurnet_stream.ports.Courier`. Making one connects to nothing yet, and never fails."""

    def __init__(self, settings: KafkaSettings, replies: str) -> None:
        self._settings = settings
        self._inbox: queue.Queue[News] = queue.Queue(WAITING_MOST)
        self._closing = threading.Event()
        self._sender = _Sender(settings, self._tell, self._closing)
        self._reader = _Reader(settings, replies, self._tell, self._closing)
        for thread in (self._sender, self._reader):
            thread.start()

    def post(self, ticket: str, message: Outgoing) -> None:
        try:
            self._sender.outbox.put_nowait((ticket, message))
        except queue.Full:
            self._tell(Undelivered(ticket, "too many messages wait to be sent", time.monotonic()))

    def receive(self, timeout_s: float) -> Sequence[News]:
        news: list[News] = []
        with contextlib.suppress(queue.Empty):
            news.append(self._inbox.get(timeout=max(0.0, timeout_s)))
            while True:
                news.append(self._inbox.get_nowait())
        return news

    def partitions(self, topic: str) -> int:
        return self._sender.counted.get(topic, 0)

    def trouble(self) -> str | None:
        return self._reader.trouble

    def close(self) -> None:
        """Waits for some seconds at most: the threads are daemons."""
        self._closing.set()
        with contextlib.suppress(queue.Full):
            self._sender.outbox.put_nowait(None)  # wakes it
        for thread in (self._sender, self._reader):
            thread.join(END_S)

    def _tell(self, news: News) -> None:
        with contextlib.suppress(queue.Full):  # nobody listens any more
            self._inbox.put_nowait(news)


class _Sender(threading.Thread):
    """Hands messages over to a producer, which sends them in a thread of its own."""

    def __init__(self, settings: KafkaSettings, tell: Any, closing: threading.Event) -> None:
        super().__init__(name="kafka-courier-sender", daemon=True)
        self.outbox: queue.Queue[tuple[str, Outgoing] | None] = queue.Queue(WAITING_MOST)
        self.counted: dict[str, int] = {}
        self._settings = settings
        self._timeout_s = max(1.0, settings.request_timeout)
        self._tell = tell
        self._closing = closing
        self._producer: Any = None
        self._failed = False
        self._counted_at = float("-inf")

    def run(self) -> None:
        while not self._closing.is_set():
            try:
                self._prepare()
                self._send_next()
            except Exception as error:  # whatever it is: the thread goes on, and tells those who wait
                _log.debug("can't send: %s", error)
                self._refuse_all(str(error) if isinstance(error, HurnetError) else reason(error))
        if self._producer is not None:
            close(self._producer, END_S)

    def _prepare(self) -> None:
        """A producer that has not failed. Raises if Kafka can't be reached, or lacks a topic."""
        if self._failed and self._producer is not None:
            self._replace()
        self._failed = False
        self._producer = self._producer or self._connected()
        self._count()

    def _connected(self) -> Any:
        return idempotent(self._settings, look_up_s=LOOK_UP_S, delivery_s=2 * self._timeout_s)

    def _count(self) -> None:
        """How many partitions the topics have, from the producer's metadata."""
        now = time.monotonic()
        if now - self._counted_at >= COUNT_S:
            for topic in (self._settings.texts, self._settings.queries):
                # One that is not there, or that this client may not see: it may still send to the other.
                with contextlib.suppress(
                    kafka_errors.KafkaTimeoutError, kafka_errors.TopicAuthorizationFailedError
                ):
                    self.counted[topic] = len(self._producer.partitions_for(topic) or ())
            self._counted_at = time.monotonic()

    def _send_next(self) -> None:
        try:
            posted = self.outbox.get(timeout=POLL_S)
        except queue.Empty:
            return
        if posted is None:  # it is to end
            return
        ticket, message = posted
        try:
            self._prepare()  # the producer may have failed while nothing was to be sent
        except Exception as error:
            self._refuse(ticket, reason(error))
            raise
        futures: list[Any] = []
        try:
            hand_over(self._producer, [message], futures)
        except Undeliverable as error:
            self._refuse(ticket, str(error))
        except kafka_errors.KafkaTimeoutError:  # of a topic that is not known: others go on
            self._refuse(ticket, str(missing({message.topic}, [message])))
        except kafka_errors.KafkaError as error:
            self._refuse(ticket, reason(error))
        for future in futures:
            future.add_callback(self._acknowledged, ticket)
            future.add_errback(self._undelivered, ticket, self._producer)

    def _acknowledged(self, ticket: str, metadata: Any) -> None:
        self._tell(Acknowledged(ticket, metadata.partition, metadata.offset, time.monotonic()))

    def _undelivered(self, ticket: str, producer: Any, error: Exception) -> None:
        self._failed |= producer is self._producer  # and not one that was replaced already
        self._refuse(ticket, reason(error))

    def _replace(self) -> None:
        old, self._producer = self._producer, None
        threading.Thread(
            target=close, args=(old, 2 * self._timeout_s), name="kafka-close", daemon=True
        ).start()

    def _refuse_all(self, why: str) -> None:
        """Kafka can't be reached: tell so of everything that waits, and try again after a pause."""
        self._counted_at = float("-inf")
        if self._producer is not None:
            self._replace()
        until = time.monotonic() + RETRY_S
        while not self._closing.is_set() and (left := until - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                if posted := self.outbox.get(timeout=left):
                    self._refuse(posted[0], why)

    def _refuse(self, ticket: str, why: str) -> None:
        self._tell(Undelivered(ticket, why, time.monotonic()))


class _Reader(threading.Thread):
    """Reads the replies from the moment it is first connected on. A new connection goes on where the last one
    was."""

    def __init__(self, settings: KafkaSettings, topic: str, tell: Any, closing: threading.Event) -> None:
        super().__init__(name="kafka-courier-reader", daemon=True)
        self.trouble: str | None = "not connected to Kafka yet"
        self._settings = settings
        self._topic = topic
        self._tell = tell
        self._closing = closing
        self._consumer: Any = None
        self._positions: dict[TopicPartition, int] = {}

    def run(self) -> None:
        while not self._closing.is_set():
            try:
                self._consumer = self._consumer or self._connected()
                self.trouble = None
                self._poll()
            except Exception as error:  # whatever it is: the thread goes on, and readiness says so
                self.trouble = f"reading {self._topic}: {error}"
                _log.debug("%s", self.trouble)
                self._close()
                self._closing.wait(RETRY_S)
        self._close()

    def _connected(self) -> Any:
        consumer = reader(self._settings, self._topic, from_end=True)
        for at, offset in self._positions.items():
            consumer.seek(at, offset)
        # Settles where the end is before anything is asked.
        self._positions = {at: consumer.position(at) for at in consumer.assignment()}
        return consumer

    def _poll(self) -> None:
        polled = self._consumer.poll(timeout_ms=milliseconds(POLL_S))
        at = time.monotonic()
        for partition, records in polled.items():
            self._positions[partition] = records[-1].offset + 1
            for record in records:
                self._tell(_reply(record, at))

    def _close(self) -> None:
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            with contextlib.suppress(kafka_errors.KafkaError):
                consumer.close()


def _reply(record: Record, at: float) -> Replied:
    correlation = (record.header(CORRELATION_ID) or b"").decode(errors="replace")
    return Replied(correlation, record.value, at, record.coordinates)

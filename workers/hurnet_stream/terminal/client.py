"""Asks over Kafka: sends queries to their topic, and recognises the replies by their correlation ids."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from hurnet_schemas import Answer, InvalidMessage, Query
from hurnet_stream.adapters.kafka.client.arguments import milliseconds
from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.adapters.kafka.reading.apart import reader
from hurnet_stream.adapters.kafka.writing.sink import KafkaSink
from hurnet_stream.errors import HurnetError, UpgradeNeeded
from hurnet_stream.ports import CORRELATION_ID, Outgoing, TraceContext, Tracer, Work, new_trace
from hurnet_stream.settings.settings import KafkaSettings


class NoReply(HurnetError):
    """Nobody answered in time."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a query, and when it was read (monotonic seconds)."""

    correlation: str
    answer: Answer
    received: float


class Client:
    """Asks, and reads the replies that are committed after this client was made.

    Each query has a trace of its own, which its receipt names. With a `tracer`, sending it is a span there.

    Raises `TransientError` if no broker answers, and `ConfigurationError` if a topic is missing.
    """

    def __init__(self, settings: KafkaSettings, tracer: Tracer | None = None) -> None:
        self._topic = settings.queries
        self._answers = settings.answers
        self._tracer = tracer
        self._asked: set[str] = set()
        self._consumer = reader(settings, settings.answers, from_end=True)
        try:
            self._sink = KafkaSink(settings)
        except HurnetError:
            self._consumer.close()
            raise

    def send(self, queries: Mapping[str, Query]) -> None:
        """Send queries by their correlation ids, which the caller chooses. Returns when Kafka has them."""
        self._asked |= queries.keys()
        with ExitStack() as sending:
            self._sink.send([self._message(*each, sending) for each in queries.items()])

    def _message(self, correlation: str, query: Query, sending: ExitStack) -> Outgoing:
        trace = sending.enter_context(sent(self._tracer, Work("send", self._topic))) or new_trace()
        headers = ((CORRELATION_ID, correlation.encode()), trace.header)
        return Outgoing(self._topic, query.encode(), headers=headers)

    def replies(self, timeout: float) -> Iterator[Reply]:
        """All replies that have come, those to other clients, too. Waits at most `timeout` seconds for the
        first.

        Records that are not answers are passed over, because others may write to this topic. Raises
        `UpgradeNeeded` if this hurnet is too old to read the answer to one of this client's queries.
        """
        with translated(f"reading {self._answers}"):
            batches = self._consumer.poll(timeout_ms=milliseconds(timeout))
        received = time.monotonic()
        for record in (record for batch in batches.values() for record in batch):
            correlation = (dict(record.headers).get(CORRELATION_ID) or b"").decode(errors="replace")
            answer = read_answer(record.value, correlation in self._asked)
            if answer is not None and correlation:
                self._asked.discard(correlation)
                yield Reply(correlation, answer, received)

    def ask(self, query: Query, timeout: float) -> Answer:
        """The answer to one query. Raises `NoReply` after `timeout` seconds."""
        correlation = uuid.uuid4().hex
        deadline = time.monotonic() + timeout
        self.send({correlation: query})
        while (left := deadline - time.monotonic()) > 0:
            for reply in self.replies(left):
                if reply.correlation == correlation:
                    return reply.answer
        raise NoReply(
            f"no reply within {timeout:g} s: does a responder run (`hurnet status`), and is it ready?"
            " The question stays in Kafka; a responder that reads it later answers that it has timed out"
        )

    def close(self) -> None:
        self._consumer.close()
        self._sink.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def sent(tracer: Tracer | None, work: Work) -> Iterator[TraceContext | None]:
    """A block that sends messages: gives the span that it is, for their headers; None if nothing records."""
    span = tracer.begin(work, time.monotonic()) if tracer else None
    try:
        yield span.context if span else None
    finally:
        if span:
            span.end(time.monotonic())


def read_answer(value: bytes | None, ours: bool) -> Answer | None:
    """The answer in a record, or None if there is none. `ours` says that it replies to a query of this
    client."""
    try:
        return Answer.decode(value)
    except InvalidMessage as error:
        if ours and error.reason == "unknown-version":
            raise UpgradeNeeded(
                f"the answer is from a newer hurnet, so upgrade this one ({error.detail})"
            ) from None
        return None


def end_offsets(settings: KafkaSettings, topic: str) -> dict[int, int]:
    """The next offset of each partition."""
    consumer = reader(settings, topic, from_end=True)
    try:
        return {each.partition: consumer.position(each) for each in consumer.assignment()}
    finally:
        consumer.close()

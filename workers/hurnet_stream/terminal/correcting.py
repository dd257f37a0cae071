"""What `hurnet correct` does: a verdict on what is answered now, sent, and followed until it has its effect.

ask      what is answered now?                                          queries, answers
send     the verdict, and the right answer                              feedback
follow   until the feedback worker has written what that teaches        texts
ask      what is answered now, with all of it taken in?                 queries, answers
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from hurnet_schemas import Answer, Feedback, Query
from hurnet_schemas.feedback import SOURCE
from hurnet_stream.adapters.kafka import KafkaSink
from hurnet_stream.adapters.kafka.client.arguments import milliseconds
from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.adapters.kafka.reading.apart import reader
from hurnet_stream.errors import HurnetError
from hurnet_stream.feedback.lessons import correction_key
from hurnet_stream.ports import Outgoing
from hurnet_stream.settings.settings import KafkaSettings
from hurnet_stream.terminal.client import Client, NoReply
from hurnet_stream.terminal.questions import query_of


class NotTaught(HurnetError):
    """No feedback worker has taken the feedback in time. It will be taught once one runs."""


@dataclass(frozen=True, slots=True)
class Corrected:
    """What became of feedback: its coordinates, the watermarks of `texts` that hold its effect, and what is
    answered with that effect, None if nobody replied in time."""

    feedback: Feedback
    source: str
    watermarks: dict[int, int]
    now: Answer | None


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks one question, as often as it takes."""

    client: Client
    question: str
    context: str
    timeout_s: float

    def ask(self, after: dict[int, int] | None = None) -> Answer:
        """The answer, with the texts up to these offsets taken in. Raises `NoReply`."""
        return self.client.ask(self._query(after or {}), self.timeout_s)

    def _query(self, after: dict[int, int]) -> Query:
        return query_of(self.question, self.context, 1, after, self.timeout_s)


def correct(kafka: KafkaSettings, feedback: Feedback, asker: Asker, wait_s: float) -> Corrected:
    """Send the feedback, wait for its effect for `wait_s` seconds, and ask again. Raises `NotTaught`."""
    source, watermarks = taught(kafka, feedback, wait_s)
    try:
        now = asker.ask(watermarks)
    except NoReply:
        return Corrected(feedback, source, watermarks, None)
    return Corrected(feedback, source, watermarks, now)


def taught(kafka: KafkaSettings, feedback: Feedback, wait_s: float) -> tuple[str, dict[int, int]]:
    """Send the feedback, and wait for its effect; returns its coordinates, and the watermarks of `texts` that
    hold what it teaches. Raises `NotTaught`."""
    with _texts(kafka) as texts:
        source = send(kafka, feedback)
        return source, _follow(texts, source, wait_s)


def send(kafka: KafkaSettings, feedback: Feedback) -> str:
    """Send feedback under the key of its question; returns its coordinates."""
    key = correction_key(feedback.context, feedback.question)
    with closing(KafkaSink(kafka)) as sink:
        ((partition, offset),) = sink.send([Outgoing(kafka.feedback, feedback.encode(), key)])
    return f"{kafka.feedback}/{partition}/{offset}"


@contextmanager
def _texts(kafka: KafkaSettings) -> Iterator[Any]:
    consumer = reader(kafka, kafka.texts, from_end=True)
    try:
        yield consumer
    finally:
        consumer.close()


def _follow(texts: Any, source: str, wait_s: float) -> dict[int, int]:
    """The offset by partition of the last record that this feedback has made."""
    deadline = time.monotonic() + wait_s
    while (left := deadline - time.monotonic()) > 0:
        with translated("reading what feedback has taught"):
            batches = texts.poll(timeout_ms=milliseconds(min(left, 0.5)))
        made = {
            record.partition: record.offset
            for records in batches.values()
            for record in records
            if (SOURCE, source.encode()) in [(name, value) for name, value in record.headers]
        }
        if made:  # all of it: records of one transaction become visible together
            return made
    raise NotTaught(
        f"{source} was not taught within {wait_s:g} s: does a feedback worker run (`hurnet status`)? The"
        " feedback stays in Kafka, and is taught once one does"
    )

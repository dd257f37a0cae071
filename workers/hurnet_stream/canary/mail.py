"""What the canary sends, and under which names.

All texts of one canary have one record key, so a tombstone of that key deletes everything that it ever sent
to a partition: also what an earlier run of it has left behind when it was killed. Texts and tombstones go to
the partition that is probed; questions go to each partition of queries in turn, so that every responder is
asked.

    ticket                what
    text/<id>             the text of a probe
    question/<id>         the question of a probe, or of a deletion
    tombstone/<id>        the deletion of all texts of a partition
"""

from __future__ import annotations

from typing import Final

from hurnet_schemas import Query, TextEvent
from hurnet_stream.ports import CORRELATION_ID, REPLY_TO, Courier, Headers, Outgoing, TraceContext
from hurnet_stream.records import CONTEXT
from hurnet_stream.settings.settings import CanarySettings, KafkaSettings

TEXT: Final = "text"
QUESTION: Final = "question"
TOMBSTONE: Final = "tombstone"
PARTITIONS_MOST: Final = 1_024
"""Partitions of texts that are probed: metrics name each of them."""


class Mail:
    """Posts messages by the courier."""

    def __init__(self, courier: Courier, kafka: KafkaSettings, settings: CanarySettings) -> None:
        self._courier = courier
        self._kafka = kafka
        self._context = settings.context
        self._key = f"hurnet-canary/{settings.instance}".encode()
        self._asked = 0

    def partitions(self) -> int:
        """How many partitions of texts there are to probe: one as long as Kafka was never met."""
        return min(PARTITIONS_MOST, max(1, self._courier.partitions(self._kafka.texts)))

    def text(self, name: str, partition: int, event: TextEvent, trace: TraceContext) -> None:
        """Send a text."""
        message = Outgoing(self._kafka.texts, event.encode(), self._key, (trace.header,), partition)
        self._courier.post(f"{TEXT}/{name}", message)

    def tombstone(self, name: str, partition: int) -> None:
        """Delete all texts that this canary has sent to a partition."""
        context = ((CONTEXT, self._context.encode()),)
        message = Outgoing(self._kafka.texts, None, self._key, context, partition)
        self._courier.post(f"{TOMBSTONE}/{name}", message)

    def question(self, name: str, query: Query, trace: TraceContext) -> None:
        """Ask, with the name as the correlation id."""
        headers: Headers = (
            (CORRELATION_ID, name.encode()),
            (REPLY_TO, self._kafka.canary_answers.encode()),
            trace.header,
        )
        there = self._courier.partitions(self._kafka.queries)
        # After each round the next one begins one further, or each partition of texts would always be asked
        # for through the same partition of queries.
        partition = (self._asked + self._asked // there) % there if there else None
        self._asked += 1
        message = Outgoing(self._kafka.queries, query.encode(), None, headers, partition)
        self._courier.post(f"{QUESTION}/{name}", message)

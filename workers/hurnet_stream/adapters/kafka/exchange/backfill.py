"""`Backfill` on Kafka: many texts a transaction, and beside them a note of how far the job has come.

The note is what the group of the job has committed, and that is part of the transaction. So texts and note
are there together or not at all, whatever is killed:

    run 1   transaction 1   texts 0 to 19,999      note "20,000 texts"     committed
            transaction 2   texts 20,000 to ...    killed before, in, or after its commit
    run 2   resume          takes over the job's transactional id: the coordinator aborts what is open, or
                            completes a commit that had arrived, and refuses run 1 if it still lives
            the note        says 20,000 or 40,000, and either is the truth

A job without a name keeps no note and makes no transactions: what it sends is readable at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, Final

from kafka import OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors

from hurnet_stream.adapters.kafka.admin.lookup import TopicLookup
from hurnet_stream.adapters.kafka.client import internals
from hurnet_stream.adapters.kafka.client.arguments import milliseconds
from hurnet_stream.adapters.kafka.client.errors import explained, translated
from hurnet_stream.adapters.kafka.exchange.producer import TransactionalProducer
from hurnet_stream.adapters.kafka.reading.consumer import make_consumer
from hurnet_stream.adapters.kafka.writing.packing import hand_over_texts
from hurnet_stream.adapters.kafka.writing.producers import abandon, close, idempotent
from hurnet_stream.adapters.kafka.writing.refusals import final
from hurnet_stream.errors import ConfigurationError, Superseded
from hurnet_stream.ports import Texts
from hurnet_stream.settings.settings import KafkaSettings

DEADLINE_S: Final = 60.0
"""For one block of texts to be written."""
TIMEOUT_S: Final = 90.0
"""After which the brokers abort a transaction that nobody ended. Until then readers wait before it."""
MakeNote = Callable[[Mapping[int, int]], str]
_REFUSES: Final = (
    "is it compacted, so that each needs a key (--key), or does it limit their size (max.message.bytes) or"
    " their time (message.timestamp.before.max.ms)?"
)
_FENCED: Final = (kafka_errors.ProducerFencedError, kafka_errors.InvalidProducerEpochError)


class KafkaBackfill:
    """Fills `hurnet_stream.ports.Backfill`, into the topic of texts. Making one connects to nothing yet."""

    def __init__(self, settings: KafkaSettings, job: str = "") -> None:
        self._settings = settings
        self._topic = settings.texts
        self._job = job
        self._producer: Any = None
        self._partitions: list[int] = []

    def resume(self) -> str:
        self._drop()
        with closing(TopicLookup(self._settings)) as lookup:
            lookup.require([self._topic])
        if not self._job:
            timeout_s = max(1.0, self._settings.request_timeout)
            self._producer = idempotent(self._settings, look_up_s=timeout_s, delivery_s=DEADLINE_S)
        else:
            self._producer = TransactionalProducer.take_over(self._settings, self._job, DEADLINE_S, TIMEOUT_S)
        with translated(f"looking up {self._topic}"):
            self._partitions = sorted(self._producer.partitions_for(self._topic))
        return self._note() if self._job else ""

    def write(self, texts: Texts, note: MakeNote) -> Mapping[int, int]:
        if self._producer is None:
            raise RuntimeError("write comes after resume, and after a failure as well")
        deadline = time.monotonic() + DEADLINE_S
        try:
            return self._transact(texts, note, deadline) if self._job else self._send(texts, deadline)
        except kafka_errors.KafkaError as error:
            cause = self._producer.cause(error) if self._job else error
            self._drop()
            if isinstance(cause, _FENCED):
                raise Superseded("another `hurnet produce` of the same files has taken over") from error
            if "TopicAuthorizationFailed" in str(cause):  # of the note: kafka-python knows no error for it
                refused = kafka_errors.TopicAuthorizationFailedError({self._topic})
                raise explained(refused, "reading is needed to note how far this has come") from error
            if final(cause):
                told = f"sending to {self._topic}: it refuses a text ({type(cause).__name__})"
                raise ConfigurationError(f"{told}: {_REFUSES}") from error
            raise explained(cause, f"sending to {self._topic}") from error
        except BaseException:
            self._drop()
            raise

    def close(self) -> None:
        if self._producer is not None:
            close(self._producer, DEADLINE_S)
            self._producer = None

    def _transact(self, texts: Texts, note: MakeNote, deadline: float) -> Mapping[int, int]:
        producer = self._producer
        producer.begin_transaction()
        ends = self._send(texts, deadline)
        kept = {TopicPartition(self._topic, self._partitions[0]): OffsetAndMetadata(0, note(ends), -1)}
        producer.commit_noted(kept, self._job, deadline)
        return ends

    def _send(self, texts: Texts, deadline: float) -> Mapping[int, int]:
        ends: dict[int, int] = {}
        for future in hand_over_texts(self._producer, self._topic, texts, self._partitions):
            written = future.get(timeout=max(0.0, deadline - time.monotonic()))
            ends[written.partition] = max(written.offset, ends.get(written.partition, -1))
        return ends

    def _note(self) -> str:
        at = TopicPartition(self._topic, self._partitions[0])
        timeout_ms = milliseconds(self._settings.request_timeout)
        with (
            translated("asking how far an earlier run has come"),
            closing(make_consumer(self._settings, group=self._job)) as consumer,
        ):
            committed = internals.committed_offsets(consumer, [at], timeout_ms)
        return (committed[at].metadata or "") if at in committed else ""

    def _drop(self) -> None:
        if self._producer is not None:
            abandon(self._producer)
            self._producer = None

"""The feedback worker: reads what people say of answers, and writes what that teaches to the topic of texts.

    Kafka `feedback` ─ poll ─▶ decode ─▶ lessons ─▶ Kafka `texts`, with the offsets, in one transaction
                                 └─ invalid ─▶ dead letters, in the same transaction

What is read and what is written become visible together or not at all, so each feedback is taught once, from
wherever a crash or a redelivery makes the worker read again. All else is done by those who read texts: ingest
deletes and appends, the solver unlearns and learns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from hurnet_schemas import Feedback, InvalidMessage
from hurnet_stream.dead_letters import dead_letter
from hurnet_stream.embedding import Rejection
from hurnet_stream.errors import ConfigurationError, Stalled, Undeliverable
from hurnet_stream.feedback.lessons import lesson
from hurnet_stream.feedback.verdicts import Verdicts
from hurnet_stream.metrics.feedback import FeedbackMetrics
from hurnet_stream.ports import Exchange, Outgoing, Record
from hurnet_stream.runtime.progress import Progress
from hurnet_stream.settings.settings import Settings

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Read:
    """A record, and the feedback in it, or why it is rejected."""

    record: Record
    meant: Feedback | Rejection


class FeedbackWorker:
    """The worker: `step` is one transaction at most."""

    name = "feedback"

    def __init__(self, exchange: Exchange, settings: Settings, metrics: FeedbackMetrics) -> None:
        self._exchange = exchange
        self._kafka = settings.kafka
        self._excerpts = settings.privacy.excerpts
        self._settings = settings.feedback
        self._metrics = metrics
        self._verdicts = Verdicts(metrics)
        self._progress = Progress(settings.metrics)
        self._most = settings.feedback.batch
        self._refused: dict[str, str] = {}  # why texts refused a record, by its coordinates: one a partition

    def step(self) -> None:
        """Poll once, and teach what came."""
        most, records = self._most, list[Record]()
        try:
            with self._metrics.stage("poll"):
                records += self._exchange.poll(self._settings.poll, most).records
            if records:
                self._metrics.records.labels(self._kafka.feedback).inc(len(records))
                self._teach([_Read(record, self._meant(record)) for record in records])
        finally:
            self._observe(records, full=len(records) >= most)

    def unready(self) -> list[str]:
        return self._progress.unready()

    def standing(self) -> str:
        return self._progress.standing()

    def drain(self) -> None:
        """Nothing is in hand between turns."""

    def close(self) -> None:
        self._exchange.close()

    def _meant(self, record: Record) -> Feedback | Rejection:
        if record.fault:
            return record.fault.reason, record.fault.detail
        if why := self._refused.get(record.coordinates):
            return "feedback-undeliverable", why
        try:
            return Feedback.decode(record.value)
        except InvalidMessage as error:
            return error.reason, error.detail

    def _teach(self, batch: Sequence[_Read]) -> None:
        """Deliver what the batch teaches, with its offsets. What is not delivered is polled again."""
        messages = [message for read in batch for message in self._messages(read)]
        next_offsets = {read.record.partition: read.record.offset + 1 for read in batch}
        try:
            with self._metrics.stage("deliver"):
                delivered = self._exchange.deliver(messages, next_offsets)
        except Undeliverable as error:
            self._undeliverable(error, batch)
            return
        except Stalled:
            self._count_roll_back()
            raise
        if not delivered:
            self._count_roll_back()
            log.warning("feedback was not delivered and will be read again", records=len(batch))
            return
        self._most = min(2 * self._most, self._settings.batch)
        for read in batch:
            self._count(read)

    def _messages(self, read: _Read) -> list[Outgoing]:
        record = read.record
        if isinstance(read.meant, Feedback):
            return lesson(read.meant, record.coordinates, self._kafka.texts)
        return [dead_letter(self._kafka.dead_letters, self.name, record, *read.meant, self._excerpts)]

    def _undeliverable(self, error: Undeliverable, batch: Sequence[_Read]) -> None:
        """Find the record that is refused, one by one, and put it aside. Raises `ConfigurationError` if that
        can't help."""
        self._count_roll_back()
        alone = batch[0] if len(batch) == 1 else None
        if error.topics or (alone and not isinstance(alone.meant, Feedback)):
            raise ConfigurationError(f"feedback can't be taught: {error}") from error
        if alone:
            self._refused[alone.record.coordinates] = str(error)
        log.warning("feedback was refused", reason=str(error), records=len(batch))
        self._most = 1

    def _count_roll_back(self) -> None:
        self._metrics.transactions_aborted.labels(self._exchange.rolled_back_by()).inc()

    def _count(self, read: _Read) -> None:
        """After the delivery, so that attempts that failed do not count."""
        self._refused.pop(read.record.coordinates, None)
        if isinstance(read.meant, Feedback):
            self._verdicts.count(read.meant)
        else:
            self._metrics.dead_letters.labels(read.meant[0]).inc()

    def _observe(self, records: Sequence[Record], full: bool) -> None:
        """`full`: there may have been no room for records of the other partitions."""
        assigned, held, lag = self._exchange.assignment(), self._exchange.held_back(), self._exchange.lag()
        self._metrics.show_reading(self._kafka.feedback, self._exchange, lag)
        self._progress.turn(
            has_share=self._exchange.has_share(), behind=sum(lag.values()), moved=len(records)
        )
        brought = assigned if full else frozenset(record.partition for record in records)
        self._progress.partitions(assigned, lag, held, brought)

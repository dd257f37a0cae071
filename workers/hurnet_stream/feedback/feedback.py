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
from hurnet_stream.metrics import Metrics
from hurnet_stream.ports import Exchange, Outgoing, Record
from hurnet_stream.runtime.progress import Progress
from hurnet_stream.settings.settings import Settings

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Handled:
    """A record, and the feedback in it; without that, why it is rejected."""

    record: Record
    feedback: Feedback | None
    rejection: Rejection | None


class FeedbackWorker:
    """The worker: `step` is one transaction at most."""

    name = "feedback"

    def __init__(self, exchange: Exchange, settings: Settings, metrics: Metrics) -> None:
        self._exchange = exchange
        self._kafka = settings.kafka
        self._settings = settings.feedback
        self._metrics = metrics
        self._verdicts = Verdicts(metrics)
        self._progress = Progress(settings.metrics)
        self._most = settings.feedback.batch
        self._refused: dict[str, str] = {}  # why texts refused a record, by its coordinates: one a partition

    def step(self) -> None:
        """Poll once, and teach what came."""
        polled = self._exchange.poll(self._settings.poll, self._most)
        if polled.records:
            self._metrics.records.labels(self._kafka.feedback).inc(len(polled.records))
            self._handle([self._decoded(record) for record in polled.records])
        self._observe(polled.records)

    def unready(self) -> list[str]:
        return self._progress.unready()

    def drain(self) -> None:
        """Nothing is in hand between turns."""

    def close(self) -> None:
        self._exchange.close()

    def _decoded(self, record: Record) -> _Handled:
        if record.fault:
            return _Handled(record, None, (record.fault.reason, record.fault.detail))
        if why := self._refused.get(record.coordinates):
            return _Handled(record, None, ("feedback-undeliverable", why))
        try:
            return _Handled(record, Feedback.decode(record.value), None)
        except InvalidMessage as error:
            return _Handled(record, None, (error.reason, error.detail))

    def _handle(self, batch: Sequence[_Handled]) -> None:
        """Deliver what the batch teaches, with its offsets. What is not delivered is polled again."""
        messages = [message for handled in batch for message in self._messages(handled)]
        next_offsets = {handled.record.partition: handled.record.offset + 1 for handled in batch}
        try:
            delivered = self._exchange.deliver(messages, next_offsets)
        except Undeliverable as error:
            self._undeliverable(error, batch)
            return
        except Stalled:
            self._metrics.transactions_aborted.inc()
            raise
        if not delivered:
            self._metrics.transactions_aborted.inc()
            log.warning("feedback was not delivered and will be read again", records=len(batch))
            return
        self._most = min(2 * self._most, self._settings.batch)
        for handled in batch:
            self._count(handled)

    def _messages(self, handled: _Handled) -> list[Outgoing]:
        record = handled.record
        if handled.feedback:
            return lesson(handled.feedback, record.coordinates, self._kafka.texts)
        reason, detail = handled.rejection or ("invalid-message", "")
        return [dead_letter(self._kafka.dead_letters, self.name, record, reason, detail)]

    def _undeliverable(self, error: Undeliverable, batch: Sequence[_Handled]) -> None:
        """Find the record that is refused, one by one, and put it aside. Raises `ConfigurationError` if that
        can't help."""
        self._metrics.transactions_aborted.inc()
        if error.topics or (len(batch) == 1 and batch[0].rejection):
            raise ConfigurationError(f"feedback can't be taught: {error}") from error
        if len(batch) == 1:
            self._refused[batch[0].record.coordinates] = str(error)
        log.warning("feedback was refused", reason=str(error), records=len(batch))
        self._most = 1

    def _count(self, handled: _Handled) -> None:
        """After the delivery, so that attempts that failed do not count."""
        self._refused.pop(handled.record.coordinates, None)
        if handled.feedback:
            self._verdicts.count(handled.feedback)
        elif handled.rejection:
            self._metrics.dead_letters.labels(handled.rejection[0]).inc()

    def _observe(self, records: Sequence[Record]) -> None:
        assigned, held, lag = self._exchange.assignment(), self._exchange.held_back(), self._exchange.lag()
        self._metrics.set_by_partition(self._metrics.lag_records, lag)
        self._metrics.set_by_partition(self._metrics.held_records, held)
        self._progress.turn(assigned=bool(assigned), behind=sum(lag.values()), moved=len(records))
        # A batch that is full may have had no room for the other partitions.
        full = len(records) >= self._most
        brought = assigned if full else frozenset(record.partition for record in records)
        self._progress.partitions(assigned, lag, held, brought)

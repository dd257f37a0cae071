"""Consume, transform, produce: answers and the offsets of their queries become visible together."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping, Sequence

from kafka import errors as kafka_errors

from hurnet.adapters.kafka.admin.topics import Topics
from hurnet.adapters.kafka.client.connection import connect, explained, milliseconds, translated
from hurnet.adapters.kafka.exchange.answering import AnsweringSource
from hurnet.adapters.kafka.exchange.producer import TransactionalProducer
from hurnet.adapters.kafka.writing.refusals import missing
from hurnet.adapters.kafka.writing.sink import BATCHING, abandon, close
from hurnet.errors import ConfigurationError, HurnetError, Superseded, TransientError, Undeliverable
from hurnet.ports import Committed, Outgoing, Polled
from hurnet.settings.settings import KafkaSettings, ResponderSettings

_log = logging.getLogger(__name__)

# A broker also fences us for having paused longer than the transaction's time-out, and an instance that takes
# over fences us each time it begins: once may be innocence, twice within this is not.
_FENCED_TWICE_S = 60.0


class TransactionalExchange(AnsweringSource):
    """Fills `hurnet.ports.Exchange` by Kafka transactions: exactly once for readers of committed records.

    A transaction that fails or outlives `deadline` is abandoned with its producer: a new one under the same
    transactional id makes the broker abort (or complete) what the old one left, and reading goes on at the
    committed offsets. `deliver` therefore says False, rather than raising, when the brokers are away; the
    next poll tries to connect again, and raises `TransientError` until that works.
    """

    def __init__(self, settings: KafkaSettings, responder: ResponderSettings) -> None:
        self._settings = settings
        # "/" is in no instance's name, so that no two pairs of group and instance make one id
        self._transactional_id = f"{responder.group}/{responder.instance}"
        self._deadline = responder.transaction_deadline
        self._transaction_timeout = responder.transaction_timeout
        self._fenced_at = float("-inf")
        self._topics = Topics(settings)
        self._producer: TransactionalProducer | None = None
        self._begin()
        try:
            super().__init__(settings, settings.queries, responder.group, reset="earliest")
        except HurnetError:
            self._discard()
            raise

    @property
    def _connected(self) -> bool:
        return self._producer is not None

    def poll(self, timeout_s: float, max_records: int) -> Polled:
        if not self._connected:
            self._begin()
        return super().poll(timeout_s, max_records)

    def deliver(
        self,
        messages: Sequence[Outgoing],
        next_offsets: Mapping[int, int],
        notes: Mapping[int, str] | None = None,
    ) -> bool:
        group = self._consumer.group_metadata()
        # A member that lost its group has no generation, and a broker checks no commit without one.
        if self._producer is None or group.generation_id < 0 or not self._owned.issuperset(next_offsets):
            self.rewind()
            return False
        try:
            gone = {message.topic for message in messages if not self._topics.has(message.topic)}
        except TransientError:
            self.rewind()
            return False
        if gone:
            self.rewind()
            raise missing(gone, messages)
        try:
            offsets = self._offsets(next_offsets, notes)
            self._producer.transact(messages, offsets, group, self._deadline)
        except (kafka_errors.KafkaError, Undeliverable) as error:
            blamed = self._producer.blamed(messages, error)
            expected = {p: Committed(o, (notes or {}).get(p, "")) for p, o in next_offsets.items()}
            if self._recover(self._producer, error, expected):
                return True
            if blamed and self._connected:  # anew: the brokers are there
                raise blamed from error
            return False
        return True

    def close(self) -> None:
        if self._producer is not None:
            close(self._producer, self._deadline)
        self._topics.close()
        super().close()

    def _recover(
        self, producer: TransactionalProducer, error: Exception, expected: dict[int, Committed]
    ) -> bool:
        """Abandon the transaction; True if the broker turns out to have committed it all the same."""
        self._discard()
        self._topics.forget()
        problem = self._problem(producer.cause(error))
        try:
            self._begin()
            done = producer.commit_sent and self.progress(frozenset(expected)) == expected
        except TransientError:
            done = False
        if not done:
            self.rewind()
        if isinstance(problem, ConfigurationError):
            raise problem
        return done

    def _problem(self, cause: Exception) -> Exception:
        if isinstance(cause, kafka_errors.ProducerFencedError | kafka_errors.InvalidProducerEpochError):
            now = time.monotonic()
            if now - self._fenced_at < _FENCED_TWICE_S:
                raise Superseded(
                    f"another worker uses the transactional id {self._transactional_id}:"
                    " each running responder needs its own HURNET_RESPONDER_INSTANCE"
                ) from cause
            self._fenced_at = now
        if isinstance(
            cause, HurnetError | kafka_errors.TopicAuthorizationFailedError | kafka_errors.InvalidTopicError
        ):
            return cause  # of a message or a topic, and no matter of settings
        return explained(cause, "delivering")

    def _begin(self) -> None:
        try:
            self._producer = self._ready(self._transactional_id)
        except TransientError as error:
            if not isinstance(error.__cause__, kafka_errors.KafkaTimeoutError):
                raise
            self._producer = self._spare(error)

    def _spare(self, error: TransientError) -> TransactionalProducer:
        """One under an id that nobody has used. A transaction to a partition that lacks replicas can't be
        committed or aborted and keeps its id until they are back. Nothing is answered twice by that: offsets
        are committed by whoever owns the partition, and read only once no open transaction has any."""
        try:
            return self._ready(f"{self._transactional_id}-{secrets.token_hex(4)}")
        except HurnetError as other:
            _log.debug("no spare transactional id either: %s", other)
            raise error from other

    def _ready(self, transactional_id: str) -> TransactionalProducer:
        producer: TransactionalProducer = connect(
            TransactionalProducer,
            self._settings,
            transactional_id=transactional_id,
            transaction_timeout_ms=milliseconds(self._transaction_timeout),
            max_block_ms=milliseconds(self._deadline),
            delivery_timeout_ms=milliseconds(max(self._deadline, self._settings.request_timeout) + 1),
            metrics_enabled=False,
            **BATCHING,
        )
        try:
            with translated(f"taking over the transactional id {transactional_id}"):
                producer.init_transactions()
        except Exception:
            abandon(producer)
            raise
        return producer

    def _discard(self) -> None:
        if self._producer is not None:
            abandon(self._producer)
            self._producer = None

"""Answers and the offsets of their queries in one Kafka transaction: readers see both or neither.

What happens to a delivery when a broker goes away in the middle:

    deliver([answer 1, answer 2], {0: 42})
      transact                        the answers are written; the commit is sent; the broker is killed
      after `transaction_deadline`    KafkaTimeoutError: nobody knows whether the commit arrived
      abandon the producer            its thread ends by itself; the caller does not wait for it
      make a new one, same id         the coordinator first ends what the old one left: if its commit had
                                      arrived the commit is completed, and if not the transaction is aborted
      read the group's commits        partition 0 at 42: it was committed -> deliver returns True
                                      anything else: it was aborted       -> deliver returns False, and the
                                                                             same queries are polled again

If no new producer can be made, because all brokers are away, `deliver` returns False as well. The next poll
tries again, and raises `TransientError` until a broker is back. Either way each query is answered exactly
once, for readers of committed records.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from kafka import errors as kafka_errors

from hurnet_stream.adapters.kafka.admin.lookup import TopicLookup
from hurnet_stream.adapters.kafka.client.errors import explained
from hurnet_stream.adapters.kafka.exchange.answering import AnsweringSource, Member
from hurnet_stream.adapters.kafka.exchange.producer import TransactionalProducer
from hurnet_stream.adapters.kafka.writing.producers import abandon, close
from hurnet_stream.adapters.kafka.writing.refusals import missing
from hurnet_stream.errors import (
    ConfigurationError,
    HurnetError,
    Stalled,
    Superseded,
    TransientError,
    Undeliverable,
)
from hurnet_stream.ports import Committed, Outgoing, Polled, RollBack
from hurnet_stream.settings.settings import KafkaSettings

_log = logging.getLogger(__name__)

_FENCED_TWICE_S = 60.0
"""A broker fences us once if we paused for longer than the transaction's time-out, or if another instance of
our name begins. Being fenced twice within this time means that two instances of one name are running."""
_FENCED = (kafka_errors.ProducerFencedError, kafka_errors.InvalidProducerEpochError)


class TransactionalExchange(AnsweringSource):
    """Fills `hurnet_stream.ports.Exchange` by Kafka transactions."""

    def __init__(self, settings: KafkaSettings, topic: str, member: Member) -> None:
        self._settings = settings
        # "/" is in no instance's name, so that no two pairs of group and instance give one id.
        self._transactional_id = f"{member.group}/{member.instance}"
        self._deadline_s = member.transaction_deadline
        self._transaction_timeout_s = member.transaction_timeout
        self._fenced_at = float("-inf")
        self._topics = TopicLookup(settings)
        self._producer: TransactionalProducer | None = None
        self._written: Sequence[tuple[int, int]] = ()
        self._begin()
        try:
            super().__init__(settings, topic, member.group, reset="earliest")
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
        """See `Exchange.deliver`. True if all was committed; False if nothing was, and it may succeed the
        next time. Raises if it would fail again: `Undeliverable` for a message or topic, `Superseded` if
        another worker has our id, `ConfigurationError` for what a person must change."""
        producer, group = self._producer, self._consumer.group_metadata()
        self._written = ()
        if producer is None:
            return self._undone("broker")
        if not self._may_commit(group, next_offsets):
            return self._undone("partitions-lost")
        try:
            self._check_topics(messages)
        except Undeliverable:
            self._undone("refused")
            raise
        except TransientError:
            return self._undone("broker")
        try:
            commits = self._commits.entries(next_offsets, notes or {})
            self._written = producer.transact(messages, commits, group, self._deadline_s)
        except (kafka_errors.KafkaError, Undeliverable) as error:
            blamed = producer.blamed(messages, error)
            self._rolled_back_by = _why(blamed or producer.cause(error))
            expected = {p: Committed(o, (notes or {}).get(p, "")) for p, o in next_offsets.items()}
            if self._recover(producer, error, expected):
                return True
            # If we could make a new producer, the brokers are there, and the message or topic is to blame.
            if blamed and self._connected:
                raise blamed from error
            return False
        return True

    def written(self) -> Sequence[tuple[int, int]]:
        """See `ForwardingExchange.written`."""
        return self._written

    def close(self) -> None:
        if self._producer is not None:
            close(self._producer, self._deadline_s)
        self._topics.close()
        super().close()

    def _undone(self, why: RollBack) -> Literal[False]:
        """Nothing was sent: the same queries are read again."""
        self._rolled_back_by = why
        self.rewind()
        return False

    def _may_commit(self, group: Any, next_offsets: Mapping[int, int]) -> bool:
        # A member that lost its group has no generation (-1), and a broker accepts a commit without a
        # generation unchecked.
        return group.generation_id >= 0 and self.assignment().issuperset(next_offsets)

    def _check_topics(self, messages: Sequence[Outgoing]) -> None:
        """Raises `Undeliverable` if a topic is gone, which would make the transaction wait for its deadline.
        The answer comes from a cache of some seconds, so that a delivery hardly ever waits for it."""
        gone = {message.topic for message in messages if not self._topics.has(message.topic)}
        if gone:
            raise missing(gone, messages)

    def _recover(
        self, producer: TransactionalProducer, error: Exception, expected: dict[int, Committed]
    ) -> bool:
        """Abandon the transaction and its producer; True if the broker turns out to have committed it."""
        self._discard()
        self._topics.clear()  # the reason may be a topic that is gone, or has lost replicas
        problem = self._problem(producer.cause(error))
        try:
            self._begin()
            # If we sent no commit, equal offsets were committed by another worker.
            committed = producer.commit_sent and self.progress(frozenset(expected)) == expected
        except TransientError:
            committed = False
        if not committed:
            self.rewind()
        if isinstance(problem, ConfigurationError):  # only a person can solve that; all else is tried again
            raise problem
        return committed

    def _problem(self, cause: Exception) -> Exception:
        """`cause` as an error of ours. Raises `Superseded` if we were fenced for the second time."""
        if isinstance(cause, _FENCED):
            now = time.monotonic()
            if now - self._fenced_at < _FENCED_TWICE_S:
                raise Superseded(
                    f"another worker uses the transactional id {self._transactional_id}:"
                    " each running responder needs its own HURNET_RESPONDER_INSTANCE, each feedback worker"
                    " its own HURNET_FEEDBACK_INSTANCE, and each forwarder its own HURNET_RESHARD_INSTANCE"
                ) from cause
            self._fenced_at = now
        if isinstance(
            cause, HurnetError | kafka_errors.TopicAuthorizationFailedError | kafka_errors.InvalidTopicError
        ):
            return cause  # a message or a topic is to blame, and not a setting of ours
        return explained(cause, "delivering")

    def _begin(self) -> None:
        """Make a producer, which ends what an earlier one of our id has left."""
        try:
            self._producer = self._take_over(self._transactional_id)
        except TransientError as error:
            if not isinstance(error.__cause__, kafka_errors.KafkaTimeoutError):
                raise
            self._producer = self._spare(error)

    def _spare(self, error: TransientError) -> TransactionalProducer:
        """A producer under an id that nobody has used before; raises `error` if that fails too.

        A transaction to a partition that lacks replicas can be neither committed nor aborted, and keeps its
        id occupied until they are back. Another id can't cause double answers: only the owner of a partition
        commits its offsets, and they are read only once no open transaction holds any.
        """
        try:
            return self._take_over(f"{self._transactional_id}-{secrets.token_hex(4)}")
        except HurnetError as other:
            _log.debug("no spare transactional id either: %s", other)
            raise error from other

    def _take_over(self, transactional_id: str) -> TransactionalProducer:
        return TransactionalProducer.take_over(
            self._settings, transactional_id, self._deadline_s, self._transaction_timeout_s
        )

    def _discard(self) -> None:
        if self._producer is not None:
            abandon(self._producer)
            self._producer = None


def _why(cause: Exception) -> RollBack:
    """What a transaction failed of, in a word."""
    if isinstance(cause, Undeliverable):
        return "refused"
    if isinstance(cause, Stalled):
        return "stalled"
    if isinstance(cause, _FENCED):
        return "fenced"
    return "deadline" if isinstance(cause, kafka_errors.KafkaTimeoutError) else "broker"

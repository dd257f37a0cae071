"""A transactional producer whose every wait ends.

kafka-python waits for the transaction's coordinator without a limit, which is for ever if that broker was
killed. One transaction, with what is waited for:

    begin_transaction
    hand over the answers                  each has a future: acknowledged by all in-sync replicas
    send_offsets_to_transaction            the coordinator takes the queries' offsets   -> offsets_sent
    wait for the futures                   every answer is written, and still hidden
    begin_commit                           from here on the broker may have committed   -> commit_sent
    wait for the commit                    answers and offsets become visible together
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from hurnet_stream.adapters.kafka.client import internals
from hurnet_stream.adapters.kafka.client.arguments import milliseconds
from hurnet_stream.adapters.kafka.client.connection import connect
from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.adapters.kafka.writing.producers import BATCHING, abandon, hand_over
from hurnet_stream.adapters.kafka.writing.refusals import refusal, stall
from hurnet_stream.errors import Stalled, Undeliverable
from hurnet_stream.ports import Outgoing
from hurnet_stream.settings.settings import KafkaSettings


class TransactionalProducer(KafkaProducer):  # type: ignore[misc] # kafka-python ships no types
    """After any error of `transact` it is of no more use, and is to be abandoned, unless `undo` succeeds."""

    commit_sent = False
    _offsets_sent = False
    _futures: Sequence[Any] = ()

    @classmethod
    def take_over(
        cls, settings: KafkaSettings, transactional_id: str, deadline_s: float, timeout_s: float
    ) -> Self:
        """The producer of this id. It ends what an earlier one has left: a commit that had arrived is
        completed, anything else is aborted.

        No wait is longer than `deadline_s`; the brokers abort what is open for longer than `timeout_s`.
        """
        producer: Self = connect(
            cls,
            settings,
            transactional_id=transactional_id,
            transaction_timeout_ms=milliseconds(timeout_s),
            max_block_ms=milliseconds(deadline_s),
            # kafka-python wants it to be more than the request's time-out.
            delivery_timeout_ms=milliseconds(max(deadline_s, settings.request_timeout) + 1),
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

    def transact(
        self, messages: Sequence[Outgoing], offsets: Mapping[Any, Any], group: Any, timeout_s: float
    ) -> Sequence[tuple[int, int]]:
        """Send `messages` and commit `offsets` of `group` in one transaction, or raise within `timeout_s`.
        Returns the (partition, offset) of each message."""
        deadline = time.monotonic() + timeout_s
        self.commit_sent = self._offsets_sent = False
        futures = self._futures = list[Any]()
        self.begin_transaction()
        hand_over(self, messages, futures)
        if offsets:
            self._wait(self._transaction_manager.send_offsets_to_transaction(offsets, group), deadline)
        self._offsets_sent = True
        written = [future.get(timeout=max(0.0, deadline - time.monotonic())) for future in futures]
        self.commit_sent = True
        self._wait(self._transaction_manager.begin_commit(), deadline)
        return [(metadata.partition, metadata.offset) for metadata in written]

    def commit_noted(self, offsets: Mapping[Any, Any], group: str, deadline: float) -> None:
        """Commit what was handed over since `begin_transaction`, with these offsets of a group that has no
        members, by `deadline` of the monotonic clock."""
        self._wait(self._transaction_manager.send_offsets_to_transaction(offsets, group), deadline)
        self._wait(self._transaction_manager.begin_commit(), deadline)

    def undo(self, timeout_s: float) -> bool:
        """Abort what is open. True if that is certain, and the producer can be used again."""
        if self.commit_sent:
            return False
        deadline = time.monotonic() + timeout_s
        with suppress(kafka_errors.KafkaError):
            self._wait(self._transaction_manager.begin_abort(), deadline)
            if self._out_of_step():
                self._wait(internals.next_epoch(self), deadline)
            return True
        return False

    def cause(self, error: Exception) -> Exception:
        """What first went wrong. Later errors, such as `error`, only say that something did."""
        return self._transaction_manager.last_error or error

    def blamed(self, messages: Sequence[Outgoing], error: Exception) -> Undeliverable | Stalled | None:
        """Which message or topic made `transact` raise `error`; None if none of them did."""
        if isinstance(error, Undeliverable):
            return error
        refused = refusal(messages, self._futures, self.cause(error))
        handed_over = len(self._futures) == len(messages)
        if refused or (handed_over and not self._offsets_sent):
            return refused  # or nobody: it was the coordinator that did not answer
        return stall(messages, self._futures, error)

    def _out_of_step(self) -> bool:
        """Whether anything that was sent was not taken. kafka-python has numbered that as well, but brokers
        have not counted it, and would refuse all that follows as out of order."""
        return not all(
            future.succeeded() or isinstance(future.exception, kafka_errors.TransactionAbortedError)
            for future in self._futures
        )

    def _wait(self, result: Any, deadline: float) -> None:
        self._sender.wakeup()  # its thread sleeps until a message comes, and this is none
        if not result.wait(timeout_ms=max(0.0, deadline - time.monotonic()) * 1000):
            raise kafka_errors.KafkaTimeoutError("the transaction outlived its deadline")

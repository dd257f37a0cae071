"""A transactional producer whose every wait ends."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from hurnet.adapters.kafka.writing.refusals import refusal, stall
from hurnet.adapters.kafka.writing.sink import enqueue
from hurnet.errors import Stalled, Undeliverable
from hurnet.ports import Outgoing


class TransactionalProducer(KafkaProducer):  # type: ignore[misc] # kafka-python ships no types
    """kafka-python waits for the coordinators without a limit, which with a killed broker may be for ever;
    here every wait ends."""

    commit_sent = False
    _futures: Sequence[Any] = ()
    _offsets_sent = False

    def transact(
        self, messages: Sequence[Outgoing], offsets: Mapping[Any, Any], group: Any, seconds: float
    ) -> None:
        """One transaction within `seconds`. After any error this producer is of no more use."""
        deadline = time.monotonic() + seconds
        self.commit_sent = self._offsets_sent = False
        futures = self._futures = list[Any]()
        self.begin_transaction()
        enqueue(self, messages, futures)
        if offsets:
            self._wait(self._transaction_manager.send_offsets_to_transaction(offsets, group), deadline)
        self._offsets_sent = True
        for future in futures:
            future.get(timeout=max(0.0, deadline - time.monotonic()))
        self.commit_sent = True
        self._wait(self._transaction_manager.begin_commit(), deadline)

    def cause(self, error: Exception) -> Exception:
        """What first went wrong: later errors only say that something did."""
        return self._transaction_manager.last_error or error

    def blamed(self, messages: Sequence[Outgoing], error: Exception) -> Undeliverable | Stalled | None:
        """Which message or topic made `transact` raise `error`, if it was one."""
        if isinstance(error, Undeliverable):
            return error
        refused = refusal(messages, self._futures, self.cause(error))
        enqueued = len(self._futures) == len(messages)
        if refused or (enqueued and not self._offsets_sent):  # then the coordinators did not answer
            return refused
        return stall(messages, self._futures, error)

    def _wait(self, result: Any, deadline: float) -> None:
        self._sender.wakeup()
        if not result.wait(timeout_ms=max(0.0, deadline - time.monotonic()) * 1000):
            raise kafka_errors.KafkaTimeoutError("the transaction outlived its deadline")

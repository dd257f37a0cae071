"""What those measure who write to Kafka in transactions: responders and feedback."""

from __future__ import annotations

from typing import get_args

from hurnet_stream.metrics.registry import Registry
from hurnet_stream.ports.exchange import RollBack


class TransactionMetrics(Registry):
    """Transactions that came to nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.transactions_aborted = self._counter(
            "transactions_aborted",
            "Deliveries of answers, or of what feedback teaches, that were rolled back and done again, by "
            "what they failed of: partitions-lost (other members have them), fenced (another producer took "
            "over the transactional id), deadline, refused (a message or its topic), stalled (some topics do "
            "not acknowledge), broker.",
            "reason",
        )
        self._from_zero(self.transactions_aborted, get_args(RollBack))

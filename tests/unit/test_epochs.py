"""Where a log was cut off, as brokers answer: what they don't say is not taken for good news."""

from __future__ import annotations

from types import SimpleNamespace as Fake
from typing import Any

import pytest
from kafka import errors as kafka_errors

from hurnet_stream.adapters.kafka.reading.epochs import cuts


class Consumer:
    """Answers with these end offsets, or errors, of the partitions that have a leader."""

    def __init__(self, answers: dict[int, tuple[int, int]]) -> None:
        self._answers = answers
        self._fetcher = Fake(_group_offset_for_leader_epoch_requests=self._group)
        self._net = Fake(run=self._run)
        self._cluster = Fake(request_update=lambda: None)
        self._manager = None

    def _group(self, positions: dict[Any, Any]) -> dict[int, dict[Any, Any]]:
        led = {at: position for at, position in positions.items() if at.partition in self._answers}
        return {1: led} if led else {}

    def _run(self, _ask: object, _manager: object, _node: int, _topic: str, mine: Any, _ms: int) -> Any:
        answered = [
            Fake(partition=at.partition, error_code=code, end_offset=end)
            for at in mine
            for code, end in [self._answers[at.partition]]
        ]
        return Fake(topics=[Fake(partitions=answered)])


def test_a_cut_is_where_the_epoch_that_was_read_ends() -> None:
    consumer = Consumer({0: (0, 10), 1: (0, 20), 2: (0, 25), 3: (0, -1)})
    read = {0: (20, 3), 1: (20, 3), 2: (20, 3), 3: (20, 3), 4: (20, -1)}  # of 4 no epoch is known
    assert cuts(consumer, "queries", read, 1_000) == {0: 10}
    assert cuts(consumer, "queries", {}, 1_000) == {}


def test_a_partition_without_a_leader_is_asked_again_and_not_called_whole() -> None:
    with pytest.raises(kafka_errors.LeaderNotAvailableError, match=r"\[1\]"):
        cuts(Consumer({0: (0, 20)}), "queries", {0: (20, 3), 1: (20, 3)}, 1_000)


def test_an_error_of_a_broker_is_not_an_answer() -> None:
    code = kafka_errors.NotLeaderForPartitionError.errno
    with pytest.raises(kafka_errors.NotLeaderForPartitionError):
        cuts(Consumer({0: (code, -1)}), "queries", {0: (20, 3)}, 1_000)

"""What both exchanges share: who exchanges, and the topics that answers may go to."""

from __future__ import annotations

from typing import Protocol

from hurnet_stream.adapters.kafka.admin.lookup import TopicLookup
from hurnet_stream.adapters.kafka.reading.source import KafkaSource
from hurnet_stream.ports import RollBack


class Member(Protocol):
    """One of a group of workers, as their settings describe it. Times are in seconds."""

    @property
    def group(self) -> str: ...

    @property
    def instance(self) -> str:
        """Its name. No other running worker of the group has it."""

    @property
    def transaction_deadline(self) -> float: ...

    @property
    def transaction_timeout(self) -> float: ...


class AnsweringSource(KafkaSource):
    """A source of queries, whose clients name the topics of their answers."""

    _topics: TopicLookup
    _rolled_back_by: RollBack = "broker"

    def rolled_back_by(self) -> RollBack:
        return self._rolled_back_by

    def has_topic(self, topic: str) -> bool:
        return self._topics.has(topic)

    def unwritable(self, topic: str) -> str | None:
        return self._topics.problem(topic)

"""What both exchanges know of the topics that answers may go to."""

from __future__ import annotations

from hurnet.adapters.kafka.admin.topics import Topics
from hurnet.adapters.kafka.reading.source import KafkaSource


class AnsweringSource(KafkaSource):
    """What both exchanges know of the topics that answers may go to."""

    _topics: Topics

    def has_topic(self, topic: str) -> bool:
        return self._topics.has(topic)

    def unwritable(self, topic: str) -> str | None:
        return self._topics.problem(topic)

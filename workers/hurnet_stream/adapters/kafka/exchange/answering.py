"""What both exchanges know of the topics that answers may go to."""

from __future__ import annotations

from hurnet_stream.adapters.kafka.admin.lookup import TopicLookup
from hurnet_stream.adapters.kafka.reading.source import KafkaSource


class AnsweringSource(KafkaSource):
    """A source of queries, whose clients name the topics of their answers."""

    _topics: TopicLookup

    def has_topic(self, topic: str) -> bool:
        return self._topics.has(topic)

    def unwritable(self, topic: str) -> str | None:
        return self._topics.problem(topic)

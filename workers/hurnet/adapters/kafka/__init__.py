"""Kafka: sources, sinks, exactly-once exchanges and topics, on kafka-python."""

from hurnet.adapters.kafka.exchange import AtLeastOnceExchange, TransactionalExchange
from hurnet.adapters.kafka.history import KafkaHistory
from hurnet.adapters.kafka.sink import KafkaSink
from hurnet.adapters.kafka.source import KafkaSource
from hurnet.adapters.kafka.topics import TopicFinding, differing, ensure_topics

__all__ = [
    "AtLeastOnceExchange",
    "KafkaHistory",
    "KafkaSink",
    "KafkaSource",
    "TopicFinding",
    "TransactionalExchange",
    "differing",
    "ensure_topics",
]

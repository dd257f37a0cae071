"""Kafka: sources, sinks, exactly-once exchanges and topics, on kafka-python."""

from workers.adapters.kafka.exchange import AtLeastOnceExchange, TransactionalExchange
from workers.adapters.kafka.history import KafkaHistory
from workers.adapters.kafka.sink import KafkaSink
from workers.adapters.kafka.source import KafkaSource
from workers.adapters.kafka.topics import TopicFinding, differing, ensure_topics

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

"""Kafka: sources, sinks, exactly-once exchanges and topics, on kafka-python."""

from hurnet.adapters.kafka.admin.topics import TopicFinding, differing, ensure_topics
from hurnet.adapters.kafka.exchange.at_least_once import AtLeastOnceExchange
from hurnet.adapters.kafka.exchange.transactional import TransactionalExchange
from hurnet.adapters.kafka.reading.history import KafkaHistory
from hurnet.adapters.kafka.reading.source import KafkaSource
from hurnet.adapters.kafka.writing.sink import KafkaSink

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

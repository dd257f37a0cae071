"""Kafka behind the ports, on kafka-python.

    client/      how a client is made, its one cluster, kafka-python's errors and private names
    unpacking/   from fetched bytes to records, without trust in who wrote them
    admin/       what brokers tell of topics and groups; the topics that we create
    reading/     KafkaSource (a group's member), KafkaHistory and KafkaListener (apart from any group)
    writing/     KafkaSink, and which message or topic a refusal is about
    exchange/    answers and the offsets of their queries together: with transactions, or at least once;
                 KafkaAtomicSink, messages together or not at all; KafkaBackfill, very many texts

A room may import those above it in this list (reading and writing don't know each other).
"""

from hurnet_stream.adapters.kafka.admin.check import TopicFinding, ensure_topics, topic_warnings
from hurnet_stream.adapters.kafka.admin.permitted import forbidden_operations
from hurnet_stream.adapters.kafka.exchange.at_least_once import AtLeastOnceExchange
from hurnet_stream.adapters.kafka.exchange.atomic import KafkaAtomicSink
from hurnet_stream.adapters.kafka.exchange.backfill import KafkaBackfill
from hurnet_stream.adapters.kafka.exchange.transactional import TransactionalExchange
from hurnet_stream.adapters.kafka.reading.history import KafkaHistory
from hurnet_stream.adapters.kafka.reading.listening import KafkaListener
from hurnet_stream.adapters.kafka.reading.source import KafkaSource
from hurnet_stream.adapters.kafka.writing.sink import KafkaSink

__all__ = [
    "AtLeastOnceExchange",
    "KafkaAtomicSink",
    "KafkaBackfill",
    "KafkaHistory",
    "KafkaListener",
    "KafkaSink",
    "KafkaSource",
    "TopicFinding",
    "TransactionalExchange",
    "ensure_topics",
    "forbidden_operations",
    "topic_warnings",
]

"""A topic beside another one, with the same settings and another number of partitions."""

from __future__ import annotations

from contextlib import closing, suppress
from typing import Any, Final

from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient

from hurnet_stream.adapters.kafka.admin.configs import created_with
from hurnet_stream.adapters.kafka.admin.describing import HIDDEN, describe_configs, describe_topics
from hurnet_stream.adapters.kafka.client.connection import connect
from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.settings.settings import KafkaSettings

TAKEN_OVER: Final = (
    "compression.type",
    "max.message.bytes",
    "message.timestamp.type",
    "message.timestamp.before.max.ms",
    "retention.bytes",
    "retention.ms",
    "segment.bytes",
    "segment.ms",
)
"""Settings of the old topic that the new one gets, beside those that each topic of texts is created with."""


def partitions_of_topic(settings: KafkaSettings, topic: str) -> int:
    """How many partitions a topic has; 0 if there is none. Raises `ConfigurationError` if we may not see
    it."""
    with closing(connect(KafkaAdminClient, settings)) as admin, translated(f"looking up {topic}"):
        described, hidden = describe_topics(admin, [topic])
    if topic in hidden:
        raise ConfigurationError(f"topic {topic}: {HIDDEN}")
    return len(described[topic]["partitions"]) if topic in described else 0


def create_beside(settings: KafkaSettings, topic: str, partitions: int) -> int:
    """Create `topic` after the topic of texts, if it is missing. Returns how many partitions it has."""
    with closing(connect(KafkaAdminClient, settings)) as admin, translated(f"creating {topic}"):
        described, hidden = describe_topics(admin, [topic, settings.texts])
        if topic in hidden or settings.texts not in described:
            raise ConfigurationError(f"topic {topic if topic in hidden else settings.texts}: {HIDDEN}")
        if topic in described:
            return len(described[topic]["partitions"])
        _create(admin, settings, topic, partitions, described[settings.texts])
    return partitions


def _create(admin: Any, settings: KafkaSettings, topic: str, partitions: int, old: Any) -> None:
    config = describe_configs(admin, [settings.texts])[settings.texts]
    taken_over = {name: config[name] for name in TAKEN_OVER if name in config}
    replicas = min((len(each["replica_nodes"]) for each in old["partitions"]), default=settings.replication)
    made: dict[str, Any] = {
        "num_partitions": partitions,
        "replication_factor": replicas,
        "configs": {**created_with(settings, settings.texts), **taken_over},
    }
    with suppress(kafka_errors.TopicAlreadyExistsError):  # someone else was quicker
        admin.create_topics({topic: made}, timeout_ms=30_000)
    admin.wait_for_topics([topic])

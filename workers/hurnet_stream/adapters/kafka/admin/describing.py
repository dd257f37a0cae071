"""Topics and their settings, as an admin client tells them."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from typing import Any, Final

from kafka import TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, OffsetSpec
from kafka.consumer.fetcher import IsolationLevel

from hurnet_stream.adapters.kafka.client.errors import ADVICE

ABSENT = "it does not exist"
HIDDEN = f"we have no right to see it, or it does not exist ({ADVICE})"
UNSEEN: Final[Mapping[type[Exception], str]] = {
    kafka_errors.InvalidTopicError: ABSENT,
    kafka_errors.TopicAuthorizationFailedError: HIDDEN,
    kafka_errors.UnknownTopicOrPartitionError: ABSENT,
}
"""What a broker says of a topic that does not exist, or that we may not see, in our words."""


def describe_topics(admin: Any, names: list[str]) -> tuple[dict[str, Any], set[str]]:
    """By name, the metadata of those topics that exist and that we may see; and the names of those that we
    may not see. All others do not exist."""
    described: dict[str, Any] = {}
    hidden: set[str] = set()
    for topic in admin.describe_topics(names):
        error = kafka_errors.for_code(topic["error_code"])
        if error is kafka_errors.NoError:
            described[topic["name"]] = topic
        elif error not in UNSEEN:
            raise error(topic["name"])
        elif UNSEEN[error] == HIDDEN:
            hidden.add(topic["name"])
    return described, hidden


def describe_configs(admin: Any, names: list[str]) -> dict[str, dict[str, str]]:
    """By name, the settings in force; empty for a topic whose settings we may not see."""
    if not names:
        return {}
    resources = [ConfigResource("topic", name) for name in names]
    topics = admin.describe_configs(resources, config_filter="all")["topic"]
    return {name: {key: str(entry["value"]) for key, entry in topics.get(name, {}).items()} for name in names}


def partitions_of(described: Any) -> list[TopicPartition]:
    """The partitions of a topic, by its metadata."""
    return [TopicPartition(described["name"], each["partition_index"]) for each in described["partitions"]]


def topic_id_of(described: Any) -> str:
    """The UUID of a topic in hex, by its metadata; "" if the brokers are too old to tell it."""
    topic_id = described.get("topic_id")
    return uuid.UUID(str(topic_id)).hex if topic_id else ""


def first_offsets(
    admin: Any, partitions: Collection[TopicPartition], timeout_ms: int
) -> dict[TopicPartition, int]:
    """The first offset that each partition holds."""
    return _offsets(admin, partitions, OffsetSpec.EARLIEST, IsolationLevel.READ_UNCOMMITTED, timeout_ms)


def readable_ends(
    admin: Any, partitions: Collection[TopicPartition], timeout_ms: int
) -> dict[TopicPartition, int]:
    """The end of what may be read of each partition: before the first transaction that is open."""
    return _offsets(admin, partitions, OffsetSpec.LATEST, IsolationLevel.READ_COMMITTED, timeout_ms)


def written_ends(
    admin: Any, partitions: Collection[TopicPartition], timeout_ms: int
) -> dict[TopicPartition, int]:
    """The end of what is written to each partition."""
    return _offsets(admin, partitions, OffsetSpec.LATEST, IsolationLevel.READ_UNCOMMITTED, timeout_ms)


def _offsets(
    admin: Any, partitions: Collection[TopicPartition], spec: Any, isolation: IsolationLevel, timeout_ms: int
) -> dict[TopicPartition, int]:
    if not partitions:
        return {}
    found = admin.list_partition_offsets(dict.fromkeys(partitions, spec), isolation, timeout_ms)
    return {at: each.offset for at, each in found.items()}

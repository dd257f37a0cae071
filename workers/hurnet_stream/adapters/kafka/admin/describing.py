"""Topics and their settings, as an admin client tells them."""

from __future__ import annotations

from typing import Any

from kafka import errors as kafka_errors
from kafka.admin import ConfigResource

UNSEEN = (
    kafka_errors.InvalidTopicError,
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.UnknownTopicOrPartitionError,
)
"""What a broker says of a topic that does not exist, or that we may not see."""


def describe_topics(admin: Any, names: list[str]) -> dict[str, Any]:
    """By name, the metadata of those topics that exist and that we may see."""
    described: dict[str, Any] = {}
    for topic in admin.describe_topics(names):
        error = kafka_errors.for_code(topic["error_code"])
        if error is kafka_errors.NoError:
            described[topic["name"]] = topic
        elif error not in UNSEEN:
            raise error(topic["name"])
    return described


def describe_configs(admin: Any, names: list[str]) -> dict[str, dict[str, str]]:
    """By name, the settings in force; empty for a topic whose settings we may not see."""
    if not names:
        return {}
    resources = [ConfigResource("topic", name) for name in names]
    topics = admin.describe_configs(resources, config_filter="all")["topic"]
    return {name: {key: str(entry["value"]) for key, entry in topics.get(name, {}).items()} for name in names}

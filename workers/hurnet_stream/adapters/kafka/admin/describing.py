"""Topics and their settings, as an admin client tells them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kafka import errors as kafka_errors
from kafka.admin import ConfigResource

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

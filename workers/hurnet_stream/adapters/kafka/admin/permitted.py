"""Which operations on topics a user lacks. Brokers tell with the description of a topic what the one who asks
may do with it (KIP-430), so that a missing right shows at the start, and not with the first record that needs
it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import closing

from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient

from hurnet_stream.adapters.kafka.client.connection import connect
from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.settings.settings import KafkaSettings


def forbidden_operations(
    settings: KafkaSettings, wanted: Mapping[str, Collection[str]]
) -> dict[str, set[str]]:
    """By topic, those of the `wanted` operations (READ, WRITE, ...) that our user may not do.

    A topic that does not exist is left out, and so is everything if the brokers don't tell.

    Raises `KafkaFailing` if no broker answers, and `ConfigurationError` if one refuses us.
    """
    with closing(connect(KafkaAdminClient, settings)) as admin, translated("asking for our rights"):
        described = admin.describe_topics(list(wanted))
    forbidden: dict[str, set[str]] = {}
    for topic in described:
        lacking = set(wanted[topic["name"]]) - _permitted(topic, wanted[topic["name"]])
        if lacking:
            forbidden[topic["name"]] = lacking
    return forbidden


def _permitted(topic: Mapping[str, object], wanted: Collection[str]) -> set[str]:
    error = kafka_errors.for_code(topic["error_code"])
    if error is kafka_errors.TopicAuthorizationFailedError:
        return set()  # not even to see it
    permitted = topic["authorized_operations"]
    if error is not kafka_errors.NoError or not isinstance(permitted, list):
        return set(wanted)
    return set(permitted)

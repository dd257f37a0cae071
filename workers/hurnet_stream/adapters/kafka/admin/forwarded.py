"""How much of the topics that are forwarded to another one is not there yet (`hurnet reshard`), by Kafka
alone."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from kafka import TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient

from hurnet_stream.adapters.kafka.admin.describing import describe_topics, partitions_of, written_ends
from hurnet_stream.adapters.kafka.client.arguments import milliseconds
from hurnet_stream.adapters.kafka.client.connection import connect
from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.settings.settings import KafkaSettings

_DOING = "asking what is forwarded"
Offsets = Mapping[TopicPartition, int]


class Forwarded:
    """The offsets of the group that forwards to a topic."""

    def __init__(self, settings: KafkaSettings, group: str) -> None:
        self._settings = settings
        self._group = group

    def committed(self, topic: str) -> dict[int, int]:
        """The first offset of each partition of this topic that is not forwarded; empty if none is."""
        with closing(connect(KafkaAdminClient, self._settings)) as admin, translated(_DOING):
            return {
                at.partition: offset for at, offset in self._committed(admin).items() if at.topic == topic
            }

    def ends(self) -> Offsets:
        """The ends of the topics that this group forwards, now; empty if it never forwarded anything."""
        with (
            closing(connect(KafkaAdminClient, self._settings)) as admin,
            translated("asking what is forwarded"),
        ):
            topics = sorted({at.topic for at in self._committed(admin)})
            described, _ = describe_topics(admin, topics) if topics else ({}, set())
            partitions = [at for each in described.values() for at in partitions_of(each)]
            return written_ends(admin, partitions, milliseconds(self._settings.request_timeout))

    def left(self, ends: Offsets) -> int:
        """How many offsets before these ends are not forwarded yet."""
        with (
            closing(connect(KafkaAdminClient, self._settings)) as admin,
            translated("asking what is forwarded"),
        ):
            committed = self._committed(admin)
        return sum(max(0, end - committed.get(at, 0)) for at, end in ends.items())

    def _committed(self, admin: Any) -> Offsets:
        try:
            found = admin.list_group_offsets({self._group: None}).get(self._group, {})
        except (kafka_errors.GroupIdNotFoundError, kafka_errors.CoordinatorNotAvailableError):
            return {}  # the second: nobody has committed anything in this cluster yet
        return {at: commit.offset for at, commit in found.items() if commit.offset >= 0}

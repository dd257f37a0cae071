"""Topics and consumer groups seen from outside, again and again over one connection.

Offsets of a partition with a transaction that is still open:

    0      3                9            12
    |------|----------------|------------|
    first  committed        readable     written
    of the by a group       = before the = the next
    log                     open one       record's
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kafka import TopicPartition

from hurnet_stream.adapters.kafka.admin.describing import (
    describe_topics,
    first_offsets,
    partitions_of,
    readable_ends,
    topic_id_of,
    written_ends,
)
from hurnet_stream.adapters.kafka.admin.groups import Group, groups
from hurnet_stream.adapters.kafka.admin.kept import KeptAdmin
from hurnet_stream.adapters.kafka.client.arguments import milliseconds
from hurnet_stream.core.stored.batch import LogIdentity
from hurnet_stream.settings.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class TopicOffsets:
    """By partition: the first offset that a topic holds, the end of what may be read, and of what is written.

    `topic_id` is the topic's UUID in hex, "" if the brokers are too old to tell it."""

    first: Mapping[int, int]
    readable: Mapping[int, int]
    written: Mapping[int, int]
    topic_id: str = ""


class Overview:
    """Asks the brokers. After an error it connects anew at the next question.

    Every method raises as `connect` does, and `KafkaFailing` if the brokers stop to answer.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._timeout_s = settings.request_timeout
        self._admin = KeptAdmin(settings)

    def topics(self, names: Iterable[str]) -> dict[str, TopicOffsets]:
        """The offsets of each topic that there is. Topics that we may not see are left out."""
        timeout_ms = max(1_000, milliseconds(self._timeout_s))
        with self._admin.asking("asking for the ends of topics") as admin:
            there, _ = describe_topics(admin, sorted(set(names)))
            partitions = [at for topic in there.values() for at in partitions_of(topic)]
            first = first_offsets(admin, partitions, timeout_ms)
            readable = readable_ends(admin, partitions, timeout_ms)
            written = written_ends(admin, partitions, timeout_ms)
        return {
            name: TopicOffsets(_of(name, first), _of(name, readable), _of(name, written), topic_id_of(topic))
            for name, topic in there.items()
        }

    def groups(self, topics: Mapping[str, str]) -> list[Group]:
        """The groups that are named in `topics`, which holds the topic that each of them reads."""
        with self._admin.asking("looking up consumer groups") as admin:
            return groups(admin, topics, self._timeout_s)

    def log(self, topic_id: str) -> LogIdentity | None:
        """The log of the topic with this id, of the cluster that answers; None if one of both is unknown."""
        cluster = self._admin.cluster
        return LogIdentity(cluster, topic_id) if cluster and topic_id else None

    def close(self) -> None:
        self._admin.close()


def _of(name: str, offsets: Mapping[TopicPartition, int]) -> dict[int, int]:
    return {at.partition: offset for at, offset in offsets.items() if at.topic == name}

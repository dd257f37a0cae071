"""Topics and consumer groups seen from outside, again and again over one connection.

Offsets of a partition with a transaction that is still open:

    0      3                9            12
    |------|----------------|------------|
    first  committed        readable     written
    of the by a group       = before the = the next
    log                     open one       record's
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kafka import TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient, OffsetSpec
from kafka.consumer.fetcher import IsolationLevel

from hurnet_stream.adapters.kafka.admin.describing import UNSEEN
from hurnet_stream.adapters.kafka.admin.groups import Group, groups
from hurnet_stream.adapters.kafka.client.arguments import milliseconds
from hurnet_stream.adapters.kafka.client.connection import connect
from hurnet_stream.adapters.kafka.client.errors import translated
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
        self._settings = settings
        self._timeout_ms = max(1_000, milliseconds(settings.request_timeout))
        self._admin: Any = None

    def topics(self, names: Iterable[str]) -> dict[str, TopicOffsets]:
        """The offsets of each topic that there is. Topics that we may not see are left out."""
        with self._asking("asking for the ends of topics") as admin:
            described = admin.describe_topics(sorted(set(names)))
            there = {topic["name"]: topic for topic in described if _exists(topic)}
            partitions = [
                TopicPartition(name, partition["partition_index"])
                for name, topic in there.items()
                for partition in topic["partitions"]
            ]
            first = self._offsets(admin, partitions, OffsetSpec.EARLIEST, IsolationLevel.READ_UNCOMMITTED)
            readable = self._offsets(admin, partitions, OffsetSpec.LATEST, IsolationLevel.READ_COMMITTED)
            written = self._offsets(admin, partitions, OffsetSpec.LATEST, IsolationLevel.READ_UNCOMMITTED)
        return {
            name: TopicOffsets(
                _of(name, first), _of(name, readable), _of(name, written), _hex(topic.get("topic_id"))
            )
            for name, topic in there.items()
        }

    def groups(self, topics: Mapping[str, str]) -> list[Group]:
        """The groups that are named in `topics`, which holds the topic that each of them reads."""
        with self._asking("looking up consumer groups") as admin:
            return groups(admin, topics, self._settings.request_timeout)

    def log(self, topic_id: str) -> LogIdentity | None:
        """The log of the topic with this id, of the cluster that answers; None if one of both is unknown."""
        cluster = self._admin.pin.cluster if self._admin is not None else ""
        return LogIdentity(cluster, topic_id) if cluster and topic_id else None

    def close(self) -> None:
        if self._admin is not None:
            self._admin.close()
            self._admin = None

    @contextlib.contextmanager
    def _asking(self, doing: str) -> Iterator[Any]:
        """The connection, which is given up if anything fails."""
        self._admin = self._admin or connect(KafkaAdminClient, self._settings)
        try:
            with translated(doing):
                yield self._admin
        except Exception:
            self.close()
            raise

    def _offsets(
        self, admin: Any, partitions: list[TopicPartition], spec: Any, isolation: IsolationLevel
    ) -> dict[TopicPartition, int]:
        if not partitions:
            return {}
        found = admin.list_partition_offsets(dict.fromkeys(partitions, spec), isolation, self._timeout_ms)
        return {at: end.offset for at, end in found.items()}


def _exists(topic: Mapping[str, Any]) -> bool:
    error = kafka_errors.for_code(topic["error_code"])
    if error in UNSEEN:
        return False
    if error is not kafka_errors.NoError:
        raise error(topic["name"])
    return True


def _of(name: str, offsets: Mapping[TopicPartition, int]) -> dict[int, int]:
    return {at.partition: offset for at, offset in offsets.items() if at.topic == name}


def _hex(topic_id: object) -> str:
    return uuid.UUID(str(topic_id)).hex if topic_id else ""

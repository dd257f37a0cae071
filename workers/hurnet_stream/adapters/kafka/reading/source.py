"""A consumer-group member on one topic, or on several.

Partitions are known by the numbers of their shards (partitions.py), which for one topic alone are its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, Literal

from kafka import TopicPartition
from kafka import errors as kafka_errors

from hurnet_stream.adapters.kafka.admin.lookup import TopicLookup
from hurnet_stream.adapters.kafka.client import internals
from hurnet_stream.adapters.kafka.client.arguments import milliseconds
from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.adapters.kafka.reading.assignment import Assignment
from hurnet_stream.adapters.kafka.reading.commits import Commits
from hurnet_stream.adapters.kafka.reading.consumer import log_identity, make_consumer, offset_ranges
from hurnet_stream.adapters.kafka.reading.contact import Contact
from hurnet_stream.adapters.kafka.reading.partitions import Partitions
from hurnet_stream.adapters.kafka.reading.single_records import records_at
from hurnet_stream.adapters.kafka.reading.standing import Standing
from hurnet_stream.core.places import PARTITIONS_MOST, Topics, partition_of
from hurnet_stream.core.stored.batch import LogIdentity
from hurnet_stream.errors import ConfigurationError, KafkaFailing, StoreGap
from hurnet_stream.ports import POLL_BYTES, Committed, EndOffsets, OffsetRange, Polled, Record
from hurnet_stream.settings.settings import KafkaSettings

_log = logging.getLogger(__name__)


class KafkaSource:
    """Fills `hurnet_stream.ports.Source`. Not thread-safe, as its consumer is not.

    `topics` are one topic, or several with their numbers. One that isn't there raises `ConfigurationError`.

    `reset` says what happens if the topic no longer holds the next record: "none" raises `StoreGap`,
    "earliest" goes on with the nearest record that it holds. While the group rebalances, a poll may take some
    seconds longer than asked.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topics: str | Topics,
        group: str,
        *,
        reset: Literal["earliest", "none"] = "none",
        isolation: Literal["read_committed", "read_uncommitted"] = "read_committed",
    ) -> None:
        self._settings = settings
        self._partitions = Partitions(Topics.only(topics) if isinstance(topics, str) else topics)
        self._topic = ", ".join(self._partitions.topics)  # for messages
        self._reset = reset
        self._reads_uncommitted = isolation == "read_uncommitted"
        self._timeout_ms = max(1_000, milliseconds(settings.request_timeout))
        self._paused: frozenset[int] = frozenset()
        self._largest_bytes = 1 << 20  # of a record's value, as met lately; a guess until the first one came
        with closing(TopicLookup(settings)) as lookup:
            # A consumer of a topic that isn't there waits without a word.
            lookup.require(self._partitions.topics)
        self._consumer: Any = _group_consumer(settings, group, isolation)
        self._contact = Contact(self._consumer, settings)
        self._assignment = Assignment(self._partitions)
        self._commits = Commits(self._consumer, self._partitions, self._timeout_ms)
        self._consumer.subscribe(self._partitions.topics, listener=self._assignment)
        self._standing = Standing(settings, self._partitions, group)
        self._await_partitions()

    def poll(self, timeout_s: float, max_records: int) -> Polled:
        self._consumer.pin.check()
        deadline = time.monotonic() + timeout_s
        self._place()
        self._apply_pause()
        # A limit in records and one in bytes: kafka-python knows the first one only.
        fitting = max(1, min(max_records, POLL_BYTES // self._largest_bytes))
        fetched = self._fetch(max(0.0, deadline - time.monotonic()), fitting)
        if not fetched:
            self._contact.check()
            self._check_right()
        # The poll itself may have brought a rebalance: what it assigned has to be placed first.
        records = [record for at, each in fetched.items() for record in self._placed(at, each)]
        self._note_sizes(records)
        return Polled(records, *self._assignment.take_news())

    def assignment(self) -> frozenset[int]:
        return frozenset(self._assignment.owned)

    def rebalances(self) -> int:
        return self._assignment.rebalances

    def has_share(self) -> bool:
        if self._assignment.owned:
            return True
        return internals.has_joined(self._consumer) and self._standing.others_read_all()

    def seek(self, partition: int, offset: int) -> None:
        if partition in self._assignment.owned:
            self._consumer.seek(self._partitions.at(partition), offset)
            self._assignment.unplaced.discard(partition)

    def pause(self, partitions: frozenset[int]) -> None:
        self._paused = partitions

    def offset_ranges(self, partitions: frozenset[int]) -> Mapping[int, OffsetRange]:
        found: dict[int, OffsetRange] = {}
        for topic, shards in self._partitions.by_topic(partitions).items():
            asked = [self._partitions.at(shard) for shard in shards]
            with translated(f"asking for the offsets of {topic}"):
                held = offset_ranges(self._consumer, asked, self._timeout_ms)
            found |= self._partitions.by_shard(topic, held)
        return found

    def log(self) -> LogIdentity | None:
        self._consumer.pin.check()
        return log_identity(self._consumer, self._partitions.topics[0])

    def topic_ids(self) -> Mapping[str, str]:
        identities = {t: log_identity(self._consumer, t) for t in self._partitions.topics[1:]}
        return {topic: each.topic for topic, each in identities.items() if each}

    def records_at(self, offsets: Mapping[int, int]) -> Mapping[int, Record | None]:
        found: dict[int, Record | None] = {}
        for topic, shards in self._partitions.by_topic(offsets).items():
            wanted = {partition_of(shard): offsets[shard] for shard in shards}
            found |= self._partitions.by_shard(topic, records_at(self._settings, topic, wanted))
        return found

    def compacted(self, partition: int) -> bool:
        with closing(TopicLookup(self._settings)) as lookup:
            config = lookup.config(self._partitions.topic(partition))
        return "compact" in config.get("cleanup.policy", "")

    def positions(self) -> Mapping[int, int]:
        placed = self._assignment.owned - self._assignment.unplaced
        positions = {p: internals.position(self._consumer, self._partitions.at(p)) for p in placed}
        return {partition: offset for partition, offset in positions.items() if offset is not None}

    def lag(self) -> Mapping[int, int]:
        written, unheard = self._standing.written(), self._standing.unheard()
        lag: dict[int, int] = {}
        for partition, position in self.positions().items():
            if self._partitions.topic(partition) in unheard:
                continue
            # Of what the brokers and the last fetch say, the higher one is the newer one.
            fetched = internals.high_watermark(self._consumer, self._partitions.at(partition))
            if known := [end for end in (written.get(partition), fetched) if end is not None]:
                lag[partition] = max(0, max(known) - position)
        return lag

    def held_back(self) -> Mapping[int, int]:
        return {} if self._reads_uncommitted else self._standing.held_back(self._assignment.owned)

    def retention_headroom(self) -> Mapping[int, float]:
        return self._standing.headroom(self._assignment.owned, self.positions)

    def committed(self, partitions: frozenset[int]) -> Mapping[int, int | None]:
        commits = self.progress(partitions)
        return {partition: None if each is None else each.offset for partition, each in commits.items()}

    def progress(self, partitions: frozenset[int]) -> Mapping[int, Committed | None]:
        return self._commits.read(partitions)

    def cuts(self, ends: Mapping[int, int]) -> Mapping[int, int]:
        return self._commits.cuts(ends)

    def end_offsets(self, topic: str, max_age_s: float) -> EndOffsets | None:
        return self._standing.of(topic, max_age_s)

    def commit(self, next_offsets: Mapping[int, int], notes: Mapping[int, str] | None = None) -> None:
        owned = {p: offset for p, offset in next_offsets.items() if p in self._assignment.owned}
        if owned:
            self._commits.write(owned, notes or {})

    def rewind(self) -> None:
        """Go back to the committed offsets, at the next poll."""
        self._assignment.unplaced = set(self._assignment.owned)

    def close(self) -> None:
        self._standing.close()
        try:
            self._consumer.close(autocommit=False, timeout_ms=self._timeout_ms)
        except kafka_errors.KafkaError as error:  # the broker evicts a member that could not say goodbye
            _log.debug("the consumer of %s closed without leaving its group: %s", self._topic, error)

    def _await_partitions(self) -> None:
        """A member that is to share out partitions before it has heard of them shares out none, for good."""
        for topic in self._partitions.topics:
            with translated(f"looking up the partitions of {topic}"):
                partitions = self._consumer.partitions_for_topic(topic)
            if not partitions:
                self.close()
                raise KafkaFailing(f"the broker does not show the partitions of {topic} yet")
            if len(partitions) > PARTITIONS_MOST:  # one more would be a shard of another topic
                self.close()
                raise ConfigurationError(
                    f"{topic} has {len(partitions):,} partitions: at most {PARTITIONS_MOST:,} can be read"
                )

    def _place(self) -> None:
        """Put every unplaced partition where the group goes on, or at its beginning."""
        for partition, offset in self.committed(frozenset(self._assignment.unplaced)).items():
            if offset is None:
                self._consumer.seek_to_beginning(self._partitions.at(partition))
            else:
                self._consumer.seek(self._partitions.at(partition), offset)
            self._assignment.unplaced.discard(partition)

    def _apply_pause(self) -> None:
        """Before each poll, because a rebalance forgets what was paused."""
        paused = [self._partitions.at(partition) for partition in self._assignment.owned & self._paused]
        resumed = self._consumer.paused().difference(paused)
        self._consumer.pause(*paused)
        self._consumer.resume(*resumed)

    def _fetch(self, timeout_s: float, max_records: int) -> dict[TopicPartition, list[Record]]:
        with translated(f"reading {self._topic}"):
            try:
                internals.finish_rebalance(self._consumer)
                fetched: dict[TopicPartition, list[Record]] = self._consumer.poll(
                    int(timeout_s * 1000), max_records
                )
                return fetched
            except kafka_errors.NoOffsetForPartitionError:
                return {}  # newly assigned and never committed: placed at the next poll
            except kafka_errors.OffsetOutOfRangeError as error:
                self._skip_gap(error.args[0])
            except kafka_errors.LogTruncationError as error:
                cut = error.divergent_offsets.items()
                self._skip_gap({at: end.offset if end else 0 for at, end in cut})
        return {}

    def _skip_gap(self, gone: Mapping[TopicPartition, int]) -> None:
        """Go on with the nearest records that the log holds. `gone` says where each position stood or, if the
        log was cut off below it, where that happened."""
        where = ", ".join(f"{at.topic}/{at.partition} at {offset}" for at, offset in gone.items())
        if self._reset == "none":
            raise StoreGap(f"the topic no longer holds the next record: {where}")
        _log.warning("the topic no longer holds the next record, going on with the nearest it has: %s", where)
        lost = frozenset(map(self._partitions.shard, gone))
        for partition, held in self.offset_ranges(lost).items():
            at = self._partitions.at(partition)
            # A position beyond the end goes to the end: from the beginning, all would be read a second time.
            self._consumer.seek(at, max(held.first, min(gone[at], held.end)))
        self._assignment.tell_again(lost)  # so that the worker can have its say

    def _check_right(self) -> None:
        """A topic that we may not see any more has no leader to kafka-python, which then fetches nothing and
        raises nothing."""
        hidden = internals.cluster_metadata(self._consumer).unauthorized_topics
        if lost := set(hidden).intersection(self._partitions.topics):
            with translated(f"reading {', '.join(sorted(lost))}"):
                raise kafka_errors.TopicAuthorizationFailedError(lost)

    def _placed(self, at: TopicPartition, records: Sequence[Record]) -> Sequence[Record]:
        """The records of a partition, with the number of its topic; none if it is not placed yet."""
        if self._partitions.shard(at) in self._assignment.unplaced:
            return ()
        number = self._partitions.number(at.topic)
        return [replace(record, number=number) for record in records] if number else records

    def _note_sizes(self, records: list[Record]) -> None:
        """Remember a large record for a while, so that the next polls ask for fewer of them."""
        if records:
            largest = max(len(record.value or b"") for record in records)
            self._largest_bytes = max(self._largest_bytes * 7 // 8, largest, 1)


def _group_consumer(settings: KafkaSettings, group: str, isolation: str) -> Any:
    session_ms = milliseconds(settings.session_timeout)
    return make_consumer(
        settings,
        group,
        isolation_level=isolation,
        session_timeout_ms=session_ms,
        # Three heartbeats a session, as Kafka advises, and at least one a second: by a heartbeat's answer a
        # member learns of a rebalance.
        heartbeat_interval_ms=max(1, min(1_000, session_ms // 3)),
        fetch_max_wait_ms=250,
        max_partition_fetch_bytes=4 << 20,
        fetch_max_bytes=POLL_BYTES,  # from each broker, and before unpacking
    )

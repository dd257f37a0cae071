"""A consumer-group member on one topic."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any, Literal

from kafka import AsyncConsumerRebalanceListener, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors

from hurnet.adapters.kafka.admin.topics import Topics
from hurnet.adapters.kafka.client.connection import milliseconds, translated
from hurnet.adapters.kafka.reading import consumer as consuming
from hurnet.adapters.kafka.reading import epochs
from hurnet.adapters.kafka.reading.contact import Contact
from hurnet.adapters.kafka.reading.ends import Ends
from hurnet.core.stored.batch import LogIdentity
from hurnet.errors import KafkaFailing, StoreGap
from hurnet.ports import POLL_BYTES, Committed, EndOffsets, OffsetRange, Polled, Record
from hurnet.settings.settings import KafkaSettings

_log = logging.getLogger(__name__)

_JOIN_MS = 3_000  # the others notice a rebalance at their next heartbeat and join at their next poll
LAG_INTERVAL_S = 5.0
LAG_BELIEVED_S = 15.0
"""What was heard of the ends of partitions is no news any more after three times the interval."""
_LOST_TO_A_REBALANCE = (
    kafka_errors.CommitFailedError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.UnknownMemberIdError,
)


class KafkaSource:
    """Fills `hurnet.ports.Source`. Not thread-safe, as its consumer is not.

    `reset` says what happens where the topic no longer holds the next record: "none" raises `StoreGap`,
    "earliest" goes on with the first one held, and at the end if it was to come after that.

    kafka-python keeps the position of a partition that a rebalance takes and hands back. Here every
    (re)assigned partition is `unplaced`: it brings no records until someone seeks it or, at the next poll, it
    is put at the committed offset, and at the beginning where there is none. While its group rebalances, a
    poll may take some seconds longer than asked.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        group: str,
        *,
        reset: Literal["earliest", "none"] = "none",
        isolation: Literal["read_committed", "read_uncommitted"] = "read_committed",
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._reset = reset
        self._timeout_ms = max(1_000, milliseconds(settings.request_timeout))
        self._owned: set[int] = set()
        self._unplaced: set[int] = set()
        self._paused: frozenset[int] = frozenset()
        self._assigned: set[int] = set()
        self._revoked: set[int] = set()
        self._epochs: dict[int, int] = {}
        self._largest = 1 << 20  # bytes of a record, as met lately
        with closing(Topics(settings)) as topics:
            topics.require([topic])  # a consumer of a topic that isn't there waits without a word
        session_ms = milliseconds(settings.session_timeout)
        self._consumer: Any = consuming.consumer(
            settings,
            group,
            isolation_level=isolation,
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=max(1, min(1_000, session_ms // 3)),
            fetch_max_wait_ms=250,
            max_partition_fetch_bytes=4 << 20,
            fetch_max_bytes=POLL_BYTES,  # of a broker's, as they come: packed or not
        )
        self._contact = Contact(self._consumer, settings)
        self._consumer.subscribe([topic], listener=_Listener(self))
        self._begun = time.monotonic()
        self._uncommitted = isolation == "read_uncommitted"
        self._ends = Ends(settings)
        self._ends.of(topic, LAG_INTERVAL_S)
        self._await_partitions()

    def poll(self, timeout_s: float, max_records: int) -> Polled:
        self._consumer.pin.check()
        deadline = time.monotonic() + timeout_s
        self._place()
        self._apply_pause()
        fitting = max(1, min(max_records, POLL_BYTES // self._largest))
        batches = self._fetch(max(0.0, deadline - time.monotonic()), fitting)
        if not batches:
            self._contact.check()
        records = [
            record for at, batch in batches.items() if at.partition not in self._unplaced for record in batch
        ]
        if records:  # large ones are remembered for a while
            self._largest = max(self._largest * 7 // 8, *(len(r.value or b"") for r in records), 1)
        polled = Polled(records, frozenset(self._assigned), frozenset(self._revoked - self._owned))
        self._assigned.clear()
        self._revoked.clear()
        return polled

    def assignment(self) -> frozenset[int]:
        return frozenset(self._owned)

    def seek(self, partition: int, offset: int) -> None:
        if partition in self._owned:
            self._consumer.seek(self._at(partition), offset)
            self._unplaced.discard(partition)

    def pause(self, partitions: frozenset[int]) -> None:
        self._paused = partitions

    def offset_ranges(self, partitions: frozenset[int]) -> Mapping[int, OffsetRange]:
        asked = [self._at(partition) for partition in partitions]
        if not asked:
            return {}
        with translated(f"asking for the offsets of {self._topic}"):
            return consuming.offset_ranges(self._consumer, asked, self._timeout_ms)

    def log(self) -> LogIdentity | None:
        self._consumer.pin.check()
        return consuming.identity(self._consumer, self._topic)

    def records_at(self, offsets: Mapping[int, int]) -> Mapping[int, Record | None]:
        return consuming.records_at(self._settings, self._topic, offsets)

    def compacted(self) -> bool:
        with closing(Topics(self._settings)) as topics:
            return "compact" in topics.config(self._topic).get("cleanup.policy", "")

    def positions(self) -> Mapping[int, int]:
        # not by position(), which may ask the brokers and would swallow what the next poll must raise
        states = self._consumer._subscription.assignment
        found = {p: states.get(self._at(p)) for p in self._owned - self._unplaced}
        return {p: state.position.offset for p, state in found.items() if state and state.position}

    def lag(self) -> Mapping[int, int]:
        ends = self._ends.of(self._topic, LAG_INTERVAL_S)
        if time.monotonic() - (ends.asked if ends else self._begun) > LAG_BELIEVED_S:
            return {}
        known = {}
        for partition, position in self.positions().items():
            highwater = self._consumer._subscription.assignment[self._at(partition)].highwater
            heard = [ends.written.get(partition) if ends else None, highwater]
            if known_ends := [offset for offset in heard if offset is not None]:
                known[partition] = max(0, max(known_ends) - position)
        return known

    def held_back(self) -> Mapping[int, int]:
        ends = self._ends.of(self._topic, LAG_INTERVAL_S)
        if ends is None or self._uncommitted:
            return {}
        held = {p: ends.written.get(p, 0) - ends.readable.get(p, 0) for p in self._owned}
        return {partition: count for partition, count in held.items() if count > 0}

    def committed(self, partitions: frozenset[int]) -> Mapping[int, int | None]:
        found = self.progress(partitions)
        return {partition: None if at is None else at.offset for partition, at in found.items()}

    def progress(self, partitions: frozenset[int]) -> Mapping[int, Committed | None]:
        """From the group, never a cache; waits for offsets that hang on an open transaction."""
        if not partitions:
            return {}
        # The consumer's own `committed` asks for one partition at a time, each with the time limit of all.
        ask = self._consumer._coordinator.fetch_committed_offsets
        with translated(f"asking for the committed offsets of {self._topic}"):
            found = ask([self._at(partition) for partition in partitions], timeout_ms=self._timeout_ms)
        known = {
            at.partition: Committed(stored.offset, stored.metadata or "") for at, stored in found.items()
        }
        self._epochs |= {at.partition: stored.leader_epoch for at, stored in found.items()}
        return {partition: known.get(partition) for partition in partitions}

    def cuts(self, ends: Mapping[int, int]) -> Mapping[int, int]:
        read = {partition: (end, self._epochs.get(partition, -1)) for partition, end in ends.items()}
        with translated(f"asking what is left of {self._topic}"):
            return epochs.cuts(self._consumer, self._topic, read, self._timeout_ms)

    def end_offsets(self, topic: str, max_age_s: float) -> EndOffsets | None:
        return self._ends.of(topic, max_age_s)

    def commit(self, next_offsets: Mapping[int, int], notes: Mapping[int, str] | None = None) -> None:
        offsets = self._offsets({p: o for p, o in next_offsets.items() if p in self._owned}, notes)
        if not offsets:
            return
        with translated(f"committing offsets of {self._topic}"):
            try:
                self._consumer.commit(offsets, timeout_ms=self._timeout_ms)
            except _LOST_TO_A_REBALANCE as error:  # whoever owns them now starts from what is stored
                _log.debug("offsets of %s not committed: %s", self._topic, error)

    def close(self) -> None:
        self._ends.close()
        try:
            self._consumer.close(autocommit=False, timeout_ms=self._timeout_ms)
        except kafka_errors.KafkaError as error:  # the broker evicts a member that could not say goodbye
            _log.debug("the consumer of %s closed without leaving its group: %s", self._topic, error)

    def rebalanced(self, assigned: set[int], revoked: set[int]) -> None:
        """For the listener, which runs on a thread of kafka-python, but only while `poll` or `close` wait."""
        self._owned = (self._owned - revoked) | assigned
        self._unplaced = (self._unplaced - revoked) | assigned
        self._assigned = (self._assigned - revoked) | assigned
        self._revoked |= revoked

    def rewind(self) -> None:
        """Back to the committed offsets at the next poll."""
        self._unplaced = set(self._owned)

    def _place(self) -> None:
        for partition, offset in self.committed(frozenset(self._unplaced)).items():
            if offset is None:
                self._consumer.seek_to_beginning(self._at(partition))
            else:
                self._consumer.seek(self._at(partition), offset)
            self._unplaced.discard(partition)

    def _apply_pause(self) -> None:
        """Before each poll, since a rebalance forgets what was paused."""
        paused = [self._at(partition) for partition in self._owned & self._paused]
        resumed = self._consumer.paused().difference(paused)
        self._consumer.pause(*paused)
        self._consumer.resume(*resumed)

    def _fetch(self, timeout_s: float, max_records: int) -> dict[Any, Any]:
        with translated(f"reading {self._topic}"):
            try:
                self._join()
                batches: dict[Any, Any] = self._consumer.poll(int(timeout_s * 1000), max_records)
                return batches
            except kafka_errors.NoOffsetForPartitionError:
                return {}  # newly assigned and never committed: placed at the next poll
            except kafka_errors.OffsetOutOfRangeError as error:
                self._skip_gap(error.args[0])
            except kafka_errors.LogTruncationError as error:
                cut = error.divergent_offsets.items()
                self._skip_gap({at: found.offset if found else 0 for at, found in cut})
        return {}

    def _await_partitions(self) -> None:
        """A member that shares out partitions before it has heard of them shares out none, for good."""
        with translated(f"looking up the partitions of {self._topic}"):
            if not self._consumer.partitions_for_topic(self._topic):
                self.close()
                raise KafkaFailing(f"the broker does not show the partitions of {self._topic} yet")

    def _join(self) -> None:
        """kafka-python forgets a join that completes between two polls and begins another, so that members
        who poll briefly may keep each other rebalancing: wait for it here."""
        coordinator = self._consumer._coordinator
        if coordinator.rejoining:
            # Begun in a poll that was too short for it. If new partitions were the cause, they count as
            # shared out already: without this it would never be ended, and the member own nothing for good.
            coordinator.request_rejoin()
        if coordinator.need_rejoin():
            coordinator.poll(timeout_ms=_JOIN_MS)

    def _skip_gap(self, gone: Mapping[Any, int]) -> None:
        """`gone` holds where each position is, or, if the log was cut off below it, where that happened. They
        are told as assigned anew, so that the worker can have its say."""
        text = ", ".join(f"{at.topic}/{at.partition} at {offset}" for at, offset in gone.items())
        if self._reset == "none":
            raise StoreGap(f"the topic no longer holds the next record: {text}")
        _log.warning("the topic no longer holds the next record, going on with the nearest it has: %s", text)
        lost = frozenset(at.partition for at in gone)
        for partition, held in self.offset_ranges(lost).items():
            at = self._at(partition)
            self._consumer.seek(at, max(held.first, min(gone[at], held.end)))
        self._assigned |= lost

    def _at(self, partition: int) -> Any:
        return TopicPartition(self._topic, partition)

    def _offsets(
        self, next_offsets: Mapping[int, int], notes: Mapping[int, str] | None = None
    ) -> dict[Any, Any]:
        notes = notes or {}
        return {
            self._at(p): OffsetAndMetadata(offset, notes.get(p, ""), self._epoch(p))
            for p, offset in next_offsets.items()
        }

    def _epoch(self, partition: int) -> int:
        """Under which leader the last record that was read came, -1 if none was read yet."""
        state = self._consumer._subscription.assignment.get(self._at(partition))
        epoch = state and state.position and state.position.leader_epoch
        return -1 if epoch is None else int(epoch)


class _Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc] # kafka-python ships no types
    """Takes note of rebalances."""

    def __init__(self, source: KafkaSource) -> None:
        self._source = source

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        self._source.rebalanced({at.partition for at in assigned}, set())

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        self._source.rebalanced(set(), {at.partition for at in revoked})

"""How much of a topic's retention is left before what a group must read next is dropped.

    retention.ms = 7 days        the next record is 5 days old: 2 of 7 days are left            0.29
    retention.bytes = 1 GiB      0.9 GiB lie from the next record to the end                    0.1
    both are set                 what comes first counts                                        0.1
    everything is read           there is nothing left to be dropped                            1

A broker drops whole segments, each once its youngest record is too old, so a record lasts at least as long as
this says. Of the bytes between two offsets only their share of the partition's is known.

What a transaction that is open holds back waits, too: its time runs.

The brokers are asked every half minute, in the background. Where records wait to be read, the first batch of
them is fetched for its timestamp.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple

from kafka import TopicPartition
from kafka import errors as kafka_errors

from hurnet_stream.adapters.kafka.admin.describing import describe_configs, first_offsets, written_ends
from hurnet_stream.adapters.kafka.client.arguments import milliseconds
from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.adapters.kafka.reading.asking import Asker
from hurnet_stream.adapters.kafka.reading.single_records import newest_timestamps_ms
from hurnet_stream.ports import OffsetRange
from hurnet_stream.settings.settings import KafkaSettings

INTERVAL_S = 30.0
SOON_S = 1.0
"""After partitions were assigned anew."""
BELIEVED_S = 3 * INTERVAL_S
"""What was last heard is believed for three times the interval."""


class Limits(NamedTuple):
    """What a topic keeps of each partition, in milliseconds and in bytes; None: without a limit."""

    ms: int | None
    bytes: int | None

    @classmethod
    def of(cls, config: Mapping[str, str]) -> Limits:
        """The limits that the settings of a topic set. A topic that is only compacted drops nothing."""
        if "delete" not in config.get("cleanup.policy", ""):
            return cls(None, None)
        ms, size = (int(config.get(f"retention.{unit}", -1)) for unit in ("ms", "bytes"))
        return cls(ms if ms >= 0 else None, size if size >= 0 else None)

    def left_by_time(self, age_ms: float) -> float:
        """The share of the time that is left for a record of this age, 0 to 1."""
        return 1.0 if self.ms is None else _share(self.ms - age_ms, self.ms)

    def left_by_bytes(self, needed: int, held: OffsetRange, partition_bytes: int | None) -> float:
        """The share of the bytes that is left behind the record at `needed`, 0 to 1, in a partition that
        holds the offsets `held` in so many bytes. None: the size is unknown, and taken for the limit once
        something was dropped."""
        if self.bytes is None or (partition_bytes is None and held.first == 0):
            return 1.0
        size = self.bytes if partition_bytes is None else partition_bytes
        beyond = size * _share(held.end - needed, held.end - held.first)
        return _share(self.bytes - beyond, self.bytes)


class Retention:
    """What was last heard of the retention of one topic."""

    def __init__(self, settings: KafkaSettings, topic: str, asker: Asker) -> None:
        self._settings = settings
        self._topic = topic
        self._timeout_ms = max(1_000, milliseconds(settings.request_timeout))
        self._asked = self._answered = float("-inf")  # monotonic seconds
        self._asked_of: frozenset[int] = frozenset()
        self._headroom: Mapping[int, float] = {}  # replaced by one assignment, and never changed
        self._asker = asker

    def headroom(
        self, owned: Collection[int], needed: Callable[[], Mapping[int, int]]
    ) -> Mapping[int, float]:
        """Of each partition in `owned`, how much of the retention is left, as of half a minute ago. `needed`
        tells at which offset each goes on, if it is asked. Partitions of which nothing is known, or ever
        dropped, are left out."""
        now = time.monotonic()
        if now - self._asked >= (INTERVAL_S if self._asked_of.issuperset(owned) else SOON_S):
            self._asked, wanted = now, dict(needed())
            self._asked_of = frozenset(wanted)
            if wanted:
                self._asker.ask(f"the retention of {self._topic}", partial(self._ask, wanted))
        if now - self._answered > BELIEVED_S:
            return {}
        return {partition: left for partition, left in self._headroom.items() if partition in owned}

    def _ask(self, needed: Mapping[int, int], admin: Any) -> None:
        asked = time.monotonic()
        with translated(f"asking for the retention of {self._topic}"):
            limits = Limits.of(describe_configs(admin, [self._topic]).get(self._topic, {}))
            self._headroom = {} if limits == Limits(None, None) else self._left(admin, limits, needed)
        self._answered = asked

    def _left(self, admin: Any, limits: Limits, needed: Mapping[int, int]) -> dict[int, float]:
        held = self._offset_ranges(admin, needed)
        waiting = {p: OffsetRange(at, held[p].end) for p, at in needed.items() if at < held[p].end}
        gone = {partition for partition, at in needed.items() if at < held[partition].first}
        there = {partition: each for partition, each in waiting.items() if partition not in gone}
        timestamps_ms = newest_timestamps_ms(self._settings, self._topic, there) if limits.ms else {}
        sizes = self._sizes(admin, there) if limits.bytes and there else {}
        now_ms = time.time() * 1000
        left = dict.fromkeys(needed, 1.0) | dict.fromkeys(gone, 0.0)
        for p in there:
            # Without a record (markers alone) nothing is lost by time.
            by_time = limits.left_by_time(now_ms - timestamps_ms.get(p, now_ms))
            left[p] = min(by_time, limits.left_by_bytes(needed[p], held[p], sizes.get(p)))
        return left

    def _offset_ranges(self, admin: Any, partitions: Mapping[int, int]) -> dict[int, OffsetRange]:
        at = [TopicPartition(self._topic, partition) for partition in partitions]
        first, end = (offsets(admin, at, self._timeout_ms) for offsets in (first_offsets, written_ends))
        return {each.partition: OffsetRange(first[each], end[each]) for each in at}

    def _sizes(self, admin: Any, partitions: Mapping[int, OffsetRange]) -> dict[int, int]:
        """The bytes of each partition, of its largest replica; none of them if we may not ask."""
        try:
            answers = admin.describe_log_dirs({self._topic: list(partitions)})
        except kafka_errors.KafkaError:
            return {}
        sizes: dict[int, int] = {}
        for log_dir in (each for answer in answers for each in answer["log_dirs"]):
            for replica in (each for topic in log_dir["topics"] for each in topic["partitions"]):
                partition = replica["partition_index"]
                sizes[partition] = max(sizes.get(partition, 0), replica["partition_size"])
        return sizes


def _share(part: float, whole: float) -> float:
    return min(1.0, max(0.0, part / whole)) if whole > 0 else 0.0

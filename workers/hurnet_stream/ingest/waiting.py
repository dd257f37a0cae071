"""Records that were polled and wait, so that no turn of the loop takes longer than it may.

A poll may bring kilobytes or hundreds of megabytes, and embedding may take a microsecond a letter or a
hundred. So a turn takes only what the embedder is expected to manage in `TURN_S`, which is learned from
earlier turns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from hurnet_stream.ports import Record

TURN_S = 1.0
"""How long the embedding of one turn should take."""
LEAST_BYTES = 16_384
"""Record values that a turn may always take, however slow the embedder is. One record is taken in any case.
"""
_MEASURABLE_S = 0.001  # a shorter time says little about the speed


class Waiting:
    """Queues by partition. The partition that has waited longest comes first."""

    def __init__(self) -> None:
        self._queues: dict[int, deque[Record]] = {}  # in the order in which partitions come
        self._bytes_per_turn = LEAST_BYTES

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def partitions(self) -> frozenset[int]:
        """The partitions of which records wait."""
        return frozenset(self._queues)

    def waiting(self, partition: int) -> int:
        """How many records of the partition wait."""
        return len(self._queues.get(partition, ()))

    def add(self, partition: int, records: Sequence[Record]) -> None:
        if records:
            self._queues.setdefault(partition, deque()).extend(records)

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget the records of these partitions: they will be polled again, here or by another worker."""
        for partition in partitions:
            self._queues.pop(partition, None)

    def take(
        self, records_max: int, alone: Callable[[Record], bool] = lambda _: False
    ) -> dict[int, list[Record]]:
        """The records of the next turn, by partition. A record that is to be `alone` gets a turn of its
        own."""
        taken: dict[int, list[Record]] = {}
        left_bytes = self._bytes_per_turn
        for partition, queue in list(self._queues.items()):
            of_partition: list[Record] = []
            while queue and records_max > 0:
                record = queue[0]
                size = _size_bytes(record)
                if left_bytes < size and (taken or of_partition):
                    break
                if alone(record):
                    if taken or of_partition:
                        break
                    records_max = 1
                of_partition.append(queue.popleft())
                left_bytes, records_max = left_bytes - size, records_max - 1
            if of_partition:
                taken[partition] = of_partition
            if partition in taken:
                # Whatever is left of it goes behind the other partitions, so that each gets its turn.
                del self._queues[partition]
                self.add(partition, queue)
        return taken

    def learn(self, texts: Iterable[str], seconds: float) -> None:
        """Told that embedding `texts` took `seconds`.

        The speed is measured in letters, and a record has at least as many bytes as letters. A slower
        embedder counts at once, since the next turn would take too long. A faster one counts by doubling at
        most, since one quick turn may be luck.
        """
        bytes_in_time = round(sum(map(len, texts)) / max(seconds, _MEASURABLE_S) * TURN_S)
        self._bytes_per_turn = max(LEAST_BYTES, min(bytes_in_time, 2 * self._bytes_per_turn))


def _size_bytes(record: Record) -> int:
    return len(record.value or b"") + 1  # an empty value takes time, too

"""Records that were read and wait for their turn, so that a turn takes no longer than it may.

A poll may bring kilobytes or hundreds of megabytes, and an embedder may take a microsecond a letter or a
hundred. How much one turn takes is learned from the last ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from hurnet.ports import Record

TURN_S = 1.0
"""What the embedding of one turn should take."""
LEAST_BYTES = 16_384
"""Of record values a turn, however slow they are; one record is always taken."""
_ENOUGH_S = 0.001  # what took less says little of the speed


class Waiting:
    """In order by partition; the one that waited longest comes first."""

    def __init__(self) -> None:
        self._waiting: dict[int, deque[Record]] = {}
        self._bytes_a_turn = LEAST_BYTES

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def partitions(self) -> frozenset[int]:
        """Those of which something waits."""
        return frozenset(self._waiting)

    def waiting(self, partition: int) -> int:
        """How many records of it."""
        return len(self._waiting.get(partition, ()))

    def add(self, partition: int, records: Sequence[Record]) -> None:
        if records:
            self._waiting.setdefault(partition, deque()).extend(records)

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget what waits of these; it will be read again, here or elsewhere."""
        for partition in partitions:
            self._waiting.pop(partition, None)

    def take(self, most: int, alone: Callable[[Record], bool] = lambda _: False) -> dict[int, list[Record]]:
        """The next turn's records, at most so many; one that is to be `alone` has a turn of its own."""
        taken: dict[int, list[Record]] = {}
        left = self._bytes_a_turn
        for partition, records in list(self._waiting.items()):
            while records and most > 0 and (left >= _weight(records[0]) or not taken):
                if alone(records[0]):
                    if taken:
                        break
                    most = 1
                record = records.popleft()
                taken.setdefault(partition, []).append(record)
                left, most = left - _weight(record), most - 1
            if partition in taken:
                del self._waiting[partition]
                self.add(partition, records)  # behind the others
        return taken

    def learn(self, texts: Iterable[str], seconds: float) -> None:
        """To embed these took so long: by letters, of which a record has no more than bytes. What is slower
        than thought counts at once, what is faster by and by."""
        fits = round(sum(map(len, texts)) / max(seconds, _ENOUGH_S) * TURN_S)
        self._bytes_a_turn = max(LEAST_BYTES, min(fits, 2 * self._bytes_a_turn))


def _weight(record: Record) -> int:
    return len(record.value or b"") + 1

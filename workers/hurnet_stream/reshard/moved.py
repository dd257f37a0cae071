"""Where the records of the old topic stand in the new one, so that a deletion can name them there.

A deletion names what it deletes by an offset of its partition, or means a context, or a key. In the new topic
the same entries stand at other offsets, and beside entries of other partitions, which must stay. So what a
deletion has deleted in the old store is deleted in the new topic entry by entry:

    old topic      2/10 "a"   2/11 "b"   2/12 drops the context      deletes 2/10 and 2/11
    new topic      0/57 "a" (from 2/10)   5/91 "b" (from 2/11)       forget 0/57, forget 5/91

What this process has forwarded is remembered, in 16 bytes a record. What an earlier one has is looked up in
the new topic itself, all at once, when it is asked for the first time."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable

from hurnet_stream.core.places import PARTITIONS_MOST
from hurnet_stream.ports import History
from hurnet_stream.reshard.routing import Route

Place = tuple[int, int]
"""Partition and offset."""


class _Lane:
    """The records of one partition of the old topic, ascending by offset. `known` counts from there on: what
    lies before was forwarded by another process."""

    def __init__(self, known: int) -> None:
        self.known = known
        self.offsets = array("q")
        self.places = array("q")  # offset * PARTITIONS_MOST + partition, in the new topic

    def add(self, offset: int, place: Place) -> None:
        self.offsets.append(offset)
        self.places.append(place[1] * PARTITIONS_MOST + place[0])

    def find(self, offset: int) -> Place | None:
        at = bisect_left(self.offsets, offset)
        if at == len(self.offsets) or self.offsets[at] != offset:
            return None
        position, partition = divmod(self.places[at], PARTITIONS_MOST)
        return partition, position


class Moved:
    """By partition and offset of the old topic: partition and offset of the new one."""

    def __init__(self, history: History, route: Route, on_progress: Callable[[], None]) -> None:
        self._history = history
        self._route = route
        self._on_progress = on_progress
        self._lanes: dict[int, _Lane] = {}

    def begin(self, partition: int, offset: int) -> None:
        """This process forwards a partition from `offset` on."""
        self._lanes[partition] = _Lane(offset)

    def add(self, partition: int, offset: int, place: Place) -> None:
        """It was forwarded."""
        self._lanes[partition].add(offset, place)

    def forget(self, partition: int, offset: int) -> None:
        """It is not known what became of the records before `offset`: they have to be looked up."""
        self._lanes[partition] = _Lane(offset)

    def find(self, partition: int, offset: int) -> Place | None:
        """Where it stands now; None if it was not forwarded."""
        lane = self._lanes[partition]
        if offset < lane.known:
            self._look()
            lane = self._lanes[partition]
        return lane.find(offset)

    def _look(self) -> None:
        """Read the new topic, once for all partitions."""
        found: dict[int, list[tuple[int, Place]]] = {partition: [] for partition in self._lanes}
        for to, held in self._history.offset_ranges().items():
            if held.first < held.end:
                for block in self._history.read(to, held.first, held.end - 1):
                    self._on_progress()
                    for record in block:
                        old = self._route.place(record)
                        if old and old[0] in found:
                            found[old[0]].append((old[1], (to, record.offset)))
        for partition, records in found.items():
            lane = self._lanes[partition] = _Lane(0)
            for offset, place in sorted(records):
                lane.add(offset, place)

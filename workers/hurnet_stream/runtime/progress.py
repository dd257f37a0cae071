"""Readiness: does the worker have partitions, is it caught up, and does it move?

Kafka clients have been seen to stall in silence: assigned, behind, no error and no records, for all
partitions or for one. So how far a partition is behind is taken from its end offset, which is asked for
apart from the client that reads. These make a worker unready:

    it has no share of the work for `stall` seconds  a rebalance is shorter, and does not count
    more than `ready_lag` records behind in all
    a partition is behind and does not move for `stall` seconds
    it is not known for `stall` seconds how far a partition is behind

A worker that is one too many has its share of the work, which is none: it stands by, and is ready for more.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from hurnet_stream.settings.settings import MetricsSettings


@dataclass(slots=True)
class _Partition:
    """Times are monotonic seconds. `lag` is how many records it is behind, None if that is not known.
    `held` of them are in a transaction that is still open, which keeps them from readers."""

    known_at: float
    moved_at: float
    lag: int | None = None
    held: int = 0

    def observe(self, now: float, lag: int | None, held: int, moved: bool) -> None:
        if lag is not None:
            self.known_at = now
            # Records that never come, of an aborted transaction or compacted away, shorten the lag, too.
            moved = moved or lag == 0 or (self.lag is not None and lag < self.lag)
        if moved:
            self.moved_at = now
        self.lag, self.held = lag, held

    def trouble(self, now: float, stall_s: float) -> str | None:
        if now - self.known_at > stall_s:
            return f"not known how far behind for {now - self.known_at:.0f} s"
        if self.lag and now - self.moved_at > stall_s:
            held = f" ({self.held} of them in a transaction that is still open)" if self.held else ""
            return f"{self.lag} behind{held} and not moving for {now - self.moved_at:.0f} s"
        return None


class Progress:
    """The worker tells it once a turn how far it is."""

    def __init__(self, settings: MetricsSettings) -> None:
        self._stall_s = settings.stall
        self._ready_lag = settings.ready_lag
        self._ever_shared = False
        self._shared_at = self._moved_at = time.monotonic()
        self._behind = 0
        self._partitions: dict[int, _Partition] = {}

    def turn(self, has_share: bool, behind: int, moved: int) -> None:
        """One turn: whether the worker has its share of the work, be it none; how many records or rows are
        still to be done, and how many were done in this turn."""
        now = time.monotonic()
        self._behind = behind
        if has_share:
            self._ever_shared, self._shared_at = True, now
        if moved or not behind:  # with nothing to do, not to move is no stall
            self._moved_at = now

    def partitions(
        self,
        assigned: Collection[int],
        lag: Mapping[int, int],
        held: Mapping[int, int],
        moved: Collection[int],
    ) -> None:
        """The same turn by partition. A partition without an entry in `lag` is one of which that is not
        known. `moved` are those that brought records, or could not be expected to."""
        now = time.monotonic()
        known = self._partitions
        self._partitions = {p: known.get(p) or _Partition(now, now) for p in assigned}
        for p, partition in self._partitions.items():
            partition.observe(now, lag.get(p), held.get(p, 0), p in moved)

    def standing(self) -> str:
        """What a worker that is ready does, in a few words."""
        count = len(self._partitions)
        if not count:
            return "standing by: other workers read all partitions"
        return f"reading {count} partition{'s' if count > 1 else ''}"

    def unready(self) -> list[str]:
        """Why not to count on this worker; empty if it is ready."""
        now = time.monotonic()
        reasons = []
        if not self._ever_shared or now - self._shared_at > self._stall_s:
            reasons.append("the consumer group has given it no share of the partitions")
        if self._behind > self._ready_lag:
            reasons.append(f"{self._behind} behind")
        stalled = [
            f"partition {p}: {trouble}"
            for p, partition in sorted(self._partitions.items())
            if (trouble := partition.trouble(now, self._stall_s))
        ]
        if not stalled and now - self._moved_at > self._stall_s:
            reasons.append(f"{self._behind} behind and not moving for {now - self._moved_at:.0f} s")
        return reasons + stalled

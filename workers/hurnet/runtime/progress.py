"""Readiness: has work been assigned, is the worker caught up, and does it move?

Kafka clients have been seen to stall silently (assigned, behind, no error, no records), all of them or one
partition. How far each partition is behind therefore comes from end offsets that are asked for apart from the
client that reads; a partition that is behind and not moving, or of which that is not known any more, makes
the worker unready, whatever its client says. A rebalance in passing does not.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from hurnet.settings.settings import MetricsSettings


@dataclass(slots=True)
class _Partition:
    """`lag` is None while it is not known. `held` are records that an open transaction keeps from readers."""

    known_at: float
    moved_at: float
    lag: int | None = None
    held: int = 0

    def observe(self, now: float, lag: int | None, held: int, moved: bool) -> None:
        if lag is not None:
            self.known_at = now
            # Records that never come (of aborted transactions, or compacted away) shorten it too.
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
    """Told once a turn. A lack of assignment counts only after `stall` seconds: a rebalance is shorter."""

    def __init__(self, settings: MetricsSettings) -> None:
        self._stall_s = settings.stall
        self._ready_lag = settings.ready_lag
        self._ever_assigned = False
        self._assigned_at = self._moved_at = time.monotonic()
        self._behind = 0
        self._partitions: dict[int, _Partition] = {}

    def turn(self, assigned: bool, behind: int, moved: int) -> None:
        """One turn: whether anything is assigned, how many records or rows remain, how many were done."""
        now = time.monotonic()
        self._behind = behind
        if assigned:
            self._ever_assigned, self._assigned_at = True, now
        if moved or not behind:
            self._moved_at = now

    def partitions(
        self,
        assigned: Collection[int],
        lag: Mapping[int, int],
        held: Mapping[int, int],
        moved: Collection[int],
    ) -> None:
        """The same turn by partition: `lag` of those of which it is known, and which of them `moved`, or had
        no cause to."""
        now = time.monotonic()
        before = self._partitions
        self._partitions = {p: before.get(p) or _Partition(now, now) for p in assigned}
        for p, partition in self._partitions.items():
            partition.observe(now, lag.get(p), held.get(p, 0), p in moved)

    def unready(self) -> list[str]:
        """Why not to count on this worker; empty when it is ready."""
        now = time.monotonic()
        reasons = []
        if not self._ever_assigned or now - self._assigned_at > self._stall_s:
            reasons.append("nothing is assigned")
        if self._behind > self._ready_lag:
            reasons.append(f"{self._behind} behind")
        troubles = [
            f"partition {p}: {trouble}"
            for p, partition in sorted(self._partitions.items())
            if (trouble := partition.trouble(now, self._stall_s))
        ]
        if not troubles and now - self._moved_at > self._stall_s:
            reasons.append(f"{self._behind} behind and not moving for {now - self._moved_at:.0f} s")
        return reasons + troubles
